// Inputs of each token that every layer has a part of (struct layer_inputs_config).
#include <math.h>
#include <string.h>

#include "model/forward.h"

// Parts of an odd size get a zero behind them.
static void spread_parts(const struct model *m, float *row)
{
    const struct model_config *c = &m->plan->config;
    size_t size = (size_t)c->layer_inputs.size, width = (size_t)layer_inputs_width(c);
    for (size_t layer = (size_t)range_width(m->layers); size < width && layer-- > 0;) {
        memmove(row + layer * width, row + layer * size, size * sizeof *row);
        row[layer * width + size] = 0;
    }
}

// `row` [layers, size] as it was projected; `table` has room for as much.
static void finish_inputs(const struct model *m, int32_t token, float *row, float *table)
{
    const struct model_config *c = &m->plan->config;
    int size = c->layer_inputs.size;
    size_t n = (size_t)m->weights.inputs_projection.n; // of the stage's layers
    m->kernels->scale(row, (float)(1 / sqrt((double)c->hidden_size)), n);
    for (float *part = row; part < row + n; part += size)
        apply_norm(m, &c->layer_inputs.norm, &m->weights.inputs_norm, part, size, COMPUTE_F32,
                   part);
    panels_row(&m->weights.inputs_table, token < c->layer_inputs.vocab_size ? token : 0, (int32_t)n,
               table);
    m->kernels->scale(table, rounded_factor(m, (float)sqrt((double)size)), n);
    m->kernels->add(row, table, n);
    m->kernels->scale(row, (float)sqrt(0.5), n);
    spread_parts(m, row);
}

void find_layer_inputs(const struct worker *w)
{
    const struct model *m = w->run->model;
    size_t n = (size_t)range_width(m->layers) * (size_t)layer_inputs_width(&m->plan->config);
    if (!n)
        return;
    multiply(w, &(struct column_product){.input = m->scratch.input,
                                         .panels = &m->weights.inputs_projection,
                                         .out = m->scratch.layer_inputs,
                                         .out_stride = n});
    team_barrier(m->team);
    struct range rows = step_rows(w);
    for (int row = rows.begin; row < rows.end; row++)
        finish_inputs(m, w->run->step->tokens[row], m->scratch.layer_inputs + (size_t)row * n,
                      m->scratch.outputs + (size_t)row * n);
    team_barrier(m->team);
}
