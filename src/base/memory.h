// Heap memory whose failure is a sentence, arenas, and growing byte strings.
#ifndef COLROW_BASE_MEMORY_H
#define COLROW_BASE_MEMORY_H

#include <stdarg.h>
#include <stddef.h>

#include "base/status.h"

// Zeroed array of `count` items; release with free(). `*out` is a pointer to any type.
enum status memory_new(size_t count, size_t item_bytes, const char *what,
                       void *out) STATUS_MUST_USE;

// Grows `*array` (heap, items of `item_bytes`) so that it holds `wanted` items; doubles
// `*capacity`.
enum status memory_grow(void *array, size_t *capacity, size_t wanted, size_t item_bytes,
                        const char *what) STATUS_MUST_USE;

// Copy of a string on the heap.
enum status memory_text(const char *text, char **out) STATUS_MUST_USE;

// Tests make the n-th reservation from now fail (n >= 1); 0 turns it off.
void memory_fail_after(long n);

// An arena: many small reservations, one release.
struct arena {
    struct arena_block *blocks;
    size_t bytes; // reserved so far
};
void arena_init(struct arena *arena);
void arena_fini(struct arena *arena);
enum status arena_take(struct arena *arena, size_t count, size_t item_bytes,
                       void *out) STATUS_MUST_USE;
enum status arena_text(struct arena *arena, const char *text, size_t length,
                       char **out) STATUS_MUST_USE;

// A growing byte string, always followed by a NUL that `length` does not count.
struct bytes {
    char *data;
    size_t length, capacity;
};
void bytes_init(struct bytes *bytes);
void bytes_fini(struct bytes *bytes);
void bytes_clear(struct bytes *bytes); // keeps the memory
enum status bytes_append(struct bytes *bytes, const void *data, size_t length) STATUS_MUST_USE;
enum status bytes_text(struct bytes *bytes, const char *text) STATUS_MUST_USE;
enum status bytes_format(struct bytes *bytes, const char *format, ...)
    STATUS_PRINTF(2, 3) STATUS_MUST_USE;

#endif
