#include "model/placement.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>

static bool same_placement(struct placement a, struct placement b)
{
    return a.kind == b.kind && (a.kind != PLACE_SHARD || a.dim == b.dim);
}

enum status placement_action(struct placement have, struct placement need, enum edge_action *out)
{
    assert(out);
    bool whole = have.kind == PLACE_REPLICATE, split = have.kind == PLACE_SHARD;
    if (need.kind == PLACE_PARTIAL)
        goto refuse; // summands are made by products, never asked for
    if (same_placement(have, need))
        *out = EDGE_NOTHING;
    else if (whole)
        *out = EDGE_SLICE;
    else if (split && need.kind == PLACE_REPLICATE)
        *out = EDGE_ALL_GATHER;
    else if (split)
        goto refuse; // shard(0) -> shard(1): an all-to-all, for which no style asks
    else
        *out = need.kind == PLACE_REPLICATE ? EDGE_ALL_REDUCE : EDGE_REDUCE_SCATTER;
    return OK;
refuse:;
    char from[32];
    snprintf(from, sizeof from, "%s", placement_name(have));
    return fail(ERR_INPUT, "no collective turns %s into %s", from, placement_name(need));
}

const char *placement_name(struct placement placement)
{
    static _Thread_local char text[32];
    switch (placement.kind) {
    case PLACE_REPLICATE:
        return "replicate";
    case PLACE_PARTIAL:
        return "partial";
    case PLACE_SHARD:
        break;
    }
    snprintf(text, sizeof text, "shard(%d)", placement.dim);
    return text;
}

const char *edge_action_name(enum edge_action action)
{
    switch (action) {
    case EDGE_NOTHING:
        return "nothing";
    case EDGE_SLICE:
        return "slice";
    case EDGE_ALL_GATHER:
        return "all-gather";
    case EDGE_ALL_REDUCE:
        return "all-reduce";
    case EDGE_REDUCE_SCATTER:
        return "reduce-scatter";
    }
    return "?";
}
