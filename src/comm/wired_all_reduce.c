// All-reduce of parties. In round i of the party's shared memory
//
//   its ranks show their nodes of chunk i, and the lead the sum of chunk i - lag;
//   the lead then finishes what it can of chunk i, and sends it.
//
// So the wire is busy while memory is, and the two of them see a chunk once.
#include <assert.h>
#include <string.h>

#include "comm/shm_round.h"
#include "comm/wired.h"

static_assert(2 * WIRE_CHUNK_BYTES <= (int)SLOT_BYTES, "a slot holds a chunk's nodes and a sum");

struct wired_sum {
    struct comm *comm;
    struct wired *w;
    const struct reduction_tree *tree;
    const float *in;
    size_t n, chunk, n_chunks, lag;
    size_t n_nodes; // own
    const struct reduce_sink *sink;
    struct wire_reduce wire; // of a lead
};

static size_t count_of(const struct wired_sum *s, size_t i)
{
    size_t begin = i * s->chunk;
    return s->n - begin < s->chunk ? s->n - begin : s->chunk;
}

// ---- a party of one ----

static enum status post_alone(struct wired_sum *s, size_t i)
{
    const float *own = s->in + i * s->chunk;
    size_t count = count_of(s, i);
    if (s->n_nodes > 1) {
        float *payload = wire_reduce_payload(&s->wire, i);
        for (size_t node = 0; node < s->n_nodes; node++)
            memcpy(payload + node * count, own + node * s->n, count * sizeof *own);
        own = payload;
    }
    return wire_reduce_post(&s->wire, i, own);
}

static enum status reduce_alone(struct wired_sum *s)
{
    for (size_t i = 0; i < s->n_chunks + s->lag; i++) {
        if (i >= s->lag)
            TRY(wire_reduce_take(&s->wire, i - s->lag, s->sink, (i - s->lag) * s->chunk));
        if (i < s->n_chunks)
            TRY(post_alone(s, i));
    }
    return wire_reduce_end(&s->wire);
}

// ---- the lead of several ----

// The party's nodes of chunk i, from the ranks' slots.
static enum status post_party(struct wired_sum *s, size_t i)
{
    struct comm *node = s->w->node;
    const float *nodes[COMM_RANKS_MAX];
    size_t count = count_of(s, i);
    for (int r = 0; r < node->size; r++) {
        const void *slot = round_slot(node, r);
        nodes[r] = slot;
    }
    if (s->n_nodes == 1)
        nodes[0] = s->in + i * s->chunk;
    float *payload = wire_reduce_payload(&s->wire, i);
    reduction_tree_combine(s->tree, s->w->first[s->w->self], node->size, nodes, count, payload,
                           count, count, node->kernels);
    return wire_reduce_post(&s->wire, i, payload);
}

static void show_nodes(struct wired_sum *s, size_t i)
{
    struct comm *node = s->w->node;
    void *room = round_slot(node, node->rank);
    float *slot = room;
    size_t count = count_of(s, i);
    for (size_t k = 0; k < s->n_nodes; k++)
        slot_write(node, slot + k * count, s->in + k * s->n + i * s->chunk, count * sizeof *slot);
}

// The lead's own nodes and the sum for the others share its slot.
static char *sum_place(const struct wired_sum *s)
{
    return round_slot(s->w->node, 0) + WIRE_CHUNK_BYTES;
}

static enum status show_sum(struct wired_sum *s, size_t i)
{
    void *room = sum_place(s);
    const struct reduce_sink slot = {.out = room};
    TRY(wire_reduce_take(&s->wire, i, &slot, 0));
    reduce_sink_put(s->sink, room, i * s->chunk, count_of(s, i));
    return OK;
}

static enum status reduce_as_lead(struct wired_sum *s)
{
    struct comm *node = s->w->node;
    for (size_t i = 0; i < s->n_chunks + s->lag; i++) {
        TRY(round_begin(node, OPERATION_ALL_REDUCE, 0, s->n));
        if (i < s->n_chunks && s->n_nodes > 1) // to have the same distance as the others'
            show_nodes(s, i);
        if (i >= s->lag)
            TRY(show_sum(s, i - s->lag));
        round_publish(node);
        TRY(round_await_all(node));
        if (i < s->n_chunks)
            TRY(post_party(s, i));
    }
    return wire_reduce_end(&s->wire);
}

static enum status reduce_as_follower(struct wired_sum *s)
{
    struct comm *node = s->w->node;
    for (size_t i = 0; i < s->n_chunks + s->lag; i++) {
        TRY(round_begin(node, OPERATION_ALL_REDUCE, 0, s->n));
        if (i < s->n_chunks)
            show_nodes(s, i);
        round_publish(node);
        TRY(round_await(node, 0));
        const void *sum = sum_place(s);
        if (i >= s->lag)
            reduce_sink_put(s->sink, sum, (i - s->lag) * s->chunk, count_of(s, i - s->lag));
    }
    return OK;
}

enum status wired_all_reduce(struct comm *comm, const struct reduction_tree *tree, const float *in,
                             size_t n, const struct reduce_sink *sink)
{
    struct wired *w = wired_of(comm);
    struct reduction_tree parties;
    struct wired_sum s = {.comm = comm, .w = w, .tree = tree, .in = in, .n = n, .sink = sink};
    reduction_tree_merge_ranks(tree, w->first, w->n, &parties);
    s.chunk = wire_reduce_chunk(tree, &parties, n);
    s.n_chunks = s.chunk ? (n + s.chunk - 1) / s.chunk : 1;
    s.lag = s.n_chunks == 1 ? 1 : WIRE_LANES - 1;
    s.n_nodes = (size_t)reduction_tree_node_count(tree, comm->rank);
    if (!wired_leads(comm)) {
        enum status status = reduce_as_follower(&s);
        wired_count_node(comm);
        return status;
    }
    wire_reduce_begin(&s.wire, &w->group, w->lanes, &parties, n, s.chunk);
    enum status status = w->node ? reduce_as_lead(&s) : reduce_alone(&s);
    wired_count_node(comm);
    return status;
}

// A part of the whole sum is kept.
struct kept {
    float *out;
    size_t begin, end;
};

static void keep_part(void *context, size_t offset, const float *sum, size_t count)
{
    const struct kept *kept = context;
    size_t first = offset > kept->begin ? offset : kept->begin;
    size_t last = offset + count < kept->end ? offset + count : kept->end;
    if (first < last)
        memcpy(kept->out + (first - kept->begin), sum + (first - offset),
               (last - first) * sizeof *sum);
}

enum status wired_reduce_scatter(struct comm *comm, const struct reduction_tree *tree,
                                 const float *in, const size_t *counts, float *out)
{
    size_t total = 0;
    struct kept kept = {.out = out};
    for (int r = 0; r < comm->size; r++) {
        if (r == comm->rank)
            kept.begin = total;
        total += counts[r];
    }
    kept.end = kept.begin + counts[comm->rank];
    const struct reduce_sink sink = {.consume = keep_part, .context = &kept};
    return wired_all_reduce(comm, tree, in, total, &sink);
}
