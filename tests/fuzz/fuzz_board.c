// A board as the front-end posts it, with bytes of its header changed as the input says, or a
// memory that holds nothing but the input: a rank refuses it with a sentence, or all that it finds
// there lies inside the memory, and arrivals raise `done` once.
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "engine/board.h"

enum { SHAPE_BYTES = 12, PATCH_BYTES = 3, MEMORY_BYTES_MAX = 1 << 20 };

static enum status leave(void *context)
{
    (void)context;
    return fail(ERR_GROUP, "nobody posts this board");
}

static struct board_shape shape_of(const uint8_t *data)
{
    return (struct board_shape){
        .n_ranks = 1 + data[0] % 4,
        .n_arriving = 1 + data[0] % 4,
        .limits = {.rows_max = 1 + data[1] % 32,
                   .sequences_max = 1 + data[2] % 8,
                   .logit_rows_max = 1 + data[3] % 8,
                   .page_entries_max = 1 + data[4] % 64},
        .kv_pages = 1 + data[5],
        .vocab_size = 1 + data[6] % 64,
        .hidden_size = 1 + data[7] % 16,
        .num_hidden_layers = 1 + data[8] % 3,
        .capture_rows_max = data[9] % 4,
        .n_slots = data[10] % 4,
    };
}

// Writes a byte at both ends of what lies at `begin`: a sanitizer sees what is beyond.
static void touch(const char *memory, size_t bytes, void *begin, uint64_t length)
{
    uintptr_t at = (uintptr_t)begin, from = (uintptr_t)memory;
    assert(at >= from && at - from <= bytes && length <= bytes - (at - from));
    if (length) {
        ((char *)begin)[0] = 1;
        ((char *)begin)[length - 1] = 1;
    }
}

static void touch_all(const struct board *board, const char *memory, size_t bytes, int n_ranks)
{
    const struct board_shape *shape = &board->header->shape;
    uint64_t logit_rows = (uint64_t)shape->limits.logit_rows_max;
    size_t plan;
    enum status status = step_plan_bytes(&shape->limits, &plan);
    assert(status == OK && shape->n_ranks == n_ranks);
    touch(memory, bytes, board->ranks, (uint64_t)n_ranks * sizeof *board->ranks);
    for (uint64_t i = 0; i < (uint64_t)board_slots(shape); i++) {
        uint64_t number = board->header->options.first_step + i;
        const struct step_results *results = board_results(board, number);
        touch(memory, bytes, board_plan(board, number), plan);
        touch(memory, bytes, results->best,
              (uint64_t)n_ranks * (uint64_t)results->logit_rows_max * sizeof *results->best);
        touch(memory, bytes, results->logits,
              logit_rows * (uint64_t)shape->vocab_size * sizeof(float));
        if (results->capture)
            touch(memory, bytes, results->capture,
                  (uint64_t)results->capture_rows_max * ((uint64_t)shape->num_hidden_layers + 1) *
                      (uint64_t)shape->hidden_size * sizeof(float));
    }
}

static void check_rounds(struct board *board, int n_ranks)
{
    uint64_t first = board->header->options.first_step;
    board->header->options.bell_fd = 0;
    atomic_store(&board->header->loaded.n, 0);
    for (int i = 0; i < STEPS_UNDER_WAY_MAX; i++)
        atomic_store(&board->header->arrivals[i].n, 0);
    signal_note(&board->header->done, (uint32_t)(first - 1));
    for (uint64_t done = first; done < first + 4; done++)
        for (int rank = 0; rank < n_ranks; rank++) {
            assert(!signal_reached(&board->header->done, (uint32_t)done));
            board_arrive(board, done);
            assert(signal_reached(&board->header->done, (uint32_t)done) == (rank + 1 == n_ranks));
        }
}

static void attach(char *memory, size_t bytes, int n_ranks)
{
    struct board board;
    enum status status = board_attach(memory, bytes, n_ranks, leave, NULL, &board);
    if (status != OK) {
        assert(*status_message());
        return;
    }
    touch_all(&board, memory, bytes, n_ranks);
    check_rounds(&board, n_ranks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < SHAPE_BYTES)
        return 0;
    struct board_shape shape = shape_of(data);
    struct board_options options = {.generation = data[10], .first_step = 1 + data[11]};
    struct board board;
    size_t bytes;
    enum status status = board_bytes(&shape, &bytes);
    assert(status == OK && bytes <= MEMORY_BYTES_MAX);
    size_t whole = (bytes + BOARD_LINE - 1) / BOARD_LINE * BOARD_LINE;
    char *memory = aligned_alloc(BOARD_LINE, whole);
    assert(memory);
    memset(memory, 0, whole);
    status = board_post(memory, &shape, &options, &board);
    assert(status == OK);
    data += SHAPE_BYTES;
    size -= SHAPE_BYTES;
    for (; size >= PATCH_BYTES; data += PATCH_BYTES, size -= PATCH_BYTES)
        memory[(data[0] | (size_t)data[1] << 8) % sizeof(struct board_header)] = (char)data[2];
    signal_note(&board.header->posted, 1); // nobody waits
    attach(memory, bytes, shape.n_ranks);
    if (size) // one byte is left: the memory, or the rank's idea of it, is smaller
        attach(memory, bytes - data[0] % bytes, 1 + data[0] % 4);
    free(memory);
    return 0;
}
