// What ranks say of their experts.
#include <assert.h>

#include "engine/engine.h"
#include "engine/struct_size.h"

static_assert((int)COLROW_EXPERT_GROUPS == (int)EXPERT_LEAVES, "a group is a leaf");

// Of the ranks of a stage all cuts of experts are alike; NULL: the model has none.
static const struct cut *cut_of_experts(const struct plan *plan)
{
    for (int i = 0; i < plan->n_cuts; i++)
        if (plan->cuts[i].sublayer->kind == MIX_EXPERTS)
            return &plan->cuts[i];
    return NULL;
}

static uint64_t load_pairs(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed); // a count, read now and then
}

static void find_groups(const struct cut *cut, const struct board_rank *from, int rank,
                        struct colrow_expert_statistics *out)
{
    const int64_t n = cut->sublayer->experts.num_experts;
    const struct range own = cut->shares[rank].dims[DIM_OWN_EXPERTS];
    for (int64_t leaf = 0; leaf < EXPERT_LEAVES; leaf++) {
        const int begin = expert_leaf_begin(n, leaf), end = expert_leaf_begin(n, leaf + 1);
        if (begin == end || begin < own.begin || end > own.end)
            continue;
        out->first_expert[out->n_groups] = begin;
        out->last_expert[out->n_groups] = end - 1;
        out->pairs[out->n_groups] = load_pairs(&from->expert_pairs[leaf]);
        out->all_pairs += out->pairs[out->n_groups++];
    }
    out->busiest_pairs = load_pairs(&from->busiest_pairs);
}

int colrow_get_expert_statistics_sized(const struct colrow_engine *engine, int rank,
                                       struct colrow_expert_statistics *out, size_t struct_size)
{
    const struct cut *cut = cut_of_experts(engine->plan);
    const int n_ranks = plan_world_size(engine->plan);
    struct colrow_expert_statistics statistics = {0};
    if (rank < 0 || rank >= n_ranks)
        return engine_result(fail(ERR_USAGE, "rank %d; expected 0 to %d", rank, n_ranks - 1));
    if (cut)
        find_groups(cut, crew_rank(engine->crew, rank), rank % engine->plan->n_ranks, &statistics);
    struct_give(out, struct_size, &statistics, sizeof statistics);
    return 0;
}
