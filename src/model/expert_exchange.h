// What ranks with whole experts give each other (docs/numerics.md section 11): of every leaf their
// nodes in the tree of experts. It goes in passes of so many columns that its memory has a bound.
#ifndef COLROW_MODEL_EXPERT_EXCHANGE_H
#define COLROW_MODEL_EXPERT_EXCHANGE_H

#include "model/plan.h"

enum {
    EXPERT_EXCHANGE_BYTES = 16 << 20, // of a pass, unless one panel takes more
    EXPERT_PASS_PANELS = 192,         // at most: a thread's stack of leaf sums has room for them
};

// A group of ranks has the same experts, each of them some of the leaves.
static inline int expert_group(const struct cut *cut, int rank)
{
    return rank / cut->leaf_tree.n_ranks;
}
static inline int expert_member(const struct cut *cut, int rank)
{
    return rank % cut->leaf_tree.n_ranks;
}

// Floats that a rank has for each number of the sum: its nodes of its leaves; and that come to it:
// the same of all ranks where a group has several, else nothing more than its own.
size_t expert_sums_of(const struct cut *cut, int rank);
size_t expert_sums_received(const struct plan *plan, const struct cut *cut);
// Panels of a pass with so many rows: the same on every rank.
int expert_pass_panels(const struct plan *plan, const struct cut *cut, int n_rows);
// Floats of the two buffers for steps of up to `rows_max` rows.
size_t expert_nodes_room(const struct plan *plan, const struct cut *cut, int rank, int rows_max);
size_t expert_received_room(const struct plan *plan, const struct cut *cut, int rows_max);

#endif
