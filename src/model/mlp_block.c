// x += down_proj(act(gate_proj(norm(x))) · up_proj(norm(x))), or without a gate
#include <stddef.h>

#include "model/forward.h"

enum { COLUMN_UNIT = 16, LINE_BYTES = 64, PAGE_BYTES = 4096 };

// The sublayer at work.
struct activating {
    const struct worker *w;
    struct model *m;
    const struct cut *cut;
    const struct share *share; // of this rank
    const struct mlp_weights *weights;
    const void *input;
    struct activation_args activation;
    bool gated, times_layer_input, sparse;
    float deviations; // of a sparse one
    int layer;
};

static void gather_gate_up(const struct activating *a)
{
    struct run *run = a->w->run;
    const struct share *shares = a->cut->shares;
    const struct column_part parts[] = {{shares, DIM_MLP, 0}, {shares, DIM_MLP, a->cut->width}};
    int n_parts = a->gated ? 2 : 1;
    if (a->w->thread == 0) {
        comm_mark(a->m->comm, run->step->number, a->layer, "gate,up");
        run->status =
            gather_columns(run, parts, n_parts, a->m->scratch.outputs, a->m->scratch.gathered,
                           (size_t)n_parts * (size_t)a->cut->width);
    }
    team_barrier(a->m->team);
}

// What the activated column `first` of a row is multiplied by, and those behind it.
static const float *factors_of(const struct activating *a, const float *gate, size_t half,
                               size_t row, size_t first)
{
    const struct model *m = a->m;
    const struct model_config *c = &m->plan->config;
    const int32_t width = layer_inputs_width(c);
    if (a->times_layer_input)
        return m->scratch.layer_inputs +
               (row * (size_t)range_width(m->layers) + (size_t)(a->layer - m->layers.begin)) *
                   (size_t)width +
               first;
    return a->gated ? gate + half : NULL;
}

// act(gate) · up of down_proj's columns. Few rows are split by columns, many by rows.
static void activate_gate(const struct activating *a)
{
    const struct worker *w = a->w;
    const struct model *m = a->m;
    const struct range made = a->share->dims[DIM_MLP], read = a->share->dims[DIM_ACTIVATED];
    bool gathered = cut_gathers(m->plan, a->cut);
    float *rows = gathered ? m->scratch.gathered : m->scratch.outputs;
    size_t half = gathered ? (size_t)a->cut->width : (size_t)range_width(made);
    size_t first = (size_t)(read.begin - (gathered ? 0 : made.begin));
    size_t item = input_bytes(m->plan->compute);
    int width = range_width(read), n_rows = w->run->step->n_rows, row = 0, row_end = n_rows, begin,
        end;
    bool by_rows = n_rows >= w->n_threads;
    team_part((width + COLUMN_UNIT - 1) / COLUMN_UNIT, by_rows ? 0 : w->thread,
              by_rows ? 1 : w->n_threads, &begin, &end);
    begin *= COLUMN_UNIT;
    end = end * COLUMN_UNIT < width ? end * COLUMN_UNIT : width;
    if (by_rows)
        team_part(n_rows, w->thread, w->n_threads, &row, &row_end);
    for (; row < row_end && begin < end; row++) {
        float *gate = rows + (size_t)row * (a->gated ? 2 : 1) * half + first + (size_t)begin;
        char *out = (char *)m->scratch.input + ((size_t)row * (size_t)width + (size_t)begin) * item;
        if (a->sparse)
            m->kernels->cut_below(gate, sparsity_cutoff(m, a->cut, a->deviations, (size_t)row),
                                  (size_t)(end - begin));
        m->kernels->activate_mul(
            &a->activation, gate,
            factors_of(a, gate, half, (size_t)row, (size_t)read.begin + (size_t)begin), end - begin,
            m->plan->compute, out);
    }
}

// Whether gate and up give just the columns that down_proj reads here, and as they come.
static bool gives_own_columns(const struct activating *a)
{
    const struct range given = a->share->dims[DIM_MLP], read = a->share->dims[DIM_ACTIVATED];
    return !a->times_layer_input && !a->sparse && !cut_gathers(a->m->plan, a->cut) &&
           given.begin == read.begin && given.end == read.end;
}

// The activated rows of all threads, in scratch.outputs. Returns the stride.
static size_t project_and_activate(const struct activating *a)
{
    const struct model *m = a->m;
    const size_t item = input_bytes(m->plan->compute), width = (size_t)a->weights->gate.n;
    // Rows that lie a multiple of pages apart would share a few lines of the caches.
    const bool aliased = width * item % PAGE_BYTES == 0;
    const size_t stride = width + (aliased ? LINE_BYTES / item : 0);
    const struct gated_product product = {
        .input = a->input,
        .activation = a->activation,
        .gate = &a->weights->gate,
        .up = a->gated ? &a->weights->up : NULL,
        .gate_bias = a->weights->gate_bias,
        .up_bias = a->weights->up_bias,
        .out = m->scratch.outputs,
        .out_stride = stride,
    };
    multiply_gated(a->w, &product);
    team_barrier(m->team);
    return stride;
}

// Same where gate and up have other columns: into scratch.input, whose rows have no gaps.
static void project_then_activate(const struct activating *a)
{
    struct model *m = a->m;
    const size_t width = (size_t)a->weights->gate.n;
    struct column_product product = {.input = a->input,
                                     .panels = &a->weights->gate,
                                     .bias = a->weights->gate_bias,
                                     .out = m->scratch.outputs,
                                     .out_stride = (a->gated ? 2 : 1) * width};
    multiply(a->w, &product);
    product.panels = &a->weights->up;
    product.bias = a->weights->up_bias;
    product.out += width;
    if (a->gated)
        multiply(a->w, &product);
    team_barrier(m->team);
    if (cut_gathers(m->plan, a->cut))
        gather_gate_up(a);
    LEAVE_IF_FAILED(a->w);
    if (a->sparse)
        find_spreads(a->w, a->layer, a->cut,
                     cut_gathers(m->plan, a->cut) ? m->scratch.gathered : m->scratch.outputs,
                     2 * (cut_gathers(m->plan, a->cut) ? (size_t)a->cut->width : width));
    LEAVE_IF_FAILED(a->w);
    activate_gate(a);
    team_barrier(m->team);
}

// sigmoid(token_gate x) of every row. The barriers of what follows are before its use.
static void find_token_gates(const struct activating *a)
{
    const struct model *m = a->m;
    float *gates = m->scratch.token_gates;
    const struct column_product product = {
        .input = a->input, .panels = &a->weights->token_gate, .out = gates, .out_stride = 1};
    multiply(a->w, &product);
    team_barrier(m->team);
    const struct range rows = step_rows(a->w);
    for (int row = rows.begin; row < rows.end; row++)
        gates[row] = 1.0f / (1.0f + number_exp(-gates[row]));
}

static struct activation_args activation_of(const struct mlp_config *config,
                                            const struct mlp_weights *weights)
{
    struct activation_args out = {.kind = config->activation, .alpha = config->gate_factor};
    if (config->activation != ACTIVATION_XIELU)
        return out;
    out.beta = weights->xielu[2][0];
    out.eps = weights->xielu[3][0];
    out.alpha_p = number_softplus(weights->xielu[0][0]);
    out.alpha_n = out.beta + number_softplus(weights->xielu[1][0]);
    return out;
}

void mlp_block(const struct worker *w, int layer, int sublayer)
{
    struct model *m = w->run->model;
    const struct cut *cut = plan_cut_of(m->plan, layer, sublayer);
    const struct mlp_weights *weights = &m->weights.layers[layer][sublayer].mlp;
    const struct mlp_config *config =
        &model_config_layer(&m->plan->config, layer)->sublayers[sublayer].mlp;
    const struct activating a = {.w = w,
                                 .m = m,
                                 .cut = cut,
                                 .share = &cut->shares[m->rank],
                                 .weights = weights,
                                 .input = sublayer_input(m, layer, sublayer),
                                 .activation = activation_of(config, weights),
                                 .gated = config->gated,
                                 .times_layer_input = config->times_layer_input,
                                 .sparse = config->sparse,
                                 .deviations = config->deviations,
                                 .layer = layer};
    struct row_product down_proj = {.what = "down_proj",
                                    .input = m->scratch.input,
                                    .input_stride = (size_t)weights->down.k,
                                    .panels = &weights->down,
                                    .bias = weights->down_bias};
    if (config->token_gate)
        find_token_gates(&a);
    if (gives_own_columns(&a)) {
        down_proj.input_stride = project_and_activate(&a);
        down_proj.input = m->scratch.outputs;
    } else {
        project_then_activate(&a);
        LEAVE_IF_FAILED(w);
    }
    multiply_and_reduce(w, layer, sublayer, &down_proj);
}
