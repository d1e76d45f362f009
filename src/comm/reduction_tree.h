// The canonical tree of a sum (docs/numerics.md §4): which leaves exist, who owns them, how they
// combine.
#ifndef COLROW_COMM_REDUCTION_TREE_H
#define COLROW_COMM_REDUCTION_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "device/kernels.h"

enum { COMM_RANKS_MAX = 64 };

// n_leaves is a power of two, at most LEAVES_MAX. Rank r owns leaves [first_leaf[r], first_leaf[r +
// 1]).
struct reduction_tree {
    int n_leaves, n_ranks;
    uint64_t present; // bit i: leaf i is not empty
    int first_leaf[COMM_RANKS_MAX + 1];
};

// One leaf a rank, over the next power of two: the tree of a plain all-reduce.
void reduction_tree_plain(int n_ranks, struct reduction_tree *out);

// The maximal subtrees that lie wholly in [begin, end), in leaf order, absent ones left out.
// Returns their number (at most 2 log2 n_leaves). A node covers leaves [first, first + width).
struct tree_node {
    int first, width;
};
int reduction_tree_nodes(const struct reduction_tree *tree, int begin, int end,
                         struct tree_node *nodes);
int reduction_tree_node_count(const struct reduction_tree *tree, int rank);
int reduction_tree_node_count_max(const struct reduction_tree *tree); // of any rank

// Whether each rank has the same nodes of both: then one all-reduce serves both sums.
bool reduction_tree_nodes_match(const struct reduction_tree *a, const struct reduction_tree *b);

// For a rank's product over its leaves: how many of the newest sums to add after each present leaf
// (see leaf_plan). `merges` has one entry per present leaf of the rank; returns the number of
// present leaves.
int reduction_tree_merges(const struct reduction_tree *tree, int rank, int *merges);

// Finishes the tree: nodes[r] points at rank r's nodes [count(r)][stride]; out[i] for i < n.
void reduction_tree_finish(const struct reduction_tree *tree, const float *const *nodes,
                           size_t stride, float *out, size_t n, const struct kernels *kernels);

// What ranks [first_rank, first_rank + n_ranks) can finish of the tree by themselves: nodes[i]
// points at the nodes of rank first_rank + i, and out [count][out_stride] gets those of
// reduction_tree_nodes() for all their leaves, which are a rank's nodes in the tree of
// reduction_tree_merge_ranks(). `out` may be none of the nodes.
void reduction_tree_combine(const struct reduction_tree *tree, int first_rank, int n_ranks,
                            const float *const *nodes, size_t stride, float *out, size_t out_stride,
                            size_t n, const struct kernels *kernels);
// The same tree where ranks first_rank[i] to first_rank[i + 1] - 1 are rank i of n.
void reduction_tree_merge_ranks(const struct reduction_tree *tree, const int *first_rank, int n,
                                struct reduction_tree *out);

#endif
