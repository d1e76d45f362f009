// All-reduce over shared memory, along the canonical tree.
//
// One-shot, for short vectors: each rank publishes its nodes, everyone sums everything. One round.
// Two-shot: the vector goes in chunks, cut into one part per rank. In round i a rank publishes its
// nodes of chunk i for the others' parts, and its own part's sum of chunk i - 1; so a chunk costs
// one round, and the last one more.
#include "comm/shm_all_reduce.h"

#include <assert.h>
#include <string.h>

#include "comm/shm_two_ranks.h"

enum {
    CHUNK_BYTES = 256 << 10, // of nodes, of the rank that has most
    SUM_OFFSET = 256 << 10,  // of the own part's sum in a slot, behind the nodes for others
    PART_UNIT = 32,          // floats: parts begin on cache line pairs
};
static_assert(SUM_OFFSET + CHUNK_BYTES <= SLOT_BYTES, "a slot holds a chunk's nodes and sums");

static enum status reduce_one_shot(struct comm *comm, const struct reduction_tree *tree,
                                   const float *in, size_t n, const struct reduce_sink *sink)
{
    size_t n_nodes = (size_t)reduction_tree_node_count(tree, comm->rank);
    TRY(round_begin(comm, OPERATION_ALL_REDUCE, 0, n));
    slot_write(comm, round_slot(comm, comm->rank), in, n_nodes * n * sizeof *in);
    round_publish(comm);
    TRY(round_await_all(comm));
    const float *nodes[COMM_RANKS_MAX];
    for (int r = 0; r < comm->size; r++) {
        const void *slot = round_slot(comm, r);
        nodes[r] = r == comm->rank ? in : slot;
    }
    reduce_sink_finish(sink, tree, nodes, n, 0, n, comm->kernels);
    return OK;
}

// Part `r` of a chunk of n floats begins at; r == size: n.
static size_t part_begin(const struct comm *comm, size_t n, int r)
{
    size_t units = (n + PART_UNIT - 1) / PART_UNIT;
    size_t begin = units * (size_t)r / (size_t)comm->size * PART_UNIT;
    return begin < n ? begin : n;
}

struct two_shot {
    struct comm *comm;
    const struct reduction_tree *tree;
    const float *in;
    size_t n, chunk; // floats, of all and of a chunk
    int n_nodes[COMM_RANKS_MAX];
    const struct reduce_sink *sink;
};

static size_t chunk_count(const struct two_shot *t, size_t i)
{
    size_t rest = t->n - i * t->chunk;
    return rest < t->chunk ? rest : t->chunk;
}

// A slot's nodes lie [node][chunk floats], so that readers find them without knowing more.
static void write_nodes(const struct two_shot *t, size_t i)
{
    struct comm *comm = t->comm;
    size_t count = chunk_count(t, i);
    void *room = round_slot(comm, comm->rank);
    float *slot = room;
    for (int node = 0; node < t->n_nodes[comm->rank]; node++) {
        const float *from = t->in + (size_t)node * t->n + i * t->chunk;
        float *to = slot + (size_t)node * t->chunk;
        size_t begin = part_begin(comm, count, comm->rank);
        size_t end = part_begin(comm, count, comm->rank + 1);
        slot_write(comm, to, from, begin * sizeof *to);
        slot_write(comm, to + end, from + end, (count - end) * sizeof *to);
    }
}

static void sum_own_part(const struct two_shot *t, size_t i)
{
    struct comm *comm = t->comm;
    size_t count = chunk_count(t, i);
    size_t begin = part_begin(comm, count, comm->rank);
    size_t end = part_begin(comm, count, comm->rank + 1);
    // Own nodes have another stride than the slots'. The tree's function wants one: where there are
    // several, copy them.
    const float *nodes[COMM_RANKS_MAX];
    for (int r = 0; r < comm->size; r++) {
        void *room = round_slot(comm, r);
        nodes[r] = (float *)room + begin;
    }
    const float *own = t->in + i * t->chunk;
    if (t->n_nodes[comm->rank] == 1) {
        nodes[comm->rank] = own + begin;
    } else {
        void *room = round_slot(comm, comm->rank);
        for (int node = 0; node < t->n_nodes[comm->rank]; node++)
            memcpy((float *)room + (size_t)node * t->chunk + begin,
                   own + (size_t)node * t->n + begin, (end - begin) * sizeof *own);
    }
    float *sum = t->sink->out ? t->sink->out + i * t->chunk + begin : shm_of(comm)->part;
    reduction_tree_finish(t->tree, nodes, t->chunk, sum, end - begin, comm->kernels);
    slot_write(comm, round_next_slot(comm) + SUM_OFFSET, sum, (end - begin) * sizeof *sum);
}

static void take_sums(const struct two_shot *t, size_t i)
{
    const struct comm *comm = t->comm;
    size_t count = chunk_count(t, i);
    for (int r = 0; r < comm->size; r++) {
        size_t begin = part_begin(comm, count, r), end = part_begin(comm, count, r + 1);
        const void *room = round_slot(comm, r) + SUM_OFFSET;
        const float *sum = r == comm->rank ? shm_of(comm)->part : room;
        size_t offset = i * t->chunk + begin;
        if (begin == end)
            continue;
        if (!t->sink->out)
            t->sink->consume(t->sink->context, offset, sum, end - begin);
        else if (r != comm->rank) // own part is in `out` already
            memcpy(t->sink->out + offset, sum, (end - begin) * sizeof *sum);
    }
}

static enum status reduce_two_shot(struct comm *comm, const struct reduction_tree *tree,
                                   const float *in, size_t n, int n_nodes_max,
                                   const struct reduce_sink *sink)
{
    struct two_shot t = {.comm = comm, .tree = tree, .in = in, .n = n, .sink = sink};
    t.chunk = CHUNK_BYTES / sizeof(float) / (size_t)n_nodes_max / PART_UNIT * PART_UNIT;
    for (int r = 0; r < comm->size; r++)
        t.n_nodes[r] = reduction_tree_node_count(tree, r);
    size_t n_chunks = (n + t.chunk - 1) / t.chunk;
    for (size_t i = 0; i <= n_chunks; i++) {
        TRY(round_begin(comm, OPERATION_ALL_REDUCE, 0, n));
        if (i < n_chunks)
            write_nodes(&t, i);
        round_publish(comm);
        TRY(round_await_all(comm));
        if (i > 0) // before own part of the next chunk takes its place in shm_of(comm)->part
            take_sums(&t, i - 1);
        if (i < n_chunks)
            sum_own_part(&t, i);
    }
    return OK;
}

enum status shm_all_reduce(struct comm *comm, const struct reduction_tree *tree, const float *in,
                           size_t n, const struct reduce_sink *sink)
{
    if (shm_two_ranks_fits(comm, tree))
        return shm_two_ranks_all_reduce(comm, in, n, sink);
    int n_nodes_max = reduction_tree_node_count_max(tree);
    if (n_nodes_max == 0)
        n_nodes_max = 1; // nothing present: zeros, but all meet
    if (n <= comm->points.one_shot_bytes / sizeof(float) / (size_t)n_nodes_max)
        return reduce_one_shot(comm, tree, in, n, sink);
    return reduce_two_shot(comm, tree, in, n, n_nodes_max, sink);
}

size_t shm_all_reduce_part_bytes(int n_ranks)
{
    return CHUNK_BYTES / (size_t)n_ranks + sizeof(float) * 2 * PART_UNIT;
}
