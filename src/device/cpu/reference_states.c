// What layers with a state compute, token by token (docs/numerics.md section 12).
#include <assert.h>
#include <math.h>

#include "device/cpu/reference.h"

void reference_convolve(const struct convolution *args)
{
    const int taps = args->taps;
    assert(taps >= 1 && taps <= CONVOLUTION_TAPS_MAX);
    for (int c = 0; c < args->channels; c++) {
        float window[CONVOLUTION_TAPS_MAX]; // the token's input and those before it, oldest first
        for (int j = 0; j < taps - 1; j++)
            window[j] = args->state[(size_t)j * args->state_stride + (size_t)c];
        for (int t = 0; t < args->n_tokens; t++) {
            float y = args->bias ? args->bias[c] : 0.0f;
            window[taps - 1] = args->x[(size_t)t * args->x_stride + (size_t)c];
            for (int j = 0; j < taps; j++)
                y = fmaf(args->weights[(size_t)j * args->weights_stride + (size_t)c], window[j], y);
            args->out[(size_t)t * args->out_stride + (size_t)c] = y;
            for (int j = 0; j < taps - 1; j++)
                window[j] = window[j + 1];
        }
        for (int j = 0; j < taps - 1; j++)
            args->state[(size_t)j * args->state_stride + (size_t)c] = window[j];
    }
}

void reference_scan_states(const struct state_scan *args)
{
    for (int t = 0; t < args->n_tokens; t++) {
        const size_t row = (size_t)t * args->stride;
        const float step = args->steps[(size_t)t * args->steps_stride],
                    decay = args->decays[(size_t)t * args->steps_stride];
        const float *b = args->b + row, *c = args->c + row;
        for (int p = 0; p < args->head_dim; p++) {
            const float x = args->x[row + (size_t)p], u = step * x;
            float y = 0;
            for (int n = 0; n < args->state_size; n++) {
                float *s = &args->state[(size_t)n * (size_t)args->head_dim + (size_t)p];
                *s = fmaf(u, b[n], *s * decay);
                y = fmaf(*s, c[n], y);
            }
            args->y[(size_t)t * args->y_stride + (size_t)p] = fmaf(args->d, x, y);
        }
    }
}

void reference_scan_delta(const struct delta_scan *args)
{
    const size_t dk = (size_t)args->key_dim, dv = (size_t)args->value_dim;
    for (int t = 0; t < args->n_tokens; t++) {
        const size_t row = (size_t)t * args->stride;
        const float *q = args->q + row, *k = args->k + row,
                    *decays = args->decays + (size_t)t * args->decays_stride;
        const float beta = args->betas[(size_t)t * args->betas_stride];
        for (size_t p = 0; p < dv; p++) {
            float memory = 0, y = 0;
            for (size_t n = 0; n < dk; n++)
                memory = fmaf(args->state[n * dv + p] * decays[args->channel_decays ? n : 0], k[n],
                              memory);
            const float delta = (args->v[row + p] - memory) * beta;
            for (size_t n = 0; n < dk; n++) {
                float *s = &args->state[n * dv + p];
                *s = fmaf(k[n], delta, *s * decays[args->channel_decays ? n : 0]);
                y = fmaf(*s, q[n], y);
            }
            args->y[(size_t)t * args->y_stride + p] = y;
        }
    }
}

void reference_decay_channels(float *x, const float *bias, float rate, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = number_channel_decay(rate, x[i] + bias[i]);
}
