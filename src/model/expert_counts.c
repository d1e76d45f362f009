// What the ranks' experts have to do, for metrics: counted where pairs are sorted anyway.
#include <string.h>

#include "model/forward.h"

const struct expert_counts *model_expert_counts(const struct model *model)
{
    return &model->expert_counts;
}

static int within(int expert, struct range own)
{
    return expert < own.begin ? own.begin : expert > own.end ? own.end : expert;
}

// Every rank knows what all tokens choose: the router is computed by each.
static uint64_t most_pairs(const struct worker *w, const struct cut *cut)
{
    const struct model *m = w->run->model;
    const struct experts_config *e = &cut->sublayer->experts;
    const int n = w->run->step->n_rows * e->num_experts_per_tok;
    uint8_t rank_of[EXPERTS_MAX];
    uint64_t pairs[COMM_RANKS_MAX] = {0}, most = 0;
    if (!cut->by_experts || m->plan->n_ranks == 1) // each rank has a part of every expert
        return (uint64_t)n;
    for (int rank = 0; rank < m->plan->n_ranks; rank++) {
        const struct range own = cut->shares[rank].dims[DIM_OWN_EXPERTS];
        memset(rank_of + own.begin, rank, (size_t)range_width(own));
    }
    for (int i = 0; i < n; i++)
        pairs[rank_of[m->scratch.chosen[i]]]++;
    for (int rank = 0; rank < m->plan->n_ranks; rank++)
        most = pairs[rank] > most ? pairs[rank] : most;
    return most;
}

void count_expert_pairs(const struct worker *w, const struct cut *cut)
{
    struct model *m = w->run->model;
    const struct range own = cut->shares[m->rank].dims[DIM_OWN_EXPERTS];
    const int n = cut->sublayer->experts.num_experts;
    const int32_t *first_pair = m->scratch.first_pair;
    for (int leaf = 0; leaf < EXPERT_LEAVES; leaf++) {
        const int begin = within(expert_leaf_begin(n, leaf), own),
                  end = within(expert_leaf_begin(n, leaf + 1), own);
        m->expert_counts.pairs[leaf] +=
            (uint64_t)(first_pair[end - own.begin] - first_pair[begin - own.begin]);
    }
    m->expert_counts.busiest += most_pairs(w, cut);
}
