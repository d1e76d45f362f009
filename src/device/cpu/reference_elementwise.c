#include <math.h>

#include "device/cpu/lanes.h"
#include "device/cpu/reference.h"

void reference_rmsnorm(const float *x, const float *weight, float eps, int n,
                       enum compute_type type, void *out)
{
    float lanes[LANES] = {0};
    for (int i = 0; i < n; i++)
        lanes[i % LANES] = fmaf(x[i], x[i], lanes[i % LANES]);
    float r = 1.0f / sqrtf(fold_lanes(lanes) / (float)n + eps);
    for (int i = 0; i < n; i++)
        store_rounded(out, (size_t)i, (x[i] * r) * weight[i], type);
}

void reference_silu_mul(const float *gate, const float *up, int n, enum compute_type type,
                        void *out)
{
    for (int i = 0; i < n; i++) {
        float silu = gate[i] / (1.0f + number_exp(-gate[i]));
        store_rounded(out, (size_t)i, silu * up[i], type);
    }
}

void reference_round(const float *x, size_t n, enum compute_type type, void *out)
{
    for (size_t i = 0; i < n; i++)
        store_rounded(out, i, x[i], type);
}

void reference_rope(float *x, const float *cos, const float *sin, int head_dim)
{
    int h = head_dim / 2;
    for (int i = 0; i < h; i++) {
        float a = x[i], b = x[i + h];
        x[i] = fmaf(a, cos[i], -(b * sin[i]));
        x[i + h] = fmaf(b, cos[i], a * sin[i]);
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
