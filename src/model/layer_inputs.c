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

// Numbers of the table's rows here: of the stage's layers.
static size_t table_width(const struct model *m)
{
    return (size_t)m->weights.inputs_projection.n;
}

// This thread's rows of the table, as far as this rank has them. `out` [rows, table_width].
static void look_up_table(const struct worker *w, float *out)
{
    const struct model *m = w->run->model;
    const size_t n = table_width(m);
    const struct range rows = step_rows(w), own = m->share->dims[DIM_INPUTS_ROWS];
    for (int row = rows.begin; row < rows.end; row++) {
        int32_t at = table_row(m->plan->config.layer_inputs.vocab_size, w->run->step->tokens[row]);
        if (at >= own.begin && at < own.end)
            panels_row(&m->weights.inputs_table, at - own.begin, (int32_t)n, out + (size_t)row * n);
    }
}

// Ends with a barrier; the run may have failed.
static void exchange_table_rows(const struct worker *w, float *rows)
{
    struct run *run = w->run;
    const struct model *m = run->model;
    const struct table_rows table = {DIM_INPUTS_ROWS, m->plan->config.layer_inputs.vocab_size, rows,
                                     table_width(m)};
    if (w->thread == 0) {
        comm_mark(m->comm, run->step->number, -1, "embed_tokens_per_layer");
        run->status = gather_table_rows(run, &table);
    }
    team_barrier(m->team);
}

// `row` [layers, size] as it was projected; `table` the token's row of the table.
static void finish_inputs(const struct model *m, float *row, float *table)
{
    const struct model_config *c = &m->plan->config;
    int size = c->layer_inputs.size;
    size_t n = table_width(m);
    m->kernels->scale(row, (float)(1 / sqrt((double)c->hidden_size)), n);
    for (float *part = row; part < row + n; part += size)
        apply_norm(m, &c->layer_inputs.norm, &m->weights.inputs_norm, part, size, COMPUTE_F32,
                   part);
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
    look_up_table(w, m->scratch.outputs);
    multiply(w, &(struct column_product){.input = m->scratch.input,
                                         .panels = &m->weights.inputs_projection,
                                         .out = m->scratch.layer_inputs,
                                         .out_stride = n});
    team_barrier(m->team);
    if (m->plan->n_ranks > 1 && m->plan->table_sharded)
        exchange_table_rows(w, m->scratch.outputs);
    LEAVE_IF_FAILED(w);
    struct range rows = step_rows(w);
    for (int row = rows.begin; row < rows.end; row++)
        finish_inputs(m, m->scratch.layer_inputs + (size_t)row * n,
                      m->scratch.outputs + (size_t)row * table_width(m));
    team_barrier(m->team);
}
