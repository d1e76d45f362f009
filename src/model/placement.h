// The placement algebra: how a tensor lies on the group, and what a mismatch on an edge costs. This
// table is the whole of tensor parallelism.
#ifndef COLROW_MODEL_PLACEMENT_H
#define COLROW_MODEL_PLACEMENT_H

#include "base/status.h"

enum placement_kind { PLACE_REPLICATE, PLACE_SHARD, PLACE_PARTIAL };
struct placement {
    enum placement_kind kind;
    int dim; // of PLACE_SHARD: 0 tokens or rows, 1 features or columns
};

enum edge_action {
    EDGE_NOTHING,
    EDGE_SLICE,
    EDGE_ALL_GATHER,
    EDGE_ALL_REDUCE,
    EDGE_REDUCE_SCATTER
};

// have -> need. ERR_INPUT for a pair that no action serves (shard(0) -> shard(1), anything ->
// partial, ...).
enum status placement_action(struct placement have, struct placement need,
                             enum edge_action *out) STATUS_MUST_USE;
const char *
placement_name(struct placement placement); // "replicate", "shard(1)", "partial"; per-thread buffer
const char *edge_action_name(enum edge_action action); // "nothing", "slice", "all-gather", ...

#endif
