// x += out_proj(silu(z) · norm(scan(q, k, v, decay, beta))), the gated delta rule
// (docs/numerics.md section 12).
//
// First the query and key of each key head, through the convolution and their norms; then of each
// value head all that its state is needed for: its tokens one after the other, of every sequence.
// What the gate z and the decays are made of may come by way of a few numbers (Kimi's delta
// attention), of which each rank computes all.
#include <math.h>

#include "model/forward.h"

enum { SCANNED_TOKENS = 64 }; // at once: what they are scanned with is on the stack

// Of a row of the products' outputs. The convolution goes over the first three; what the gate and
// the decays (steps) are made of is there where that is not the input.
enum delta_part {
    DELTA_QUERY,
    DELTA_KEY,
    DELTA_VALUE,
    DELTA_BETA,
    DELTA_GATE_DOWN,
    DELTA_STEP_DOWN,
    DELTA_GATE,
    DELTA_STEP,
    DELTA_PARTS
};

// The sublayer at work.
struct delta {
    struct model *m;
    const struct delta_config *config;
    const struct share *share;
    const struct delta_weights *weights;
    size_t at[DELTA_PARTS + 1]; // where the parts begin in a row of the products' outputs; its end
    float query_scale;          // key_head_dim^-1/2
    int layer;
};

static struct delta delta_of(const struct worker *w, int layer, int sublayer)
{
    struct model *m = w->run->model;
    struct delta d = {
        .m = m,
        .config = &model_config_layer(&m->plan->config, layer)->sublayers[sublayer].delta,
        .share = &plan_cut_of(m->plan, layer, sublayer)->shares[m->rank],
        .weights = &m->weights.layers[layer][sublayer].delta,
        .layer = layer,
    };
    static const enum dim dims[DELTA_PARTS] = {DIM_DELTA_KEYS,   DIM_DELTA_KEYS, DIM_DELTA_VALUES,
                                               DIM_DELTA_HEADS,  DIM_DELTA_RANK, DIM_DELTA_RANK,
                                               DIM_DELTA_VALUES, DIM_DELTA_STEPS};
    for (int part = 0; part < DELTA_PARTS; part++)
        d.at[part + 1] = d.at[part] + (size_t)range_width(d.share->dims[dims[part]]);
    d.query_scale = (float)(1 / sqrt((double)d.config->key_head_dim));
    return d;
}

static float *delta_row(const struct delta *d, size_t row)
{
    return d->m->scratch.outputs + row * d->at[DELTA_PARTS];
}

// `n` channels of a run, from column `column` of a row on.
static void convolve_part(const struct delta *d, size_t row, int n_tokens, size_t column, size_t n,
                          float *state)
{
    convolve_and_silu(d->m->kernels, (struct convolution){
                                         .taps = d->config->taps,
                                         .channels = (int)n,
                                         .n_tokens = n_tokens,
                                         .weights = d->weights->taps + column,
                                         .weights_stride = d->at[DELTA_BETA],
                                         .state = state,
                                         .out = delta_row(d, row) + column,
                                         .out_stride = d->at[DELTA_PARTS],
                                     });
}

// x / |x|
static void norm_to_one(const struct kernels *kernels, float *x, size_t n)
{
    kernels->scale(x, 1.0f / sqrtf(kernels->squares(x, n) + 1e-6f), n);
}

// Query and key of the rank's key head number `head`.
static void prepare_key_head(const void *context, const struct step_sequence *sequence,
                             const struct state_run *run, int head)
{
    const struct delta *d = context;
    const size_t n = (size_t)d->config->key_head_dim, taps = (size_t)d->config->taps - 1,
                 first = (size_t)sequence->first_row + (size_t)run->token,
                 query = d->at[DELTA_QUERY] + (size_t)head * n,
                 key = d->at[DELTA_KEY] + (size_t)head * n;
    const struct kernels *kernels = d->m->kernels;
    float *state = open_state(d->m, run, d->layer, range_width(d->share->heads) + head,
                              2 * taps * n * sizeof(float));
    convolve_part(d, first, run->n_tokens, query, n, state);
    convolve_part(d, first, run->n_tokens, key, n, state + taps * n);
    for (size_t t = 0; t < (size_t)run->n_tokens; t++) {
        float *x = delta_row(d, first + t);
        norm_to_one(kernels, x + query, n);
        kernels->scale(x + query, d->query_scale, n);
        norm_to_one(kernels, x + key, n);
    }
}

// beta of some tokens of a value head, and its decays, exp(g), in the place of what they follow.
static void find_gates(const struct delta *d, size_t row, int n_tokens, int head, float *betas)
{
    const size_t n = (size_t)delta_steps_of_head(d->config);
    const float rate = -number_exp(d->weights->a_log[head]),
                *bias = d->weights->step_bias + (size_t)head * n,
                top = d->config->double_beta ? 2.0f : 1.0f;
    for (int t = 0; t < n_tokens; t++) {
        float *x = delta_row(d, row + (size_t)t), *step = x + d->at[DELTA_STEP] + (size_t)head * n;
        if (d->config->channel_decays)
            d->m->kernels->decay_channels(step, bias, rate, n);
        else
            *step = number_exp(rate * number_softplus(*step + *bias));
        betas[t] = top / (1.0f + number_exp(-x[d->at[DELTA_BETA] + (size_t)head]));
    }
}

// What out_proj reads of a head's row.
static void end_head(const struct delta *d, size_t row, int head)
{
    const struct model *m = d->m;
    const size_t n = (size_t)d->config->value_head_dim, column = (size_t)head * n,
                 width = d->at[DELTA_BETA] - d->at[DELTA_VALUE];
    const struct activation_args gate = {.kind = d->config->gate};
    float *x = delta_row(d, row), *y = x + d->at[DELTA_VALUE] + column;
    apply_norm(m, &d->config->norm, &d->weights->norm, y, (int)n, COMPUTE_F32, y);
    m->kernels->activate_mul(&gate, x + d->at[DELTA_GATE] + column, y, (int)n, m->plan->compute,
                             (char *)m->scratch.input +
                                 (row * width + column) * input_bytes(m->plan->compute));
}

// The rank's value head number `head`.
static void scan_value_head(const void *context, const struct step_sequence *sequence,
                            const struct state_run *run, int head)
{
    const struct delta *d = context;
    const struct delta_config *c = d->config;
    const size_t dk = (size_t)c->key_head_dim, dv = (size_t)c->value_head_dim,
                 taps = (size_t)c->taps - 1,
                 first = (size_t)sequence->first_row + (size_t)run->token,
                 value = d->at[DELTA_VALUE] + (size_t)head * dv;
    const int key = (d->share->heads.begin + head) / (c->num_value_heads / c->num_key_heads) -
                    d->share->kv_heads.begin;
    float *state = open_state(d->m, run, d->layer, head, (taps + dk) * dv * sizeof(float));
    convolve_part(d, first, run->n_tokens, value, dv, state);
    for (int t = 0, n_tokens; t < run->n_tokens; t += n_tokens) {
        float betas[SCANNED_TOKENS];
        const size_t row = first + (size_t)t;
        float *x = delta_row(d, row);
        n_tokens = run->n_tokens - t < SCANNED_TOKENS ? run->n_tokens - t : SCANNED_TOKENS;
        find_gates(d, row, n_tokens, head, betas);
        const struct delta_scan scan = {
            .key_dim = c->key_head_dim,
            .value_dim = c->value_head_dim,
            .n_tokens = n_tokens,
            .state = state + taps * dv,
            .decays = x + d->at[DELTA_STEP] + (size_t)(head * delta_steps_of_head(c)),
            .decays_stride = d->at[DELTA_PARTS],
            .channel_decays = c->channel_decays,
            .betas = betas,
            .betas_stride = 1,
            .q = x + d->at[DELTA_QUERY] + (size_t)key * dk,
            .k = x + d->at[DELTA_KEY] + (size_t)key * dk,
            .v = x + value,
            .stride = d->at[DELTA_PARTS],
            .y = x + value,
            .y_stride = d->at[DELTA_PARTS],
        };
        d->m->kernels->scan_delta(&scan);
        for (int i = 0; i < n_tokens; i++)
            end_head(d, row + (size_t)i, head);
    }
}

// The gate and what the decays follow, of the low_rank numbers that each is made of: these as
// products' inputs, [rows, low_rank] of the one, then of the other. Ends with a barrier.
static void raise_gates(const struct worker *w, const struct delta *d)
{
    struct model *m = d->m;
    const size_t rank = (size_t)d->config->low_rank, item = input_bytes(m->plan->compute);
    char *gates = m->scratch.input, *steps = gates + (size_t)w->run->step->n_rows * rank * item;
    const struct leaf_plan leaves = leaf_plan_whole(d->config->low_rank);
    const struct range rows = step_rows(w);
    for (int row = rows.begin; row < rows.end; row++) {
        const float *x = delta_row(d, (size_t)row);
        const size_t to = (size_t)row * rank * item;
        m->kernels->round(x + d->at[DELTA_GATE_DOWN], rank, m->plan->compute, gates + to);
        m->kernels->round(x + d->at[DELTA_STEP_DOWN], rank, m->plan->compute, steps + to);
    }
    team_barrier(m->team);
    multiply(w, &(struct column_product){.input = gates,
                                         .panels = &d->weights->gate_up,
                                         .leaves = &leaves,
                                         .out = m->scratch.outputs + d->at[DELTA_GATE],
                                         .out_stride = d->at[DELTA_PARTS]});
    multiply(w, &(struct column_product){.input = steps,
                                         .panels = &d->weights->step_up,
                                         .leaves = &leaves,
                                         .out = m->scratch.outputs + d->at[DELTA_STEP],
                                         .out_stride = d->at[DELTA_PARTS]});
    team_barrier(m->team);
}

void delta_block(const struct worker *w, int layer, int sublayer)
{
    const struct delta d = delta_of(w, layer, sublayer);
    struct model *m = d.m;
    const struct column_product projections = {.input = sublayer_input(m, layer, sublayer),
                                               .panels = &d.weights->in,
                                               .out = m->scratch.outputs,
                                               .out_stride = d.at[DELTA_PARTS]};
    multiply(w, &projections);
    team_barrier(m->team);
    if (d.config->low_rank)
        raise_gates(w, &d);
    for_state_runs(w, range_width(d.share->kv_heads), prepare_key_head, &d);
    for_state_runs(w, range_width(d.share->heads), scan_value_head, &d);
    multiply_and_reduce(w, layer, sublayer,
                        &(struct row_product){.what = "out_proj",
                                              .input = m->scratch.input,
                                              .input_stride = (size_t)d.weights->out.k,
                                              .panels = &d.weights->out});
}
