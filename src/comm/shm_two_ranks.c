// What it costs to move a cache line from one core to another decides everything here
// (docs/performance.md has the figures):
//
// - A line that was modified by one core and is read by another changes its owner. So who has
//   read a line is the one who may write it next at no cost: slots change hands every other round
//   (round_slot()), and two-shot puts sums into the very lines that the summands came in.
// - Lines that are still in their writer's first-level cache are given away at half the pace of
//   those in its second-level cache. A slot of some KB is therefore spread over the beginnings of
//   16 pages: these compete for the same few sets, and the early ones are out before the peer asks.
// - The shortest ones are pushed out explicitly, while the peer has not seen our flag yet.
#include "comm/shm_two_ranks.h"

#include <assert.h>

#include "comm/cache_line.h"
#include "comm/shm_round.h"

enum {
    PAGE_BYTES = 4096,    // first-level sets repeat at this distance
    SPREAD_PAGES = 16,    // more than a set of the first-level cache has ways
    DEMOTED_PERCENT = 40, // measured: the shortest times at 1 to 4 KB
    PART_UNIT = 32,       // floats: a chunk is a multiple, so that its halves begin on cache lines
};
static_assert(SPREAD_PAGES * PAGE_BYTES <= (int)SLOT_BYTES, "a slot holds a spread message");

bool shm_two_ranks_fits(const struct comm *comm, const struct reduction_tree *tree)
{
    if (comm->size != 2 || tree->first_leaf[1] * 2 != tree->n_leaves)
        return false;
    uint64_t right = tree->present >> tree->first_leaf[1];
    return right != 0 && right << tree->first_leaf[1] != tree->present;
}

static size_t least_bytes(size_t a, size_t b)
{
    return a < b ? a : b;
}

// The canonical order: rank 0's summand is the left one. `copy`: where else the sum goes, or NULL.
static void add_summands(const struct comm *comm, float *sum, float *copy, const float *own,
                         const float *others, size_t n)
{
    const float *left = comm->rank == 0 ? own : others, *right = comm->rank == 0 ? others : own;
    if (copy)
        comm->kernels->add_to_both(sum, copy, left, right, n);
    else
        comm->kernels->add_to(sum, left, right, n);
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
    return least_bytes(block, PAGE_BYTES);
}

static void sum_slot(struct comm *comm, const float *in, size_t n, size_t block,
                     const struct reduce_sink *sink)
{
    _Alignas(64) float room[PAGE_BYTES / sizeof(float)];
    const char *slot = round_slot(comm, !comm->rank);
    for (size_t i = 0; i < n; i += block, slot += PAGE_BYTES) {
        size_t count = least_bytes(block, n - i);
        if (block * sizeof *in < PAGE_BYTES && i + block < n)
            prefetch(slot + PAGE_BYTES, block * sizeof *in);
        const void *others = slot;
        float *sum = sink->out ? sink->out + i : room;
        add_summands(comm, sum, NULL, in + i, others, count);
        if (!sink->out)
            sink->consume(sink->context, i, sum, count);
    }
}

static enum status exchange_one_shot(struct comm *comm, const float *in, size_t n,
                                     const struct reduce_sink *sink)
{
    size_t bytes = n * sizeof *in, block = block_bytes_of(comm, bytes);
    TRY(round_begin(comm, OPERATION_ALL_REDUCE, 0, n));
    char *slot = round_slot(comm, comm->rank);
    for (size_t i = 0; i < bytes; i += block)
        slot_write(comm, slot + i / block * PAGE_BYTES, (const char *)in + i,
                   least_bytes(block, bytes - i));
    round_publish(comm);
    if (bytes <= comm->points.demote_bytes)
        cache_demote(slot + bytes * (100 - DEMOTED_PERCENT) / 100, slot + bytes);
    TRY(round_await_all(comm));
    sum_slot(comm, in, n, block / sizeof *in, sink);
    return OK;
}

// Two-shot: of each chunk a rank sums its half. In step i, block by block,
//
//   take   the peer's sums of chunk i - 1 are read from the own area, where they have replaced our
//          summands,
//   offer  the same lines get our summands of chunk i + 1 for the peer's half,
//   sum    our half of chunk i, in the peer's area: the sum replaces the peer's summands.
//
// What is read has been written a step ago, so that most of it has left the first-level cache, and
// copies run while lines travel: two streams of them, the taken and the summed. The three are a
// block apart from each other. Side by side they would meet at equal places of pages, where a
// load has to wait for each older store whose address ends alike.
//
// There is no barrier between steps. A rank says after each page how far it is, and step i on a
// page needs no more of the peer than step i - 1 on that page.
struct exchange {
    struct comm *comm;
    const float *in;
    size_t n, chunk, n_chunks; // floats; chunks
    const struct reduce_sink *sink;
};

enum {
    BLOCK = 512 / sizeof(float),
    OFFER_LAG = BLOCK,
    SUM_LAG = 2 * BLOCK,
    PAGE = PAGE_BYTES / sizeof(float),
};
static_assert(PAGE % BLOCK == 0, "pages end with blocks");

// One rank's half of one chunk, and the area that it travels through.
struct half {
    float *area;
    size_t begin, count; // in the message
};

static struct half half_of(const struct exchange *x, size_t i, int rank, int area_rank)
{
    if (i >= x->n_chunks) // also before the first
        return (struct half){0};
    size_t begin = i * x->chunk, count = least_bytes(x->chunk, x->n - begin);
    size_t first = least_bytes(x->chunk / 2, count);
    void *area = shm_of(x->comm)->exchanges[area_rank][i & 1];
    return (struct half){area, rank ? begin + first : begin, rank ? count - first : first};
}

static void take(const struct exchange *x, const struct half *half, size_t at)
{
    if (at >= half->count)
        return;
    size_t n = least_bytes(BLOCK, half->count - at), offset = half->begin + at;
    if (x->sink->out)
        x->comm->kernels->copy(x->sink->out + offset, half->area + at, n);
    else
        x->sink->consume(x->sink->context, offset, half->area + at, n);
}

static void offer(const struct exchange *x, const struct half *half, size_t at)
{
    if (at < half->count)
        slot_write(x->comm, half->area + at, x->in + half->begin + at,
                   least_bytes(BLOCK, half->count - at) * sizeof *x->in);
}

static void sum_block(const struct exchange *x, const struct half *half, size_t at)
{
    if (at >= half->count)
        return;
    size_t n = least_bytes(BLOCK, half->count - at), offset = half->begin + at;
    float *sum = half->area + at, *out = x->sink->out;
    add_summands(x->comm, sum, out ? out + offset : NULL, x->in + offset, sum, n);
    if (!out)
        x->sink->consume(x->sink->context, offset, sum, n);
}

// `base`: the round after which chunk 0 had been offered.
static enum status exchange_step(const struct exchange *x, size_t i, uint32_t base)
{
    struct comm *comm = x->comm;
    int self = comm->rank, peer = !self;
    const struct half taken = half_of(x, i - 1, peer, self),
                      offered = half_of(x, i + 1, peer, self), summed = half_of(x, i, self, peer);
    size_t half = x->chunk / 2, n_pages = (half + PAGE - 1) / PAGE;
    for (size_t at = 0; at < half + SUM_LAG; at += BLOCK) {
        if (i > 0 && at < half && at % PAGE == 0)
            TRY(round_await_progress(comm, base + (uint32_t)((i - 1) * n_pages + at / PAGE + 1)));
        take(x, &taken, at);
        if (at >= OFFER_LAG)
            offer(x, &offered, at - OFFER_LAG);
        if (at < SUM_LAG || i == x->n_chunks)
            continue;
        sum_block(x, &summed, at - SUM_LAG);
        size_t end = at - SUM_LAG + BLOCK;
        if (end % PAGE == 0 || end >= half)
            round_advance(comm, end >= half);
    }
    comm->statistics.bytes_sent += summed.count * sizeof *x->in;
    return OK;
}

// Areas are used by this function alone. Who returns has read all but its own area, which is its
// own to write next.
static enum status exchange_two_shot(struct comm *comm, const float *in, size_t n,
                                     const struct reduce_sink *sink)
{
    enum { ROOT = 1 }; // tells the rounds of two-shot from those of one-shot
    struct exchange x = {.comm = comm, .in = in, .n = n, .sink = sink};
    size_t most = comm->points.chunk_bytes / sizeof *in;
    size_t n_chunks = (n + most - 1) / most;
    x.chunk = ((n + n_chunks - 1) / n_chunks + PART_UNIT - 1) / PART_UNIT * PART_UNIT;
    x.n_chunks = (n + x.chunk - 1) / x.chunk;
    assert(x.chunk / 2 * sizeof *in <= EXCHANGE_BYTES);
    TRY(round_begin(comm, OPERATION_ALL_REDUCE, ROOT, n));
    const struct half first = half_of(&x, 0, !comm->rank, comm->rank);
    for (size_t at = 0; at < first.count; at += BLOCK)
        offer(&x, &first, at);
    round_publish(comm);
    TRY(round_await_all(comm));
    uint32_t base = shm_of(comm)->round;
    for (size_t i = 0; i <= x.n_chunks; i++)
        TRY(exchange_step(&x, i, base));
    return OK;
}

enum status shm_two_ranks_all_reduce(struct comm *comm, const float *in, size_t n,
                                     const struct reduce_sink *sink)
{
    if (n * sizeof *in <= comm->points.one_shot_bytes)
        return exchange_one_shot(comm, in, n, sink);
    return exchange_two_shot(comm, in, n, sink);
}
