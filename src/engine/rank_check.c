#include "engine/rank_check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memory.h"
#include "engine/rank_background.h"

enum { BLOCK_BYTES = 4 << 20 };

// Shared by all who are forked.
struct shared_sums {
    _Atomic bool spoilt;
    _Atomic uint64_t sums[]; // [n]; 0: not yet summed
};

struct rank_check {
    const struct model_weights *weights;
    struct shared_sums *shared;
    size_t n, shared_bytes;
    struct comm *comm;
    pthread_t thread;
    bool started;
    _Atomic bool stop; // relaxed: only when
};

enum status rank_check_new(const struct model_weights *weights, struct rank_check **out)
{
    struct rank_check *check;
    TRY(memory_new(1, sizeof *check, "sums of the weights", &check));
    check->weights = weights;
    check->n = (model_weights_bytes(weights) + BLOCK_BYTES - 1) / BLOCK_BYTES;
    check->shared_bytes = sizeof *check->shared + check->n * sizeof check->shared->sums[0];
    check->shared =
        mmap(NULL, check->shared_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (check->shared == MAP_FAILED) {
        size_t bytes = check->shared_bytes;
        free(check);
        return fail_memory(bytes, "sums of the weights");
    }
    *out = check;
    return OK;
}

const _Atomic bool *rank_check_spoilt(const struct rank_check *check)
{
    return &check->shared->spoilt;
}

void rank_check_free(struct rank_check *check)
{
    if (!check)
        return;
    munmap(check->shared, check->shared_bytes);
    free(check);
}

// The keeper would give the same to the next rank: it goes, too, as it sees `spoilt`.
static void refuse_block(struct rank_check *check, size_t block)
{
    char sentence[160];
    snprintf(sentence, sizeof sentence,
             "bytes %zu to %zu of its weights in memory are not what was loaded, as bad memory or "
             "a stray write would leave them; they are read again",
             block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
    // relaxed: looked at when this process is gone
    atomic_store_explicit(&check->shared->spoilt, true, memory_order_relaxed);
    comm_accuse_itself(check->comm, sentence);
}

static void *check_blocks(void *context)
{
    struct rank_check *check = context;
    yield_to_steps();
    for (size_t i = 0; i < check->n; i++) {
        if (atomic_load_explicit(&check->stop, memory_order_relaxed))
            return NULL;
        // never 0, so that 0 means none
        uint64_t sum = model_weights_sum(check->weights, i * BLOCK_BYTES, BLOCK_BYTES) | 1;
        // relaxed: each is a word of its own
        uint64_t before = atomic_load_explicit(&check->shared->sums[i], memory_order_relaxed);
        if (before == 0) {
            atomic_store_explicit(&check->shared->sums[i], sum, memory_order_relaxed);
        } else if (before != sum) {
            refuse_block(check, i);
            return NULL;
        }
    }
    return NULL;
}

enum status rank_check_start(struct rank_check *check, struct comm *comm)
{
    check->comm = comm;
    int error = pthread_create(&check->thread, NULL, check_blocks, check);
    if (error)
        return fail(ERR_MEMORY, "a thread cannot be started: %s", strerror(error));
    check->started = true;
    return OK;
}

void rank_check_stop(struct rank_check *check)
{
    if (!check || !check->started)
        return;
    atomic_store_explicit(&check->stop, true, memory_order_relaxed);
    pthread_join(check->thread, NULL);
    check->started = false;
}
