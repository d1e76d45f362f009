#include "model/forward.h"

// This thread's rows, as far as this rank has them. `out` [rows, stride].
static void look_up_row(const struct worker *w, float *out, size_t stride)
{
    const struct model *m = w->run->model;
    const struct range rows = m->share->dims[DIM_EMBED_ROWS];
    int begin, end;
    team_part(w->run->step->n_rows, w->thread, w->n_threads, &begin, &end);
    for (int row = begin; row < end; row++) {
        int32_t token = w->run->step->tokens[row];
        if (token >= rows.begin && token < rows.end)
            panels_row(&m->weights.embed, token - rows.begin, out + (size_t)row * stride);
    }
}

void embed_tokens(const struct worker *w)
{
    struct run *run = w->run;
    struct model *m = run->model;
    const struct column_part columns = {m->plan->shares, DIM_EMBED_COLUMNS, 0};
    size_t hidden = (size_t)m->plan->config.hidden_size;
    bool exchange = m->plan->n_ranks > 1 && m->plan->embed_sharded;
    bool by_columns = m->plan->embed == TP_EMBEDDING_COLWISE;
    if (exchange && by_columns)
        look_up_row(w, m->scratch.nodes, (size_t)range_width(m->share->dims[DIM_EMBED_COLUMNS]));
    else
        look_up_row(w, m->scratch.residual, hidden);
    team_barrier(m->team);
    if (!exchange)
        return;
    if (w->thread == 0) {
        comm_mark(m->comm, run->step->number, -1, "embed_tokens");
        run->status = by_columns ? gather_columns(run, &columns, 1, m->scratch.nodes,
                                                  m->scratch.residual, hidden)
                                 : gather_embedded_rows(run);
    }
    team_barrier(m->team);
}
