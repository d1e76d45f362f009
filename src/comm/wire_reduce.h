// The wire's half of an all-reduce: parties exchange what each of them could finish of the tree,
// and each gets the sum. The vector goes in chunks, several of them under way.
//
//   wire_reduce_begin()
//   for each chunk: wire_reduce_post(), up to WIRE_LANES - 1 chunks later wire_reduce_take()
//   wire_reduce_end()
//
// Two parties, or several with little to say, send their nodes to all others, who sum everything.
// Otherwise each sums its part of the chunk, and sends that to the others.
#ifndef COLROW_COMM_WIRE_REDUCE_H
#define COLROW_COMM_WIRE_REDUCE_H

#include "comm/wire_group.h"

enum { WIRE_LANES = 4, WIRE_CHUNK_BYTES = 256 << 10 };

struct wire_lane {
    // [party]; of sums only between more than two.
    struct wire_message nodes_out[COMM_RANKS_MAX], nodes_in[COMM_RANKS_MAX],
        sums_out[COMM_RANKS_MAX], sums_in[COMM_RANKS_MAX];
    float *payload; // own nodes, [node][count], unless they lie so already
    float *in;      // the others'
    float *sum;
    float *packed;    // own nodes, [party][node][part], of several parties with several nodes
    const float *own; // payload, or where the nodes lie
};

struct wire_reduce {
    struct wire_group *group;
    const struct kernels *kernels;
    struct wire_lane *lanes;    // [WIRE_LANES], borrowed
    struct reduction_tree tree; // of parties
    int n_nodes[COMM_RANKS_MAX];
    size_t n, chunk, n_chunks; // floats; chunks
    bool in_first;             // nodes travel in the first messages
    bool all_to_all;           // nodes go to all
};

// Memory of lanes, for a group of any size.
enum status wire_lanes_new(struct wire_lane **out) STATUS_MUST_USE;
void wire_lanes_free(struct wire_lane *lanes); // accepts NULL

// Numbers in a chunk of n; the same on all ranks, with a wire or without. Of nothing: 0, in one
// chunk.
size_t wire_reduce_chunk(const struct reduction_tree *ranks, const struct reduction_tree *parties,
                         size_t n);

void wire_reduce_begin(struct wire_reduce *reduce, struct wire_group *group,
                       struct wire_lane *lanes, const struct reduction_tree *parties, size_t n,
                       size_t chunk);
size_t wire_reduce_count(const struct wire_reduce *reduce, size_t i); // of chunk i
// Room for the own nodes [node][count] of chunk i.
float *wire_reduce_payload(const struct wire_reduce *reduce, size_t i);
// Sends it. `own`: the nodes, in that room or anywhere else until wire_reduce_take().
enum status wire_reduce_post(struct wire_reduce *reduce, size_t i,
                             const float *own) STATUS_MUST_USE;
// Its sum goes to numbers [offset, offset + count) of the sink.
enum status wire_reduce_take(struct wire_reduce *reduce, size_t i, const struct reduce_sink *sink,
                             size_t offset) STATUS_MUST_USE;
enum status wire_reduce_end(struct wire_reduce *reduce) STATUS_MUST_USE;

#endif
