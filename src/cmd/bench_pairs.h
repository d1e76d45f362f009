// `colrow bench comm` between nodes: latency and bandwidth of every pair of ranks.
#ifndef COLROW_CMD_BENCH_PAIRS_H
#define COLROW_CMD_BENCH_PAIRS_H

#include "cmd/cluster_flags.h"

// Becomes `colrow launch` of this node's ranks; returns only when that fails.
enum status bench_pairs_start(const struct cluster_flags *cluster, const char *n_local,
                              bool json) STATUS_MUST_USE;
// One of these ranks; rank 0 prints.
enum status bench_pairs_rank(bool json) STATUS_MUST_USE;

#endif
