#include "cmd/expert_load.h"

#include <stdio.h>

// What the ranks of a rank's stage have done together.
struct stage_load {
    int n_ranks;
    double pairs, busiest; // of all of them; what the busiest had, layer by layer and step by step
};

static struct stage_load load_of_stage(const struct colrow_engine *engine, int rank)
{
    struct colrow_info info;
    struct colrow_expert_statistics experts;
    colrow_get_info(engine, &info);
    const int n = info.tensor_parallel_size, first = rank / n * n;
    struct stage_load load = {.n_ranks = n};
    for (int r = first; r < first + n; r++) {
        if (colrow_get_expert_statistics(engine, r, &experts) != 0)
            continue;
        load.pairs += (double)experts.all_pairs;
        load.busiest = (double)experts.busiest_pairs;
    }
    return load;
}

// 1: as much as the mean of the stage's ranks.
static double part_of_mean(double pairs, const struct stage_load *load)
{
    return load->pairs > 0 ? pairs * load->n_ranks / load->pairs : 1;
}

json_t *expert_load_json(const struct colrow_engine *engine, int rank)
{
    struct colrow_expert_statistics experts;
    if (colrow_get_expert_statistics(engine, rank, &experts) != 0 || experts.n_groups == 0)
        return NULL;
    const struct stage_load load = load_of_stage(engine, rank);
    json_t *groups = json_array();
    for (int i = 0; i < experts.n_groups; i++)
        json_array_append_new(groups, json_pack("{s:i, s:i, s:I}", "first", experts.first_expert[i],
                                                "last", experts.last_expert[i], "tokens",
                                                (json_int_t)experts.pairs[i]));
    return json_pack("{s:I, s:f, s:f, s:I, s:o}", "tokens", (json_int_t)experts.all_pairs, "load",
                     part_of_mean((double)experts.all_pairs, &load), "imbalance",
                     part_of_mean(load.busiest, &load), "busiest_tokens",
                     (json_int_t)experts.busiest_pairs, "experts", groups);
}

void expert_load_print(const struct colrow_engine *engine)
{
    enum { SHOWN = 8 };
    struct colrow_expert_statistics experts;
    struct colrow_info info;
    colrow_get_info(engine, &info);
    if (colrow_get_expert_statistics(engine, 0, &experts) != 0 || experts.n_groups == 0)
        return;
    const int shown = info.n_ranks > SHOWN ? SHOWN : info.n_ranks;
    fprintf(stderr, "   experts: a rank's load beside the mean");
    for (int r = 0; r < shown; r++) {
        const struct stage_load load = load_of_stage(engine, r);
        if (colrow_get_expert_statistics(engine, r, &experts) == 0)
            fprintf(stderr, "%s %.2f", r ? "," : "",
                    part_of_mean((double)experts.all_pairs, &load));
    }
    const struct stage_load first = load_of_stage(engine, 0);
    fprintf(stderr, "%s · the busiest in each layer %.2f\n", shown < info.n_ranks ? ", …" : "",
            part_of_mean(first.busiest, &first));
}
