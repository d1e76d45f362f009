// x += out_proj(norm(silu(gate) · scan(x, B, C, dt))), Mamba-2 (docs/numerics.md section 12).
//
// First the convolution of each group's B and C, then of each head all that its state is needed
// for: its tokens one after the other, of every sequence. Norms over several heads come afterwards.
#include <math.h>
#include <string.h>

#include "model/forward.h"

enum { SCANNED_TOKENS = 64 }; // at once: their steps are on the stack

// The sublayer at work.
struct scanning {
    const struct worker *w;
    struct model *m;
    const struct mamba_config *config;
    const struct cut *cut;
    const struct share *share;
    const struct mamba_weights *weights;
    size_t at[MAMBA_PARTS + 1]; // where the parts begin in a row of in_proj's outputs; its length
    int layer;
};

static struct scanning scanning_of(const struct worker *w, int layer, int sublayer)
{
    struct model *m = w->run->model;
    const struct cut *cut = plan_cut_of(m->plan, layer, sublayer);
    struct scanning s = {
        .w = w,
        .m = m,
        .config = &model_config_layer(&m->plan->config, layer)->sublayers[sublayer].mamba,
        .cut = cut,
        .share = &cut->shares[m->rank],
        .weights = &m->weights.layers[layer][sublayer].mamba,
        .layer = layer,
    };
    const struct range *dims = s.share->dims;
    const int widths[MAMBA_PARTS] = {[MAMBA_GATE] = range_width(dims[DIM_MAMBA]),
                                     [MAMBA_X] = range_width(dims[DIM_MAMBA]),
                                     [MAMBA_B] = range_width(dims[DIM_MAMBA_GROUPS]),
                                     [MAMBA_C] = range_width(dims[DIM_MAMBA_GROUPS]),
                                     [MAMBA_STEP] = range_width(dims[DIM_MAMBA_HEADS])};
    for (int part = 0; part < MAMBA_PARTS; part++)
        s.at[part + 1] = s.at[part] + (size_t)widths[part];
    return s;
}

static size_t row_stride(const struct scanning *s)
{
    return s->at[MAMBA_PARTS];
}

static float *row_of(const struct scanning *s, size_t row)
{
    return s->m->scratch.outputs + row * row_stride(s);
}

static void multiply_parts(const struct scanning *s)
{
    const struct range rows = step_rows(s->w);
    for (int row = rows.begin; row < rows.end; row++)
        for (int part = 0; part < MAMBA_PARTS; part++)
            s->m->kernels->scale(row_of(s, (size_t)row) + s->at[part], s->config->factors[part],
                                 s->at[part + 1] - s->at[part]);
    team_barrier(s->m->team);
}

// Some channels of a run, from column `column` of a row on.
static void convolve_columns(const struct scanning *s, size_t row, int n_tokens, size_t column,
                             size_t n, float *state)
{
    const size_t channel = column - s->at[MAMBA_X];
    convolve_and_silu(s->m->kernels,
                      (struct convolution){
                          .taps = s->config->taps,
                          .channels = (int)n,
                          .n_tokens = n_tokens,
                          .weights = s->weights->taps + channel,
                          .weights_stride = s->at[MAMBA_STEP] - s->at[MAMBA_X],
                          .bias = s->weights->taps_bias ? s->weights->taps_bias + channel : NULL,
                          .state = state,
                          .out = row_of(s, row) + column,
                          .out_stride = row_stride(s),
                      });
}

// B and C of the rank's group number `group`.
static void convolve_group(const void *context, const struct step_sequence *sequence,
                           const struct state_run *run, int group)
{
    const struct scanning *s = context;
    const size_t n = (size_t)s->config->state_size, taps = (size_t)s->config->taps - 1,
                 row = (size_t)sequence->first_row + (size_t)run->token, column = (size_t)group * n;
    float *state = open_state(s->m, run, s->layer, range_width(s->share->heads) + group,
                              2 * taps * n * sizeof(float));
    convolve_columns(s, row, run->n_tokens, s->at[MAMBA_B] + column, n, state);
    convolve_columns(s, row, run->n_tokens, s->at[MAMBA_C] + column, n, state + taps * n);
}

// dt and exp(dt · A) of some tokens of a head.
static void find_steps(const struct scanning *s, size_t row, int n_tokens, int head, float *steps,
                       float *decays)
{
    const struct mamba_config *c = s->config;
    const float a = -number_exp(s->weights->a_log[head]), bias = s->weights->step_bias[head];
    for (int t = 0; t < n_tokens; t++) {
        const float *dt = row_of(s, row + (size_t)t) + s->at[MAMBA_STEP] + head;
        float step = number_softplus(*dt + bias);
        step = step < c->step_min ? c->step_min : step;
        step = step > c->step_max ? c->step_max : step;
        steps[t] = step;
        decays[t] = number_exp(step * a);
    }
}

// What follows the scan of a head's row, in the place of x: silu(gate) · y, but where the norm
// comes first; then its squares.
static void gate_head(const struct scanning *s, size_t row, int head)
{
    static const struct activation_args silu = {.kind = ACTIVATION_SILU};
    const struct model *m = s->m;
    const size_t n = (size_t)s->config->head_dim, column = (size_t)head * n,
                 heads = (size_t)range_width(s->share->heads);
    float *gate = row_of(s, row) + s->at[MAMBA_GATE] + column,
          *y = row_of(s, row) + s->at[MAMBA_X] + column;
    if (!s->config->norm_before_gate || s->config->norm.kind == NORM_NONE)
        m->kernels->activate_mul(&silu, gate, y, (int)n, COMPUTE_F32, y);
    if (s->config->norm.kind != NORM_NONE)
        m->scratch.own_squares[row * heads + (size_t)head] = m->kernels->squares(y, n);
}

// The rank's head number `head`.
static void scan_head(const void *context, const struct step_sequence *sequence,
                      const struct state_run *run, int head)
{
    const struct scanning *s = context;
    const struct mamba_config *c = s->config;
    const size_t n = (size_t)c->head_dim, taps = (size_t)c->taps - 1, column = (size_t)head * n,
                 first = (size_t)sequence->first_row + (size_t)run->token;
    const int group =
        (s->share->heads.begin + head) / (c->num_heads / c->n_groups) - s->share->kv_heads.begin;
    float *state =
        open_state(s->m, run, s->layer, head, (taps + (size_t)c->state_size) * n * sizeof(float));
    convolve_columns(s, first, run->n_tokens, s->at[MAMBA_X] + column, n, state);
    for (int t = 0, n_tokens; t < run->n_tokens; t += n_tokens) {
        float steps[SCANNED_TOKENS], decays[SCANNED_TOKENS];
        const size_t row = first + (size_t)t;
        float *x = row_of(s, row) + s->at[MAMBA_X] + column;
        const size_t of_group = (size_t)group * (size_t)c->state_size;
        n_tokens = run->n_tokens - t < SCANNED_TOKENS ? run->n_tokens - t : SCANNED_TOKENS;
        find_steps(s, row, n_tokens, head, steps, decays);
        const struct state_scan scan = {
            .head_dim = c->head_dim,
            .state_size = c->state_size,
            .n_tokens = n_tokens,
            .state = state + taps * n,
            .steps = steps,
            .decays = decays,
            .steps_stride = 1,
            .x = x,
            .b = row_of(s, row) + s->at[MAMBA_B] + of_group,
            .c = row_of(s, row) + s->at[MAMBA_C] + of_group,
            .stride = row_stride(s),
            .d = s->weights->d[head],
            .y = x,
            .y_stride = row_stride(s),
        };
        s->m->kernels->scan_states(&scan);
        for (int i = 0; i < n_tokens; i++)
            gate_head(s, row + (size_t)i, head);
    }
}

// ---- the norm over each group's heads ----

// Of all heads that the rank's groups have. Ends with a barrier; the run may have failed.
static void share_squares(const struct scanning *s)
{
    struct run *run = s->w->run;
    struct model *m = run->model;
    if (!plan_shares_groups(m->plan, s->cut))
        return;
    const struct column_part part = {s->cut->shares, DIM_MAMBA_HEADS, 0};
    if (s->w->thread == 0) {
        comm_mark(m->comm, run->step->number, s->layer, "squares of heads");
        run->status = gather_columns(run, &part, 1, m->scratch.own_squares, m->scratch.squares,
                                     (size_t)s->config->num_heads);
    }
    team_barrier(m->team);
}

// 1 / sqrt(mean + eps) of a group, which counts from the model's first.
static float group_factor(const struct scanning *s, size_t row, int group)
{
    const struct mamba_config *c = s->config;
    const bool gathered = plan_shares_groups(s->m->plan, s->cut);
    const int n = c->num_heads / c->n_groups, before = gathered ? 0 : s->share->heads.begin;
    const float *squares =
        gathered ? s->m->scratch.squares + row * (size_t)c->num_heads
                 : s->m->scratch.own_squares + row * (size_t)range_width(s->share->heads);
    float sum = 0;
    for (int head = group * n; head < (group + 1) * n; head++)
        sum += squares[head - before];
    return 1.0f / sqrtf(sum / (float)(n * c->head_dim) + c->norm.eps);
}

static void norm_groups(const struct scanning *s, size_t row)
{
    const struct mamba_config *c = s->config;
    const int n = c->num_heads / c->n_groups;
    const struct range own = s->share->heads;
    float *x = row_of(s, row) + s->at[MAMBA_X];
    for (int group = s->share->kv_heads.begin; group < s->share->kv_heads.end; group++) {
        const int begin = group * n > own.begin ? group * n : own.begin,
                  end = (group + 1) * n < own.end ? (group + 1) * n : own.end;
        const size_t first = (size_t)(begin - own.begin) * (size_t)c->head_dim;
        s->m->kernels->scale_weighted(x + first, group_factor(s, row, group),
                                      s->weights->norm + first,
                                      (size_t)(end - begin) * (size_t)c->head_dim);
    }
}

// What out_proj reads. Ends with a barrier.
static void end_rows(const struct scanning *s)
{
    static const struct activation_args silu = {.kind = ACTIVATION_SILU};
    const struct model *m = s->m;
    const struct mamba_config *c = s->config;
    const size_t width = s->at[MAMBA_B] - s->at[MAMBA_X], item = input_bytes(m->plan->compute);
    const struct range rows = step_rows(s->w);
    for (int i = rows.begin; i < rows.end; i++) {
        const size_t row = (size_t)i;
        const float *gate = row_of(s, row) + s->at[MAMBA_GATE],
                    *x = row_of(s, row) + s->at[MAMBA_X];
        void *out = (char *)m->scratch.input + row * width * item;
        if (c->norm.kind != NORM_NONE)
            norm_groups(s, row);
        if (c->norm.kind != NORM_NONE && c->norm_before_gate)
            m->kernels->activate_mul(&silu, gate, x, (int)width, m->plan->compute, out);
        else
            m->kernels->round(x, width, m->plan->compute, out);
    }
    team_barrier(m->team);
}

void mamba_block(const struct worker *w, int layer, int sublayer)
{
    const struct scanning s = scanning_of(w, layer, sublayer);
    struct model *m = s.m;
    const struct column_product in_proj = {.input = sublayer_input(m, layer, sublayer),
                                           .panels = &s.weights->in,
                                           .bias = s.weights->in_bias,
                                           .out = m->scratch.outputs,
                                           .out_stride = row_stride(&s)};
    multiply(w, &in_proj);
    team_barrier(m->team);
    if (s.config->has_factors)
        multiply_parts(&s);
    for_state_runs(w, range_width(s.share->kv_heads), convolve_group, &s);
    for_state_runs(w, range_width(s.share->heads), scan_head, &s);
    if (s.config->norm.kind != NORM_NONE)
        share_squares(&s);
    LEAVE_IF_FAILED(w);
    end_rows(&s);
    multiply_and_reduce(w, layer, sublayer,
                        &(struct row_product){.what = "out_proj",
                                              .input = m->scratch.input,
                                              .input_stride = (size_t)s.weights->out.k,
                                              .panels = &s.weights->out,
                                              .bias = s.weights->out_bias});
}
