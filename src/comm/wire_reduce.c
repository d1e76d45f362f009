#include "comm/wire_reduce.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum {
    PART_UNIT = 32,             // floats: parts begin on cache line pairs
    ALL_TO_ALL_BYTES = 64 << 10 // that a party sends; above, sums are made in parts
};

enum status wire_lanes_new(struct wire_lane **out)
{
    struct wire_lane *lanes;
    TRY(memory_new(WIRE_LANES, sizeof *lanes, "a communicator", &lanes));
    enum status status = OK;
    for (int i = 0; i < WIRE_LANES && status == OK; i++) {
        status = memory_new(4, WIRE_CHUNK_BYTES, "what is under way", &lanes[i].payload);
        lanes[i].in = lanes[i].payload + WIRE_CHUNK_BYTES / sizeof(float);
        lanes[i].sum = lanes[i].in + WIRE_CHUNK_BYTES / sizeof(float);
        lanes[i].packed = lanes[i].sum + WIRE_CHUNK_BYTES / sizeof(float);
    }
    if (status != OK)
        wire_lanes_free(lanes);
    else
        *out = lanes;
    return status;
}

void wire_lanes_free(struct wire_lane *lanes)
{
    for (int i = 0; lanes && i < WIRE_LANES; i++)
        free(lanes[i].payload);
    free(lanes);
}

static size_t nodes_most(const struct reduction_tree *ranks, const struct reduction_tree *parties)
{
    int a = reduction_tree_node_count_max(ranks), b = reduction_tree_node_count_max(parties);
    int most = a > b ? a : b;
    return most ? (size_t)most : 1;
}

static bool goes_to_all(size_t n_parties, size_t nodes, size_t n)
{
    return n_parties <= 2 || n <= ALL_TO_ALL_BYTES / sizeof(float) / nodes / (n_parties - 1);
}

size_t wire_reduce_chunk(const struct reduction_tree *ranks, const struct reduction_tree *parties,
                         size_t n)
{
    size_t nodes = nodes_most(ranks, parties);
    size_t most = WIRE_CHUNK_BYTES / sizeof(float) / nodes / PART_UNIT * PART_UNIT;
    size_t n_chunks = n ? (n + most - 1) / most : 1;
    size_t chunk = (n + n_chunks - 1) / n_chunks;
    return n_chunks == 1 ? n : (chunk + PART_UNIT - 1) / PART_UNIT * PART_UNIT;
}

void wire_reduce_begin(struct wire_reduce *reduce, struct wire_group *group,
                       struct wire_lane *lanes, const struct reduction_tree *parties, size_t n,
                       size_t chunk)
{
    reduce->group = group;
    reduce->kernels = group->comm->kernels;
    reduce->lanes = lanes;
    reduce->tree = *parties;
    reduce->n = n;
    reduce->chunk = chunk;
    reduce->n_chunks = chunk ? (n + chunk - 1) / chunk : 1;
    size_t most = 1;
    for (int p = 0; p < group->n; p++) {
        reduce->n_nodes[p] = reduction_tree_node_count(parties, p);
        most = (size_t)reduce->n_nodes[p] > most ? (size_t)reduce->n_nodes[p] : most;
    }
    reduce->all_to_all = goes_to_all((size_t)group->n, most, n);
    reduce->in_first =
        reduce->all_to_all && reduce->n_chunks == 1 && wire_first_fits(most * n * sizeof(float));
}

size_t wire_reduce_count(const struct wire_reduce *reduce, size_t i)
{
    size_t begin = i * reduce->chunk;
    return reduce->n - begin < reduce->chunk ? reduce->n - begin : reduce->chunk;
}

static struct wire_lane *lane_of(const struct wire_reduce *reduce, size_t i)
{
    return &reduce->lanes[i % WIRE_LANES];
}

float *wire_reduce_payload(const struct wire_reduce *reduce, size_t i)
{
    if (!reduce->in_first)
        return lane_of(reduce, i)->payload;
    void *room = wire_first_room(reduce->group);
    return room;
}

// Part of party p of a chunk of `count` begins at; p == n: count.
static size_t wanted_part(const struct wire_reduce *reduce, size_t count, int p)
{
    size_t n = (size_t)reduce->group->n, units = (count + PART_UNIT - 1) / PART_UNIT;
    size_t begin = units * (size_t)p / n * PART_UNIT;
    return begin < count ? begin : count;
}

// What party p wants to have of a chunk.
static size_t wanted_begin(const struct wire_reduce *reduce, size_t count, int p)
{
    return reduce->all_to_all ? 0 : wanted_part(reduce, count, p);
}

static size_t wanted_count(const struct wire_reduce *reduce, size_t count, int p)
{
    if (reduce->all_to_all)
        return count;
    return wanted_part(reduce, count, p + 1) - wanted_part(reduce, count, p);
}

static enum status post_first(struct wire_reduce *reduce, const float *own)
{
    struct wire_group *group = reduce->group;
    size_t bytes =
        reduce->in_first ? (size_t)reduce->n_nodes[group->self] * reduce->n * sizeof *own : 0;
    wire_call_begin(group, OPERATION_ALL_REDUCE, 0, reduce->n);
    if (bytes && own != wire_first_room(group))
        memcpy(wire_first_room(group), own, bytes);
    for (int p = 0; p < group->n; p++)
        if (p != group->self)
            TRY(wire_first_expect(group, p));
    for (int p = 0; p < group->n; p++)
        if (p != group->self)
            TRY(wire_first_send(group, p, bytes));
    return OK;
}

// Nodes in `in`: [party but the own][node][wanted by us].
static enum status expect_nodes(struct wire_reduce *reduce, size_t i)
{
    struct wire_group *group = reduce->group;
    struct wire_lane *lane = lane_of(reduce, i);
    size_t count = wanted_count(reduce, wire_reduce_count(reduce, i), group->self), at = 0;
    for (int p = 0; p < group->n; p++) {
        if (p == group->self)
            continue;
        size_t floats = (size_t)reduce->n_nodes[p] * count;
        TRY(wire_bulk_expect(group, p, 2 * i, lane->in + at, floats * sizeof *lane->in,
                             &lane->nodes_in[p]));
        at += floats;
    }
    assert(at <= WIRE_CHUNK_BYTES / sizeof *lane->in);
    return OK;
}

static enum status expect_sums(struct wire_reduce *reduce, size_t i)
{
    struct wire_group *group = reduce->group;
    struct wire_lane *lane = lane_of(reduce, i);
    size_t count = wire_reduce_count(reduce, i);
    for (int p = 0; p < group->n; p++)
        if (p != group->self)
            TRY(wire_bulk_expect(group, p, 2 * i + 1, lane->sum + wanted_part(reduce, count, p),
                                 wanted_count(reduce, count, p) * sizeof *lane->sum,
                                 &lane->sums_in[p]));
    return OK;
}

// Parts of several nodes lie apart: brought together they are one message to each.
static void pack_nodes(struct wire_reduce *reduce, size_t i, const float *own)
{
    size_t count = wire_reduce_count(reduce, i);
    size_t n_nodes = (size_t)reduce->n_nodes[reduce->group->self];
    for (int p = 0; p < reduce->group->n; p++) {
        size_t begin = wanted_part(reduce, count, p), n = wanted_count(reduce, count, p);
        float *to = lane_of(reduce, i)->packed + begin * n_nodes;
        for (size_t node = 0; node < n_nodes; node++)
            memcpy(to + node * n, own + node * count + begin, n * sizeof *own);
    }
}

static enum status send_nodes(struct wire_reduce *reduce, size_t i, const float *own)
{
    struct wire_group *group = reduce->group;
    struct wire_lane *lane = lane_of(reduce, i);
    size_t count = wire_reduce_count(reduce, i), n_nodes = (size_t)reduce->n_nodes[group->self];
    bool packs = n_nodes > 1 && !reduce->all_to_all;
    if (packs)
        pack_nodes(reduce, i, own);
    for (int p = 0; p < group->n; p++) {
        if (p == group->self)
            continue;
        size_t begin = wanted_begin(reduce, count, p), n = wanted_count(reduce, count, p);
        const float *from = packs ? lane->packed + begin * n_nodes : own + begin;
        TRY(wire_bulk_send(group, p, 2 * i, from, n_nodes * n * sizeof *own, &lane->nodes_out[p]));
    }
    return OK;
}

enum status wire_reduce_post(struct wire_reduce *reduce, size_t i, const float *own)
{
    if (i == 0)
        TRY(post_first(reduce, own));
    lane_of(reduce, i)->own = own;
    if (reduce->in_first)
        return OK;
    TRY(expect_nodes(reduce, i));
    if (!reduce->all_to_all)
        TRY(expect_sums(reduce, i));
    return send_nodes(reduce, i, own);
}

// Where each party's nodes of chunk i are, once they have come.
static enum status await_summands(struct wire_reduce *reduce, size_t i, const float **nodes)
{
    struct wire_group *group = reduce->group;
    struct wire_lane *lane = lane_of(reduce, i);
    size_t count = wire_reduce_count(reduce, i), at = 0;
    size_t wanted = wanted_count(reduce, count, group->self);
    nodes[group->self] = lane->own + wanted_begin(reduce, count, group->self);
    for (int p = 0; p < group->n; p++) {
        if (p == group->self)
            continue;
        size_t floats = (size_t)reduce->n_nodes[p] * wanted, bytes = floats * sizeof(float);
        const void *data = lane->in + at;
        if (i == 0)
            TRY(wire_first_await(group, p, reduce->in_first ? bytes : 0,
                                 reduce->in_first ? &data : &(const void *){NULL}));
        if (!reduce->in_first)
            TRY(wire_await(group->comm, &lane->nodes_in[p], bytes));
        nodes[p] = data;
        at += floats;
    }
    return OK;
}

static enum status await_all(struct wire_reduce *reduce, struct wire_message *messages)
{
    for (int p = 0; p < reduce->group->n; p++)
        if (p != reduce->group->self)
            TRY(wire_await(reduce->group->comm, &messages[p], 0));
    return OK;
}

// The own part's sum goes to the others, and theirs come.
static enum status exchange_sums(struct wire_reduce *reduce, size_t i, const float **nodes)
{
    struct wire_group *group = reduce->group;
    struct wire_lane *lane = lane_of(reduce, i);
    size_t count = wire_reduce_count(reduce, i), begin = wanted_part(reduce, count, group->self);
    size_t own = wanted_count(reduce, count, group->self);
    // The tree's function wants one distance between nodes, and the others' are the part's.
    if (reduce->n_nodes[group->self] > 1)
        nodes[group->self] = lane->packed + begin * (size_t)reduce->n_nodes[group->self];
    reduction_tree_finish(&reduce->tree, nodes, own, lane->sum + begin, own, reduce->kernels);
    for (int p = 0; p < group->n; p++)
        if (p != group->self)
            TRY(wire_bulk_send(group, p, 2 * i + 1, lane->sum + begin, own * sizeof *lane->sum,
                               &lane->sums_out[p]));
    for (int p = 0; p < group->n; p++)
        if (p != group->self)
            TRY(wire_await(group->comm, &lane->sums_in[p],
                           wanted_count(reduce, count, p) * sizeof *lane->sum));
    return await_all(reduce, lane->sums_out);
}

enum status wire_reduce_take(struct wire_reduce *reduce, size_t i, const struct reduce_sink *sink,
                             size_t offset)
{
    struct wire_lane *lane = lane_of(reduce, i);
    const float *nodes[COMM_RANKS_MAX];
    size_t count = wire_reduce_count(reduce, i);
    TRY(await_summands(reduce, i, nodes));
    if (!reduce->all_to_all)
        TRY(exchange_sums(reduce, i, nodes));
    if (!reduce->in_first) // the sum may take the place of what was sent
        TRY(await_all(reduce, lane->nodes_out));
    if (reduce->all_to_all)
        reduce_sink_finish(sink, &reduce->tree, nodes, count, offset, count, reduce->kernels);
    else
        reduce_sink_put(sink, lane->sum, offset, count);
    return OK;
}

enum status wire_reduce_end(struct wire_reduce *reduce)
{
    return wire_call_end(reduce->group);
}
