// Bytes of weights that ranks read in a step of decoding (docs/planner.md).
#include <assert.h>
#include <math.h>

#include "model/plan.h"

double plan_experts_touched(int num_experts, int num_experts_per_tok, int batch)
{
    assert(num_experts > 0 && batch >= 0);
    return num_experts * (1 - pow(1 - (double)num_experts_per_tok / num_experts, batch));
}

static double numbers_of_rank(const struct plan_parameter *p, int rank)
{
    double height = 0;
    for (int part = 0; part < p->n_parts; part++) {
        const struct range rows = p->rank_rows[rank * p->n_parts + part];
        height += rows.end - rows.begin;
    }
    return height * (p->rank_columns[rank].end - p->rank_columns[rank].begin);
}

// Of what is a matrix for each of these, the experts that somebody has chosen.
static double touched_by_rank(const struct plan_parameter *p, int rank, int batch)
{
    const struct range own = p->rank_experts[rank];
    return plan_experts_touched(p->n_experts, p->n_chosen, batch) * (own.end - own.begin) /
           p->n_experts;
}

// A table of which each token has a row: the rank's part of as many.
static double rows_looked_up(const struct plan_parameter *p, int rank, int batch)
{
    return p->rows > 0 ? numbers_of_rank(p, rank) / (double)p->rows * batch : 0;
}

static int layer_of_parameter(const struct plan *plan, int parameter)
{
    for (int layer = 0; layer < plan->config.num_hidden_layers; layer++)
        if (parameter >= plan->first_of_layer[layer] && parameter < plan->first_of_layer[layer + 1])
            return layer;
    return -1;
}

// Whether the rank's stage computes with it.
static bool is_of_stage(const struct plan *plan, int parameter, int stage)
{
    const int layer = layer_of_parameter(plan, parameter);
    const struct range layers = plan_stage_layers(plan, stage);
    const enum slot slot = plan->parameters[parameter].slots[0];
    if (layer >= 0)
        return layer >= layers.begin && layer < layers.end;
    if (slot == SLOT_LM_HEAD || slot == SLOT_FINAL_NORM)
        return stage == plan->n_stages - 1;
    return slot != SLOT_EMBED || stage == 0;
}

double plan_bytes_read(const struct plan *plan, int world_rank, int batch)
{
    const int rank = world_rank % plan->n_ranks, stage = world_rank / plan->n_ranks;
    double bytes = 0;
    for (int i = 0; i < plan->n_parameters; i++) {
        const struct plan_parameter *p = &plan->parameters[i];
        if (!is_of_stage(plan, i, stage) || slot_is_buffer(p->slots[0]))
            continue;
        const double item = plan_weight_bytes(plan, p);
        if (p->slots[0] == SLOT_EMBED || p->slots[0] == SLOT_INPUTS_TABLE)
            bytes += item * rows_looked_up(p, rank, batch);
        else if (p->n_experts)
            bytes += item * numbers_of_rank(p, rank) * touched_by_rank(p, rank, batch);
        else
            bytes += item * numbers_of_rank(p, rank);
    }
    return bytes;
}
