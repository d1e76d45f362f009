#include "engine/board.h"

#include <string.h>
#include <unistd.h>

#include "base/checked.h"

static const char MAGIC[8] = "colrow\1";

// Rows of `best` of a rank: whole cache lines.
static int32_t best_rows(const struct board_shape *shape)
{
    return (int32_t)round_up((size_t)shape->limits.logit_rows_max,
                             BOARD_LINE / sizeof(struct step_best));
}

struct places {
    size_t ranks, plan, plan_bytes, best, logits, capture, sharing, end;
};

static bool place(size_t *end, size_t a, size_t b, size_t c, size_t *out)
{
    size_t bytes;
    *out = *end;
    return checked_mul3(a, b, c, &bytes) && checked_add(bytes, BOARD_LINE - 1, &bytes) &&
           checked_add(*end, bytes & ~(size_t)(BOARD_LINE - 1), end);
}

static enum status places_of(const struct board_shape *shape, struct places *out)
{
    const struct step_limits *limits = &shape->limits;
    size_t n_ranks = (size_t)shape->n_ranks, logit_rows = (size_t)limits->logit_rows_max,
           slots = (size_t)board_slots(shape), rows, unused;
    TRY(step_plan_bytes(limits, &out->plan_bytes));
    out->plan_bytes = round_up(out->plan_bytes, BOARD_LINE);
    size_t end = 0;
    bool good =
        place(&end, 1, 1, sizeof(struct board_header), &unused) &&
        place(&end, n_ranks, 1, sizeof(struct board_rank), &out->ranks) &&
        place(&end, out->plan_bytes, slots, 1, &out->plan) &&
        place(&end, n_ranks * slots, (size_t)best_rows(shape), sizeof(struct step_best),
              &out->best) &&
        checked_mul(logit_rows, slots, &rows) &&
        place(&end, rows, (size_t)shape->vocab_size, sizeof(float), &out->logits) &&
        checked_mul((size_t)shape->capture_rows_max, (size_t)shape->num_hidden_layers + 1, &rows) &&
        place(&end, rows, (size_t)shape->hidden_size, sizeof(float), &out->capture) &&
        place(&end, (size_t)shape->n_sharing, shared_rows_bytes(), 1, &out->sharing);
    out->end = end;
    return good ? OK : fail_memory(SIZE_MAX, "the memory shared with the ranks");
}

enum status board_bytes(const struct board_shape *shape, size_t *out)
{
    struct places places;
    TRY(places_of(shape, &places));
    *out = places.end;
    return OK;
}

static void fill_header(struct board *board, char *memory, const struct board_shape *shape,
                        const struct places *places)
{
    *board = (struct board){
        .header = (struct board_header *)memory,
        .ranks = (struct board_rank *)(memory + places->ranks),
        .plans = memory + places->plan,
        .plan_bytes = places->plan_bytes,
        .sharing = memory + places->sharing,
    };
    size_t logits = (size_t)shape->limits.logit_rows_max * (size_t)shape->vocab_size,
           best = (size_t)shape->n_ranks * (size_t)best_rows(shape);
    for (size_t i = 0; i < (size_t)board_slots(shape); i++)
        board->results[i] = (struct step_results){
            .logits = (float *)(memory + places->logits) + i * logits,
            .best = (struct step_best *)(memory + places->best) + i * best,
            .logit_rows_max = best_rows(shape),
            .capture = shape->capture_rows_max ? (float *)(memory + places->capture) : NULL,
            .capture_rows_max = shape->capture_rows_max,
        };
}

enum status board_post(void *memory, const struct board_shape *shape,
                       const struct board_options *options, struct board *out)
{
    struct places places;
    TRY(places_of(shape, &places));
    fill_header(out, memory, shape, &places);
    struct board_header *header = out->header;
    memcpy(header->magic, MAGIC, sizeof header->magic);
    header->version = BOARD_VERSION;
    header->bytes = places.end;
    header->shape = *shape;
    header->options = *options;
    uint32_t before = (uint32_t)(options->first_step - 1);
    signal_note(&header->plan,
                before); // numbers wrap around: far from 0 a word of 0 would lie ahead
    signal_note(&header->done, before);
    signal_note(&header->kv_wanted, (uint32_t)options->kv_pages_first);
    signal_raise(&header->posted, 1);
    return OK;
}

static bool ends_within(const char *text, size_t bytes)
{
    return memchr(text, '\0', bytes) != NULL;
}

// The front-end may be another build than the rank program it found.
static enum status check(const struct board_header *header, size_t bytes, int n_ranks)
{
    if (memcmp(header->magic, MAGIC, sizeof MAGIC) != 0 || header->version != BOARD_VERSION)
        return fail(
            ERR_INPUT,
            "the rank program and the program that started it are of different versions of colrow; "
            "name the right one with COLROW_RANK_PROGRAM");
    const struct board_shape *shape = &header->shape;
    const struct step_limits *limits = &shape->limits;
    struct places places;
    if (limits->rows_max < 1 || limits->sequences_max < 1 || limits->logit_rows_max < 1 ||
        shape->vocab_size < 1 || limits->page_entries_max < 1 || shape->kv_pages < 1 ||
        shape->host_pages < 0 || shape->n_slots < 0 || shape->n_slots > STEPS_UNDER_WAY_MAX ||
        shape->n_sharing < 0 || shape->n_sharing > n_ranks || limits->copies_max < 0 ||
        shape->capture_rows_max < 0 || shape->hidden_size < 1 || shape->num_hidden_layers < 1 ||
        shape->n_ranks != n_ranks || header->options.n_stages < 0 ||
        n_ranks % board_stages(&header->options) != 0 || shape->n_arriving < 1 ||
        shape->n_arriving > n_ranks || header->options.first_step < 1 ||
        header->options.kv_pages_first < 0 || header->options.kv_pages_first > shape->kv_pages)
        return fail(ERR_INTERNAL, "the memory shared with the front-end has an impossible shape");
    TRY(places_of(shape, &places));
    if (places.end != header->bytes || header->bytes > bytes ||
        !ends_within(header->options.model, FILE_PATH_MAX) ||
        !ends_within(header->options.layer_partition, LAYER_PARTITION_BYTES) ||
        !ends_within(header->options.tp_plan, FILE_PATH_MAX))
        return fail(ERR_INTERNAL,
                    "the memory shared with the front-end has %zu bytes; expected %zu", bytes,
                    places.end);
    return OK;
}

enum status board_attach(void *memory, size_t bytes, int n_ranks, signal_check check_group,
                         void *context, struct board *out)
{
    if (!memory || bytes < sizeof(struct board_header))
        return fail(ERR_INPUT,
                    "`colrow rank` is what colrow starts by itself; use `colrow generate`");
    struct board_header *header = memory;
    TRY(signal_await(&header->posted, 1, WAIT_IDLE, check_group, context));
    TRY(check(header, bytes, n_ranks));
    struct places places;
    TRY(places_of(&header->shape, &places));
    fill_header(out, memory, &header->shape, &places);
    out->bell_fd = header->options.bell_fd;
    return OK;
}

void board_ring(const struct board *board)
{
    uint64_t one = 1;
    // an eventfd that is full is readable already
    ssize_t written = board->bell_fd > 0 ? write(board->bell_fd, &one, sizeof one) : 0;
    (void)written;
}

void board_arrive(struct board *board, uint64_t done)
{
    struct board_header *header = board->header;
    uint64_t n_steps = done - board_loaded(board), round = 1; // the how manieth in its slot
    struct board_arrivals *arrivals = &header->loaded;
    if (n_steps > 0) {
        arrivals = &header->arrivals[board_slot(board, done - 1)];
        round += (n_steps - 1) / (uint64_t)board_slots(&header->shape);
    }
    // acq_rel: what every rank wrote before it arrived is visible to the one that raises `done`,
    // hence to the front-end
    uint64_t n = atomic_fetch_add_explicit(&arrivals->n, 1, memory_order_acq_rel) + 1;
    if (n != round * (uint64_t)header->shape.n_arriving)
        return;
    signal_raise(&header->done, (uint32_t)done);
    // seq_cst, as the store in signal_raise() and both in board_listen(): either the listener is
    // seen here, or it sees `done`
    if (atomic_load_explicit(&header->listening, memory_order_seq_cst))
        board_ring(board);
}

bool board_listen(struct board *board, uint64_t done)
{
    struct board_header *header = board->header;
    atomic_store_explicit(&header->listening, 1, memory_order_seq_cst);
    uint32_t seen = atomic_load_explicit(&header->done.value, memory_order_seq_cst);
    return (int32_t)((uint32_t)done - seen) > 0;
}
