#include <assert.h>
#include <math.h>

#include "device/cpu/lanes.h"
#include "device/cpu/reference.h"

float reference_squares(const float *x, size_t n)
{
    float lanes[LANES] = {0};
    for (size_t i = 0; i < n; i++)
        lanes[i % LANES] = fmaf(x[i], x[i], lanes[i % LANES]);
    return fold_lanes(lanes);
}

void reference_rmsnorm(const float *x, const float *weight, float eps, int n,
                       enum compute_type type, void *out)
{
    float r = 1.0f / sqrtf(reference_squares(x, (size_t)n) / (float)n + eps);
    for (int i = 0; i < n; i++)
        store_rounded(out, (size_t)i, (x[i] * r) * weight[i], type);
}

float reference_spread(const float *x, size_t n, float *sum)
{
    float sums[LANES] = {0}, squares[LANES] = {0};
    for (size_t i = 0; i < n; i++)
        sums[i % LANES] += x[i];
    *sum = fold_lanes(sums);
    float mean = *sum / (float)n;
    for (size_t i = 0; i < n; i++) {
        float d = x[i] - mean;
        squares[i % LANES] = fmaf(d, d, squares[i % LANES]);
    }
    return fold_lanes(squares);
}

void reference_layernorm(const float *x, const float *weight, const float *bias, float eps, int n,
                         enum compute_type type, void *out)
{
    float sum, squares = reference_spread(x, (size_t)n, &sum), mean = sum / (float)n;
    float r = 1.0f / sqrtf(squares / (float)n + eps);
    for (int i = 0; i < n; i++) {
        float y = (x[i] - mean) * r;
        store_rounded(out, (size_t)i, bias ? fmaf(y, weight[i], bias[i]) : y * weight[i], type);
    }
}

void reference_activate_mul(const struct activation_args *args, const float *gate, const float *up,
                            int n, enum compute_type type, void *out)
{
    for (int i = 0; i < n; i++) {
        float y = number_activation(args, gate[i]);
        store_rounded(out, (size_t)i, up ? y * number_up(args, up[i]) : y, type);
    }
}

void reference_round(const float *x, size_t n, enum compute_type type, void *out)
{
    for (size_t i = 0; i < n; i++)
        store_rounded(out, i, x[i], type);
}

void reference_rope(float *x, const float *cos, const float *sin, int n)
{
    int h = n / 2;
    for (int i = 0; i < h; i++) {
        float a = x[i], b = x[i + h];
        x[i] = fmaf(a, cos[i], -(b * sin[i]));
        x[i + h] = fmaf(b, cos[i], a * sin[i]);
    }
}

void reference_rope_interleaved(float *x, const float *cos, const float *sin, int n)
{
    for (int i = 0; i < n / 2; i++, x += 2) {
        float a = x[0], b = x[1];
        x[0] = fmaf(a, cos[i], -(b * sin[i]));
        x[1] = fmaf(b, cos[i], a * sin[i]);
    }
}

void reference_scale(float *x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

void reference_softcap(float *x, float cap, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = cap * number_tanh(x[i] / cap);
}

void reference_scale_weighted(float *x, float r, const float *weight, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (x[i] * r) * weight[i];
}

void reference_add_scaled(float *x, float factor, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = fmaf(factor, y[i], x[i]);
}

void reference_cut_below(float *x, float cutoff, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float above = x[i] - cutoff;
        x[i] = (above < 0 ? 0 : above) + 0;
    }
}

void reference_add(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}

void reference_add_to(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] + b[i];
}

void reference_add_to_both(float *out, float *copy, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = copy[i] = a[i] + b[i];
}

void reference_copy(float *out, const float *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = in[i];
}

void reference_sum_weighted(const struct weighted_rows *args)
{
    for (int column = 0; column < args->columns; column++) {
        float stack[WEIGHTED_DEPTH_MAX] = {0};
        int depth = 0;
        for (int i = 0; i < args->n; i++) {
            assert(depth < WEIGHTED_DEPTH_MAX);
            stack[depth++] = args->rows[i][column] * args->weights[i];
            for (int merge = 0; merge < args->merges[i]; merge++, depth--)
                stack[depth - 2] = stack[depth - 2] + stack[depth - 1];
        }
        assert(depth == (args->n > 0));
        args->out[column] = stack[0] + 0.0f;
    }
}
