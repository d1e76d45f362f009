// x += out_proj(silu(z) · norm(scan(q, k, v, decay, beta))), the gated delta rule
// (docs/numerics.md section 12).
//
// First the query and key of each key head, through the convolution and their norms; then of each
// value head all that its state is needed for: its tokens one after the other, of every sequence.
#include <math.h>

#include "model/forward.h"

enum { SCANNED_TOKENS = 64 }; // at once: their decays are on the stack

enum delta_part {
    DELTA_QUERY,
    DELTA_KEY,
    DELTA_VALUE,
    DELTA_GATE,
    DELTA_BETA,
    DELTA_STEP,
    DELTA_PARTS
};

static const struct activation_args silu = {.kind = ACTIVATION_SILU};

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
    static const enum dim dims[DELTA_PARTS] = {DIM_DELTA_KEYS,   DIM_DELTA_KEYS,  DIM_DELTA_VALUES,
                                               DIM_DELTA_VALUES, DIM_DELTA_HEADS, DIM_DELTA_HEADS};
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
                                         // the first parts are those that it goes over
                                         .weights = d->weights->taps + column,
                                         .weights_stride = d->at[DELTA_GATE],
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

// exp(g) and beta of some tokens of a value head.
static void find_gates(const struct delta *d, size_t row, int n_tokens, int head, float *decays,
                       float *betas)
{
    const float rate = -number_exp(d->weights->a_log[head]), bias = d->weights->step_bias[head],
                top = d->config->double_beta ? 2.0f : 1.0f;
    for (int t = 0; t < n_tokens; t++) {
        const float *x = delta_row(d, row + (size_t)t);
        decays[t] = number_exp(rate * number_softplus(x[d->at[DELTA_STEP] + (size_t)head] + bias));
        betas[t] = top / (1.0f + number_exp(-x[d->at[DELTA_BETA] + (size_t)head]));
    }
}

// What out_proj reads of a head's row.
static void end_head(const struct delta *d, size_t row, int head)
{
    const struct model *m = d->m;
    const size_t n = (size_t)d->config->value_head_dim, column = (size_t)head * n,
                 width = d->at[DELTA_GATE] - d->at[DELTA_VALUE];
    float *x = delta_row(d, row), *y = x + d->at[DELTA_VALUE] + column;
    apply_norm(m, &d->config->norm, &d->weights->norm, y, (int)n, COMPUTE_F32, y);
    m->kernels->activate_mul(&silu, x + d->at[DELTA_GATE] + column, y, (int)n, m->plan->compute,
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
        float decays[SCANNED_TOKENS], betas[SCANNED_TOKENS];
        const size_t row = first + (size_t)t;
        float *x = delta_row(d, row);
        n_tokens = run->n_tokens - t < SCANNED_TOKENS ? run->n_tokens - t : SCANNED_TOKENS;
        find_gates(d, row, n_tokens, head, decays, betas);
        const struct delta_scan scan = {
            .key_dim = c->key_head_dim,
            .value_dim = c->value_head_dim,
            .n_tokens = n_tokens,
            .state = state + taps * dv,
            .decays = decays,
            .decays_stride = 1,
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
    for_state_runs(w, range_width(d.share->kv_heads), prepare_key_head, &d);
    for_state_runs(w, range_width(d.share->heads), scan_value_head, &d);
    multiply_and_reduce(w, layer, sublayer,
                        &(struct row_product){.what = "out_proj",
                                              .input = m->scratch.input,
                                              .input_stride = (size_t)d.weights->out.k,
                                              .panels = &d.weights->out});
}
