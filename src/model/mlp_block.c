// x += down_proj(silu(gate_proj(norm(x))) · up_proj(norm(x)))
#include <stddef.h>

#include "model/forward.h"

enum { COLUMN_UNIT = 16, LINE_BYTES = 64, PAGE_BYTES = 4096 };

static bool gathers(const struct model *m)
{
    return plan_gathers(m->plan, m->plan->styles.gate_up);
}

static void gather_gate_up(const struct worker *w, int layer)
{
    struct run *run = w->run;
    struct model *m = run->model;
    int32_t intermediate = m->plan->intermediate;
    const struct column_part parts[] = {{offsetof(struct rank_share, gate_up_rows), 0},
                                        {offsetof(struct rank_share, gate_up_rows), intermediate}};
    if (w->thread == 0) {
        comm_mark(m->comm, run->step->number, layer, "gate,up");
        run->status = gather_columns(run, parts, 2, m->scratch.outputs, m->scratch.gathered,
                                     2 * (size_t)intermediate);
    }
    team_barrier(m->team);
}

// silu(gate) · up of down_proj's columns. Few rows are split by columns, many by rows.
static void activate_gate(const struct worker *w)
{
    const struct model *m = w->run->model;
    const struct rank_share *s = m->share;
    bool gathered = gathers(m);
    const float *rows = gathered ? m->scratch.gathered : m->scratch.outputs;
    size_t half = gathered ? (size_t)m->plan->intermediate : (size_t)range_width(s->gate_up_rows);
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

// Whether gate and up give just the columns that down_proj reads here.
static bool gives_own_columns(const struct model *m)
{
    const struct range given = m->share->gate_up_rows, read = m->share->intermediate;
    return !gathers(m) && given.begin == read.begin && given.end == read.end;
}

// The activated rows of all threads, in scratch.outputs. Returns the stride.
static size_t project_and_activate(const struct worker *w, const struct layer_weights *weights)
{
    const struct model *m = w->run->model;
    const size_t item = input_bytes(m->plan->compute), width = (size_t)weights->gate.n;
    // Rows that lie a multiple of pages apart would share a few lines of the caches.
    const bool aliased = width * item % PAGE_BYTES == 0;
    const size_t stride = width + (aliased ? LINE_BYTES / item : 0);
    const struct gated_product product = {
        .gate = &weights->gate,
        .up = &weights->up,
        .gate_bias = weights->gate_up_bias,
        .up_bias = weights->gate_up_bias ? weights->gate_up_bias + width : NULL,
        .out = m->scratch.outputs,
        .out_stride = stride,
    };
    multiply_gated(w, &product);
    team_barrier(m->team);
    return stride;
}

// Same where gate and up have other columns: into scratch.input, whose rows have no gaps.
static void project_then_activate(const struct worker *w, int layer,
                                  const struct layer_weights *weights)
{
    struct model *m = w->run->model;
    const size_t width = (size_t)weights->gate.n;
    struct column_product product = {.panels = &weights->gate,
                                     .bias = weights->gate_up_bias,
                                     .out = m->scratch.outputs,
                                     .out_stride = 2 * width};
    multiply(w, &product);
    product.panels = &weights->up;
    product.bias = product.bias ? product.bias + width : NULL;
    product.out += width;
    multiply(w, &product);
    team_barrier(m->team);
    if (gathers(m))
        gather_gate_up(w, layer);
    LEAVE_IF_FAILED(w);
    activate_gate(w);
    team_barrier(m->team);
}

void mlp_block(const struct worker *w, int layer)
{
    struct model *m = w->run->model;
    const struct layer_weights *weights = &m->weights.layers[layer];
    struct row_product down_proj = {.what = "down_proj",
                                    .input = m->scratch.input,
                                    .input_stride = (size_t)weights->down.k,
                                    .panels = &weights->down,
                                    .leaves = &m->mlp_leaves,
                                    .tree = &m->plan->mlp_tree,
                                    .bias = weights->down_bias};
    if (layer + 1 < m->plan->config.num_hidden_layers)
        down_proj.next_norm = weights[1].input_norm;
    if (gives_own_columns(m)) {
        down_proj.input_stride = project_and_activate(w, weights);
        down_proj.input = m->scratch.outputs;
    } else {
        project_then_activate(w, layer, weights);
        LEAVE_IF_FAILED(w);
    }
    multiply_and_reduce(w, layer, &down_proj);
}
