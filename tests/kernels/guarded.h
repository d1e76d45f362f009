// Buffers that end right at an unmapped page: a read or write past the end faults. (gcc 12's ASan
// misses over-reads through masked AVX-512 loads; a guard page does not.)
#ifndef COLROW_TESTS_GUARDED_H
#define COLROW_TESTS_GUARDED_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct guarded {
    void *data; // `bytes` bytes; what follows (within `alignment`, see below) is unmapped
    void *mapping;
    size_t mapping_bytes;
};

// Zeroed. `alignment` (a power of two) holds for data; with `bytes` a multiple of it nothing lies
// between the end and the guard, else the rest is fewer than `alignment` bytes. The page in front
// of the buffer is unmapped as well.
static inline struct guarded guarded_new(size_t bytes, size_t alignment)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t span = (bytes + alignment + page - 1) / page * page;
    struct guarded g = {.mapping_bytes = span + 2 * page};
    g.mapping =
        mmap(NULL, g.mapping_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(g.mapping != MAP_FAILED);
    char *begin = (char *)g.mapping + page, *end = begin + span;
    int failed = mprotect(g.mapping, page, PROT_NONE) | mprotect(end, page, PROT_NONE);
    assert(!failed);
    (void)failed;
    g.data = (void *)(((uintptr_t)end - bytes) / alignment * alignment);
    return g;
}

static inline void guarded_free(struct guarded *g)
{
    munmap(g->mapping, g->mapping_bytes);
    memset(g, 0, sizeof *g);
}

#endif
