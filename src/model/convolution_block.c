// x += out_proj(C · convolution(B · x)), where [B, C, x] = in_proj(norm(x)) (docs/numerics.md
// section 12). Channels go by themselves: a thread has some units of them, of every sequence.
#include <stddef.h>

#include "model/forward.h"
#include "model/state_layout.h"

// The sublayer at work.
struct convolving {
    struct model *m;
    const struct convolution_config *config;
    const struct convolution_weights *weights;
    size_t channels, unit; // of this rank; of a unit
    int layer;
};

// y[t][i] *= x[t][i], both rows of the products.
static void multiply_channels(float *y, const float *x, size_t stride, int n_rows, size_t n)
{
    for (int t = 0; t < n_rows; t++, y += stride, x += stride)
        for (size_t i = 0; i < n; i++)
            y[i] *= x[i];
}

// One unit's channels of a sequence's run: x becomes what out_proj reads of them.
static void convolve_run(const void *context, const struct step_sequence *sequence,
                         const struct state_run *run, int unit)
{
    const struct convolving *c = context;
    const struct model *m = c->m;
    const size_t stride = 3 * c->channels, first = (size_t)unit * c->unit,
                 row = (size_t)sequence->first_row + (size_t)run->token,
                 item = input_bytes(m->plan->compute);
    float *b = m->scratch.outputs + row * stride + first, *x = b + 2 * c->channels;
    const struct convolution convolution = {
        .taps = c->config->taps,
        .channels = (int)c->unit,
        .n_tokens = run->n_tokens,
        .weights = c->weights->taps + first,
        .weights_stride = c->channels,
        .bias = c->weights->taps_bias ? c->weights->taps_bias + first : NULL,
        .state = open_state(m, run, c->layer, unit,
                            ((size_t)c->config->taps - 1) * c->unit * sizeof(float)),
        .out = x,
        .out_stride = stride,
    };
    multiply_channels(x, b, stride, run->n_tokens, c->unit);
    convolve_in_place(m->kernels, convolution);
    multiply_channels(x, b + c->channels, stride, run->n_tokens, c->unit);
    for (size_t t = 0; t < (size_t)run->n_tokens; t++)
        m->kernels->round(x + t * stride, c->unit, m->plan->compute,
                          (char *)m->scratch.input + ((row + t) * c->channels + first) * item);
}

void convolution_block(const struct worker *w, int layer, int sublayer)
{
    struct model *m = w->run->model;
    const struct cut *cut = plan_cut_of(m->plan, layer, sublayer);
    const struct convolution_weights *weights = &m->weights.layers[layer][sublayer].convolution;
    const struct convolving c = {
        .m = m,
        .config = &model_config_layer(&m->plan->config, layer)->sublayers[sublayer].convolution,
        .weights = weights,
        .channels = (size_t)range_width(cut->shares[m->rank].dims[DIM_CHANNELS]),
        .unit = (size_t)convolution_unit(cut->width),
        .layer = layer,
    };
    const struct column_product in_proj = {.input = sublayer_input(m, layer, sublayer),
                                           .panels = &weights->in,
                                           .bias = weights->in_bias,
                                           .out = m->scratch.outputs,
                                           .out_stride = 3 * c.channels};
    multiply(w, &in_proj);
    team_barrier(m->team);
    for_state_runs(w, (int)(c.channels / c.unit), convolve_run, &c);
    multiply_and_reduce(w, layer, sublayer,
                        &(struct row_product){.what = "out_proj",
                                              .input = m->scratch.input,
                                              .input_stride = (size_t)weights->out.k,
                                              .panels = &weights->out,
                                              .bias = weights->out_bias});
}
