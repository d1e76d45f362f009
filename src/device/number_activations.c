// tanh, erf and the activations of the contract (docs/numerics.md, section 8), one number at a
// time. Vector kernels repeat these lines (cpu/x86/activation_vectors.h).
#include <math.h>

#include "device/exp_parts.h"
#include "device/kernels.h"

float number_tanh(float x)
{
    float a = fabsf(x), z = a * a, y;
    if (a < 0.625f) {
        float p = -5.71704470e-3f;
        p = fmaf(p, z, 2.06505861e-2f);
        p = fmaf(p, z, -5.37434965e-2f);
        p = fmaf(p, z, 1.33314908e-1f);
        p = fmaf(p, z, -3.33332837e-1f);
        y = fmaf(p * z, a, a);
    } else {
        y = 1.0f - 2.0f / (number_exp(a + a) + 1.0f);
    }
    return copysignf(y, x);
}

float number_erf(float x)
{
    float a = fabsf(x), z = a * a, p;
    if (a < 1.0f) {
        p = 7.88912293e-5f;
        p = fmaf(p, z, -8.02084222e-4f);
        p = fmaf(p, z, 5.18953567e-3f);
        p = fmaf(p, z, -2.68544443e-2f);
        p = fmaf(p, z, 1.12836003e-1f);
        p = fmaf(p, z, -3.76126260e-1f);
        p = fmaf(p, z, 1.28379107e-1f);
        return copysignf(fmaf(a, p, a), x);
    }
    if (a > 4.0f)
        a = 4.0f;
    p = 1.41333814e-5f;
    p = fmaf(p, a, -3.52330623e-4f);
    p = fmaf(p, a, 3.76465464e-3f);
    p = fmaf(p, a, -2.40254961e-2f);
    p = fmaf(p, a, 1.06549092e-1f);
    p = fmaf(p, a, 6.34958327e-1f);
    p = fmaf(p, a, 1.12869716f);
    return copysignf(1.0f - number_exp(-(a * p)), x);
}

// exp(x) - 1 for x <= 0, to the last bits also next to 0.
static float exp_minus_one(float x)
{
    if (x != x)
        return x;
    const struct exp_parts parts = exp_parts(x < -18.0f ? -18.0f : x);
    float power = power_of_two(parts.n);
    return fmaf(parts.y, power, power - 1.0f);
}

static float relu(float x)
{
    return (x < 0.0f ? 0.0f : x) + 0.0f; // no negative zero, no denormal
}

static float xielu(const struct activation_args *args, float x)
{
    if (x > 0.0f)
        return x * fmaf(args->alpha_p, x, args->beta);
    float least = x < args->eps ? x : args->eps;
    return fmaf(exp_minus_one(least) - x, args->alpha_n, args->beta * x);
}

float number_activation(const struct activation_args *args, float x)
{
    switch (args->kind) {
    case ACTIVATION_SILU:
        return x / (1.0f + number_exp(-x));
    case ACTIVATION_GELU_TANH:
        return x / (1.0f + number_exp(-(x * fmaf(7.13548163e-2f, x * x, 1.59576912f))));
    case ACTIVATION_GELU_ERF:
        return (0.5f * x) * (1.0f + number_erf(x * 0.707106781f));
    case ACTIVATION_QUICK_GELU:
        return x / (1.0f + number_exp(-(x * 1.702f)));
    case ACTIVATION_RELU:
        return relu(x);
    case ACTIVATION_RELU_SQUARED:
        return relu(x) * relu(x);
    case ACTIVATION_XIELU:
        return xielu(args, x);
    case ACTIVATION_CLAMPED_SWIGLU:
        x = x > args->limit ? args->limit : x;
        return x / (1.0f + number_exp(-(x * args->alpha)));
    case ACTIVATION_SIGMOID:
        return 1.0f / (1.0f + number_exp(-x));
    case ACTIVATION_SCALED_SILU:
        x = x * args->alpha;
        return x / (1.0f + number_exp(-x));
    case ACTIVATION_COUNT:
        break;
    }
    return 0;
}

float number_up(const struct activation_args *args, float up)
{
    if (args->kind != ACTIVATION_CLAMPED_SWIGLU)
        return up;
    up = up > args->limit ? args->limit : up;
    return (up < -args->limit ? -args->limit : up) + 1.0f;
}
