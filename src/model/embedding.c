#include "model/forward.h"

// This thread's rows, as far as this rank has them. `out` [rows, stride]: as many columns as it
// has.
static void look_up_row(const struct worker *w, float *out, size_t stride)
{
    const struct model *m = w->run->model;
    const struct range rows = step_rows(w), tokens = m->share->dims[DIM_EMBED_ROWS];
    for (int row = rows.begin; row < rows.end; row++) {
        int32_t token = w->run->step->tokens[row];
        if (token >= tokens.begin && token < tokens.end)
            panels_row(&m->weights.embed, token - tokens.begin, (int32_t)stride,
                       out + (size_t)row * stride);
    }
}

static void exchange_embedded(const struct worker *w, bool by_columns)
{
    struct run *run = w->run;
    struct model *m = run->model;
    const struct column_part columns = {m->plan->shares, DIM_EMBED_COLUMNS, 0};
    const struct table_rows rows = {DIM_EMBED_ROWS, m->plan->config.vocab_size, m->scratch.residual,
                                    (size_t)m->plan->config.hidden_size};
    if (w->thread == 0) {
        comm_mark(m->comm, run->step->number, -1, "embed_tokens");
        run->status = by_columns
                          ? gather_columns(run, &columns, 1, m->scratch.nodes, m->scratch.residual,
                                           (size_t)m->plan->config.hidden_size)
                          : gather_table_rows(run, &rows);
    }
    team_barrier(m->team);
}

// As Transformers' buffers are.
float rounded_factor(const struct model *m, float factor)
{
    if (m->plan->compute == COMPUTE_F32)
        return factor;
    return m->plan->compute == COMPUTE_BF16 ? float_of_bf16(bf16_of_float(factor))
                                            : float_of_f16(f16_of_float(factor));
}

static void finish_rows(const struct worker *w)
{
    const struct model *m = w->run->model;
    const struct stream_norm norm = {&m->plan->config.embed_norm, &m->weights.embed_norm};
    size_t hidden = (size_t)m->plan->config.hidden_size;
    float factor = m->plan->config.embed_multiplier;
    if (m->plan->config.round_embed_multiplier)
        factor = rounded_factor(m, factor);
    const struct range rows = step_rows(w);
    if (factor == 1 && norm.config->kind == NORM_NONE)
        return;
    for (int row = rows.begin; row < rows.end; row++) {
        float *x = m->scratch.residual + (size_t)row * hidden;
        if (factor != 1)
            m->kernels->scale(x, factor, hidden);
        if (norm.config->kind != NORM_NONE)
            norm_row(m, &norm, x, COMPUTE_F32, x);
    }
    team_barrier(m->team);
}

void round_first_stream(const struct worker *w)
{
    const struct model *m = w->run->model;
    const struct model_config *c = &m->plan->config;
    bool is_read = c->layer_inputs.size || (c->altup.num_inputs && is_first_stage(m));
    if (!is_read)
        return;
    struct range rows = step_rows(w);
    for (int row = rows.begin; row < rows.end; row++)
        round_input(m, m->scratch.residual + (size_t)row * (size_t)c->hidden_size, (size_t)row);
    team_barrier(m->team);
}

void embed_tokens(const struct worker *w)
{
    struct model *m = w->run->model;
    size_t hidden = (size_t)m->plan->config.hidden_size;
    bool exchange = m->plan->n_ranks > 1 && m->plan->embed_sharded;
    bool by_columns = m->plan->embed == TP_EMBEDDING_COLWISE;
    if (exchange && by_columns)
        look_up_row(w, m->scratch.nodes, (size_t)range_width(m->share->dims[DIM_EMBED_COLUMNS]));
    else
        look_up_row(w, m->scratch.residual, hidden);
    team_barrier(m->team);
    if (exchange)
        exchange_embedded(w, by_columns);
    LEAVE_IF_FAILED(w);
    finish_rows(w);
}
