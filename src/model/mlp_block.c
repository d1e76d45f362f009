// x += down_proj(silu(gate_proj(norm(x))) · up_proj(norm(x)))
#include <stddef.h>

#include "model/forward.h"

enum { COLUMN_UNIT = 16 };

static void gather_gate_up(const struct worker *w, int layer)
{
    struct run *run = w->run;
    struct model *m = run->model;
    int32_t intermediate = m->plan->config.intermediate_size;
    const struct column_part parts[] = {{offsetof(struct rank_share, gate_up_rows), 0},
                                        {offsetof(struct rank_share, gate_up_rows), intermediate}};
    if (w->thread == 0) {
        comm_mark(m->comm, run->step->number, layer, "all-gather of gate,up");
        run->status = gather_columns(run, parts, 2, m->scratch.outputs, m->scratch.gathered,
                                     2 * (size_t)intermediate);
    }
    team_barrier(m->team);
}

// silu(gate) · up of down_proj's columns. Few rows are split by columns, many by rows.
static void activate(const struct worker *w)
{
    const struct model *m = w->run->model;
    const struct rank_share *s = m->share;
    bool gathered = m->scratch.gathered && m->plan->styles.gate_up == TP_COLWISE_GATHER_OUTPUT;
    const float *rows = gathered ? m->scratch.gathered : m->scratch.outputs;
    size_t half =
        gathered ? (size_t)m->plan->config.intermediate_size : (size_t)range_width(s->gate_up_rows);
    size_t first = (size_t)(s->intermediate.begin - (gathered ? 0 : s->gate_up_rows.begin));
    size_t item = input_bytes(m->plan->compute);
    int width = range_width(s->intermediate), n_rows = w->run->step->n_rows, row = 0,
        row_end = n_rows, begin, end;
    bool by_rows = n_rows >= w->n_threads;
    team_part((width + COLUMN_UNIT - 1) / COLUMN_UNIT, by_rows ? 0 : w->thread,
              by_rows ? 1 : w->n_threads, &begin, &end);
    begin *= COLUMN_UNIT;
    end = end * COLUMN_UNIT < width ? end * COLUMN_UNIT : width;
    if (by_rows)
        team_part(n_rows, w->thread, w->n_threads, &row, &row_end);
    for (; row < row_end && begin < end; row++) {
        const float *gate = rows + (size_t)row * 2 * half + first + (size_t)begin;
        char *out = (char *)m->scratch.input + ((size_t)row * (size_t)width + (size_t)begin) * item;
        m->kernels->silu_mul(gate, gate + half, end - begin, m->plan->compute, out);
    }
}

void mlp_block(const struct worker *w, int layer)
{
    struct model *m = w->run->model;
    const struct layer_weights *weights = &m->weights.layers[layer];
    norm_rows(w, layer, weights->post_norm);
    team_barrier(m->team);
    LEAVE_IF_FAILED(w);
    multiply(w, &weights->gate_up, m->scratch.outputs, weights->gate_up_bias);
    team_barrier(m->team);
    if (m->plan->n_ranks > 1 && m->plan->styles.gate_up == TP_COLWISE_GATHER_OUTPUT)
        gather_gate_up(w, layer);
    LEAVE_IF_FAILED(w);
    activate(w);
    team_barrier(m->team);
    struct row_product down_proj = {"all-reduce of down_proj", &weights->down, &m->mlp_leaves,
                                    &m->plan->mlp_tree, weights->down_bias};
    multiply_and_reduce(w, layer, &down_proj);
}
