// What communicators over a wire have of their own. Ranks are grouped into parties: with `nested`
// those of a node, with `ucx` each by itself. The first rank of a party is its lead, and speaks for
// it on the wire; within the party ranks share memory.
#ifndef COLROW_COMM_WIRED_H
#define COLROW_COMM_WIRED_H

#include "comm/wire_reduce.h"

// What belongs to the process: the world's, borrowed by its splits.
struct wired_world {
    struct wire *wire;
    int n;                                                   // ranks of the world
    const void *address[COMM_RANKS_MAX];                     // in the segment
    int party[COMM_RANKS_MAX];                               // of each rank
    uint32_t sent[COMM_RANKS_MAX], received[COMM_RANKS_MAX]; // messages of comm_send(), by peer
};

struct wired {
    struct wired_world *world;
    bool is_split;
    int n, self;                   // parties
    int first[COMM_RANKS_MAX + 1]; // their ranks in the communicator
    struct comm *node;             // the ranks of this party; NULL: there is but one
    struct wire_group group;       // of a lead
    struct wire_lane *lanes;       // likewise
};

static inline struct wired *wired_of(const struct comm *comm)
{
    return comm->own;
}

static inline bool wired_leads(const struct comm *comm)
{
    const struct wired *w = wired_of(comm);
    return comm->rank == w->first[w->self];
}

// Before the first message to that rank of the world.
enum status wired_connect(struct wired_world *world, int peer) STATUS_MUST_USE;

// What the ranks of this party did in shared memory counts as the communicator's.
void wired_count_node(struct comm *comm);

enum status wired_all_reduce(struct comm *comm, const struct reduction_tree *tree, const float *in,
                             size_t n, const struct reduce_sink *sink) STATUS_MUST_USE;
enum status wired_reduce_scatter(struct comm *comm, const struct reduction_tree *tree,
                                 const float *in, const size_t *counts, float *out) STATUS_MUST_USE;
enum status wired_send(struct comm *comm, const void *data, size_t bytes, int to) STATUS_MUST_USE;
enum status wired_recv(struct comm *comm, void *data, size_t bytes, int from) STATUS_MUST_USE;

#endif
