// What it costs to move a cache line from one core to another decides everything here
// (docs/performance.md has the figures):
//
// - A line that was modified by one core and is read by another changes its owner. So who has read
// a
//   line is the one who may write it next at no cost: slots change hands every other round
//   (round_slot()), and two-shot puts sums into the very lines that the summands came in.
// - Lines that are still in their writer's first-level cache are given away at half the pace of
//   those in its second-level cache. A slot of some KB is therefore spread over the beginnings of
//   16 pages: these compete for the same few sets, and the early ones are out before the peer asks.
// - The shortest ones are pushed out explicitly, while the peer has not seen our flag yet.
#include "comm/shm_two_ranks.h"

#include <assert.h>
#include <string.h>

#include "comm/cache_line.h"
#include "comm/shm_round.h"

enum {
    PAGE_BYTES = 4096,    // first-level sets repeat at this distance
    SPREAD_PAGES = 16,    // more than a set of the first-level cache has ways
    DEMOTED_PERCENT = 40, // measured: the shortest times at 1 to 4 KB
    AHEAD_BYTES = 1024,
    PART_UNIT = 32, // floats: a chunk is a multiple, so that its halves begin on cache lines
};
static_assert(SPREAD_PAGES * PAGE_BYTES <= (int)SLOT_BYTES, "a slot holds a spread message");

bool shm_two_ranks_fits(const struct comm *comm, const struct reduction_tree *tree)
{
    if (comm->size != 2 || tree->first_leaf[1] * 2 != tree->n_leaves)
        return false;
    uint64_t right = tree->present >> tree->first_leaf[1];
    return right != 0 && right << tree->first_leaf[1] != tree->present;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

// The canonical order: rank 0's summand is the left one.
static void add_summands(const struct comm *comm, float *sum, const float *own, const float *others,
                         size_t n)
{
    if (comm->rank == 0)
        comm->kernels->add_to(sum, own, others, n);
    else
        comm->kernels->add_to(sum, others, own, n);
}

static void prefetch(const void *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += CACHE_LINE_BYTES)
        __builtin_prefetch((const char *)from + i);
}

// Block i of a message is at i * PAGE_BYTES in the slot; whole pages are simply a slot without
// gaps.
static size_t block_bytes_of(const struct comm *comm, size_t bytes)
{
    const struct comm_points *points = &comm->points;
    if (bytes <= points->demote_bytes || bytes > points->spread_bytes)
        return PAGE_BYTES;
    size_t block = CACHE_LINE_BYTES;
    while (block * SPREAD_PAGES < bytes)
        block *= 2;
    return least(block, PAGE_BYTES);
}

static void sum_slot(struct comm *comm, const float *in, size_t n, size_t block,
                     const struct reduce_sink *sink)
{
    _Alignas(64) float room[PAGE_BYTES / sizeof(float)];
    const char *slot = round_slot(comm, !comm->rank);
    for (size_t i = 0; i < n; i += block, slot += PAGE_BYTES) {
        size_t count = least(block, n - i);
        if (block * sizeof *in < PAGE_BYTES && i + block < n)
            prefetch(slot + PAGE_BYTES, block * sizeof *in);
        const void *others = slot;
        float *sum = sink->out ? sink->out + i : room;
        add_summands(comm, sum, in + i, others, count);
        if (!sink->out)
            sink->consume(sink->context, i, sum, count);
    }
}

static enum status one_shot(struct comm *comm, const float *in, size_t n,
                            const struct reduce_sink *sink)
{
    size_t bytes = n * sizeof *in, block = block_bytes_of(comm, bytes);
    TRY(round_begin(comm, OPERATION_ALL_REDUCE, 0, n));
    char *slot = round_slot(comm, comm->rank);
    for (size_t i = 0; i < bytes; i += block)
        slot_write(comm, slot + i / block * PAGE_BYTES, (const char *)in + i,
                   least(block, bytes - i));
    round_publish(comm);
    if (bytes <= comm->points.demote_bytes)
        cache_demote(slot + bytes * (100 - DEMOTED_PERCENT) / 100, slot + bytes);
    TRY(round_await_all(comm));
    sum_slot(comm, in, n, block / sizeof *in, sink);
    return OK;
}

// Two-shot: of each chunk a rank sums its half. In step i, page by page,
//
//   take   the peer's sums of chunk i - 1 are read from the own area, where they have replaced our
//          summands,
//   offer  the same lines get our summands of chunk i + 1 for the peer's half,
//   sum    our half of chunk i, in the peer's area: the sum replaces the peer's summands.
//
// What is read has been written a step ago, so that most of it has left the first-level cache, and
// copies run while lines travel. Steps are separated by a round.
struct exchange {
    struct comm *comm;
    const float *in;
    size_t n, chunk, n_chunks; // floats; chunks
    const struct reduce_sink *sink;
};

// Rank `rank`'s half of chunk i.
static size_t half_of(const struct exchange *x, size_t i, int rank, size_t *begin)
{
    size_t count = least(x->chunk, x->n - i * x->chunk), half = least(x->chunk / 2, count);
    *begin = i * x->chunk + (rank ? half : 0);
    return rank ? count - half : half;
}

static float *area_of(const struct exchange *x, size_t i, int rank, size_t offset)
{
    void *area = x->comm->exchanges[rank][i & 1];
    return (float *)area + offset;
}

static void deliver(const struct exchange *x, size_t offset, const float *sum, size_t count)
{
    if (x->sink->out)
        memcpy(x->sink->out + offset, sum, count * sizeof *sum);
    else
        x->sink->consume(x->sink->context, offset, sum, count);
}

static void take(const struct exchange *x, size_t i, size_t page, size_t width)
{
    size_t begin, half = half_of(x, i, !x->comm->rank, &begin);
    if (page >= half)
        return;
    size_t count = least(width, half - page);
    const float *sum = area_of(x, i, x->comm->rank, page);
    deliver(x, begin + page, sum, count);
}

static void offer(const struct exchange *x, size_t i, size_t page, size_t width)
{
    size_t begin, half = half_of(x, i, !x->comm->rank, &begin);
    if (page < half)
        slot_write(x->comm, area_of(x, i, x->comm->rank, page), x->in + begin + page,
                   least(width, half - page) * sizeof *x->in);
}

static void sum_half(const struct exchange *x, size_t i, size_t page, size_t width)
{
    struct comm *comm = x->comm;
    size_t begin, half = half_of(x, i, comm->rank, &begin);
    if (page >= half)
        return;
    size_t count = least(width, half - page);
    float *sum = area_of(x, i, !comm->rank, page);
    add_summands(comm, sum, x->in + begin + page, sum, count);
    deliver(x, begin + page, sum, count);
    comm->statistics.bytes_sent += count * sizeof *sum;
}

// The hardware's prefetcher starts anew on each page: the first lines are asked for a page early.
static void announce(const struct exchange *x, size_t i, int rank, size_t page)
{
    if (page < x->chunk / 2)
        prefetch(area_of(x, i, rank, page), AHEAD_BYTES);
}

static void step(const struct exchange *x, size_t i)
{
    static const size_t width = PAGE_BYTES / sizeof(float);
    int self = x->comm->rank;
    for (size_t page = 0; page < x->chunk / 2; page += width) {
        announce(x, i, !self, page);
        if (i > 0)
            take(x, i - 1, page, width);
        announce(x, i + 1, self, page + width);
        if (i + 1 < x->n_chunks)
            offer(x, i + 1, page, width);
        if (i < x->n_chunks)
            sum_half(x, i, page, width);
    }
}

// Areas are used by this function alone. Who publishes the last round has read all but its own
// area, which is its own to write next.
static enum status two_shot(struct comm *comm, const float *in, size_t n,
                            const struct reduce_sink *sink)
{
    enum { ROOT = 1 }; // tells the rounds of two-shot from those of one-shot
    static const size_t width = PAGE_BYTES / sizeof(float);
    struct exchange x = {.comm = comm, .in = in, .n = n, .sink = sink};
    size_t most = comm->points.chunk_bytes / sizeof *in;
    size_t n_chunks = (n + most - 1) / most;
    x.chunk = ((n + n_chunks - 1) / n_chunks + PART_UNIT - 1) / PART_UNIT * PART_UNIT;
    x.n_chunks = (n + x.chunk - 1) / x.chunk;
    assert(x.chunk / 2 * sizeof *in <= EXCHANGE_BYTES);
    TRY(round_begin(comm, OPERATION_ALL_REDUCE, ROOT, n));
    for (size_t page = 0; page < x.chunk / 2; page += width)
        offer(&x, 0, page, width);
    for (size_t i = 0; i <= x.n_chunks; i++) {
        if (i > 0)
            TRY(round_begin(comm, OPERATION_ALL_REDUCE, ROOT, n));
        round_publish(comm);
        TRY(round_await_all(comm));
        step(&x, i);
    }
    return OK;
}

enum status shm_two_ranks_all_reduce(struct comm *comm, const float *in, size_t n,
                                     const struct reduce_sink *sink)
{
    if (n * sizeof *in <= comm->points.one_shot_bytes)
        return one_shot(comm, in, n, sink);
    return two_shot(comm, in, n, sink);
}
