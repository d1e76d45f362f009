#include "model/shared_rows.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device/panels.h"

enum {
    // Together what is on its way to a machine at once, and memory while it loads.
    SLOTS = 12,
    SLOT_SIZE = 6 << 20,
    BLOCK_SIZE = 2 << 20, // of a block, unless one panel's rows are more
    LINE = 128,
    ROWS_UNIT = 2 * PANEL_WIDTH, // whole panels, also of two matrices that lie in turn
};

struct shared_rows_memory {
    struct {
        alignas(LINE) struct signal_word said; // 1: the number is there
        _Atomic uint64_t number;
    } ranks[COMM_RANKS_MAX];
    struct {
        alignas(LINE) struct signal_word filled, // the block that is there, from 1 on
            freed;                               // the last one that all have taken
        _Atomic uint32_t n_taken;
    } slots[SLOTS];
    alignas(LINE) _Atomic uint32_t n_left;
    alignas(LINE) char data[SLOTS][SLOT_SIZE];
};

size_t shared_rows_bytes(void)
{
    return sizeof(struct shared_rows_memory);
}

int64_t shared_rows_fitting(const struct tensor_info *tensor)
{
    uint64_t row = (uint64_t)tensor_columns(tensor) * element_bytes(tensor->type);
    int64_t rows = row ? (int64_t)(BLOCK_SIZE / row) : 0;
    if (rows >= ROWS_UNIT)
        return rows / ROWS_UNIT * ROWS_UNIT;
    return row && PANEL_WIDTH * row <= SLOT_SIZE ? PANEL_WIDTH : 0;
}

enum status shared_rows_agree(struct shared_rows *shared, uint64_t number, bool *agreed)
{
    struct shared_rows_memory *memory = shared->memory;
    assert(shared->n <= COMM_RANKS_MAX && shared->self < shared->n);
    // relaxed: ordered by the word
    atomic_store_explicit(&memory->ranks[shared->self].number, number, memory_order_relaxed);
    signal_raise(&memory->ranks[shared->self].said, 1);
    *agreed = true;
    for (int r = 0; r < shared->n; r++) {
        TRY(signal_await(&memory->ranks[r].said, 1, WAIT_IDLE, shared->check, shared->context));
        *agreed &= atomic_load_explicit(&memory->ranks[r].number, memory_order_relaxed) == number;
    }
    return OK;
}

bool shared_rows_give(struct shared_rows *shared, uint64_t bytes)
{
    int least = 0;
    for (int r = 1; r < shared->n; r++)
        if (shared->given[r] < shared->given[least])
            least = r;
    shared->given[least] += bytes;
    return least == shared->self;
}

enum status shared_rows_begin(struct shared_rows *shared, uint32_t block, char **place)
{
    uint32_t slot = block % SLOTS;
    *place = shared->memory->data[slot];
    if (block < SLOTS)
        return OK;
    return signal_await(&shared->memory->slots[slot].freed, block - SLOTS + 1, WAIT_IDLE,
                        shared->check, shared->context);
}

void shared_rows_filled(struct shared_rows *shared, uint32_t block)
{
    signal_raise(&shared->memory->slots[block % SLOTS].filled, block + 1);
}

enum status shared_rows_await(struct shared_rows *shared, uint32_t block, const char **place)
{
    *place = shared->memory->data[block % SLOTS];
    return signal_await(&shared->memory->slots[block % SLOTS].filled, block + 1, WAIT_IDLE,
                        shared->check, shared->context);
}

void shared_rows_taken(struct shared_rows *shared, uint32_t block)
{
    uint32_t slot = block % SLOTS, n = (uint32_t)shared->n;
    // What was read from the slot was read before it is written again: acquire and release.
    if (atomic_fetch_add(&shared->memory->slots[slot].n_taken, 1) + 1 < n)
        return;
    // relaxed: ordered by the word
    atomic_store_explicit(&shared->memory->slots[slot].n_taken, 0, memory_order_relaxed);
    signal_raise(&shared->memory->slots[slot].freed, block + 1);
}

void shared_rows_leave(struct shared_rows *shared)
{
    struct shared_rows_memory *memory = shared->memory;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE),
              begin = ((uintptr_t)memory->data + page - 1) / page * page,
              end = ((uintptr_t)memory->data + sizeof memory->data) / page * page;
    if (atomic_fetch_add(&memory->n_left, 1) + 1 == (uint32_t)shared->n)
        (void)madvise((void *)begin, end - begin,
                      MADV_REMOVE); // else it stays until the group ends
}
