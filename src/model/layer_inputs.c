// Inputs of each token that every layer has a part of (struct layer_inputs_config).
#include <math.h>

#include "model/forward.h"

// The stream's first value as the projection's input.
static void round_stream(const struct worker *w)
{
    const struct model *m = w->run->model;
    size_t hidden = (size_t)m->plan->config.hidden_size, item = input_bytes(m->plan->compute);
    struct range rows = range_part(w, (struct range){0, w->run->step->n_rows});
    for (int row = rows.begin; row < rows.end; row++) {
        char *input = (char *)m->scratch.input + (size_t)row * input_width(m) * item;
        m->kernels->round(m->scratch.residual + (size_t)row * hidden, hidden, m->plan->compute,
                          input);
        end_input_row(m, input);
    }
    team_barrier(m->team);
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
    panels_row(&m->weights.inputs_table, token, (int32_t)n, table);
    m->kernels->scale(table, rounded_factor(m, (float)sqrt((double)size)), n);
    m->kernels->add(row, table, n);
    m->kernels->scale(row, (float)sqrt(0.5), n);
}

void find_layer_inputs(const struct worker *w)
{
    const struct model *m = w->run->model;
    size_t n = (size_t)m->weights.inputs_projection.n;
    if (!m->plan->config.layer_inputs.size)
        return;
    round_stream(w);
    multiply(w, &(struct column_product){.input = m->scratch.input,
                                         .panels = &m->weights.inputs_projection,
                                         .out = m->scratch.layer_inputs,
                                         .out_stride = n});
    team_barrier(m->team);
    struct range rows = range_part(w, (struct range){0, w->run->step->n_rows});
    for (int row = rows.begin; row < rows.end; row++)
        finish_inputs(m, w->run->step->tokens[row], m->scratch.layer_inputs + (size_t)row * n,
                      m->scratch.outputs + (size_t)row * n);
    team_barrier(m->team);
}
