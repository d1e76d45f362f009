// tanh, erf and the activations of docs/numerics.md section 8, the lines of number_activations.c
// with vectors. vectors_avx2.h and vectors_avx512.h define `vec`, `vec_mask` and what computes with
// them before they include this.
#ifndef COLROW_DEVICE_CPU_X86_ACTIVATION_VECTORS_H
#define COLROW_DEVICE_CPU_X86_ACTIVATION_VECTORS_H

#include "device/cpu/x86/unrolled.h"
#include "device/kernels.h"

// p · x + c
INLINE vec vec_step(vec p, vec x, float c)
{
    return vec_fma(p, x, vec_set1(c));
}

INLINE vec vec_tanh(vec x)
{
    const vec a = vec_without_sign(x), z = vec_mul(a, a), one = vec_set1(1.0f);
    vec p = vec_set1(-5.71704470e-3f);
    p = vec_step(p, z, 2.06505861e-2f);
    p = vec_step(p, z, -5.37434965e-2f);
    p = vec_step(p, z, 1.33314908e-1f);
    p = vec_step(p, z, -3.33332837e-1f);
    const vec near = vec_fma(vec_mul(p, z), a, a);
    const vec e = vec_add(vec_exp(vec_add(a, a)), one);
    const vec far = vec_sub(one, vec_div(vec_set1(2.0f), e));
    return vec_with_sign_of(vec_pick(vec_less(a, vec_set1(0.625f)), near, far), x);
}

INLINE vec vec_softcap(vec x, vec cap)
{
    return vec_mul(cap, vec_tanh(vec_div(x, cap)));
}

INLINE vec vec_erf(vec x)
{
    const vec a = vec_without_sign(x), z = vec_mul(a, a), four = vec_set1(4.0f);
    vec p = vec_set1(7.88912293e-5f);
    p = vec_step(p, z, -8.02084222e-4f);
    p = vec_step(p, z, 5.18953567e-3f);
    p = vec_step(p, z, -2.68544443e-2f);
    p = vec_step(p, z, 1.12836003e-1f);
    p = vec_step(p, z, -3.76126260e-1f);
    p = vec_step(p, z, 1.28379107e-1f);
    const vec near = vec_fma(a, p, a), b = vec_pick(vec_less(four, a), four, a);
    p = vec_set1(1.41333814e-5f);
    p = vec_step(p, b, -3.52330623e-4f);
    p = vec_step(p, b, 3.76465464e-3f);
    p = vec_step(p, b, -2.40254961e-2f);
    p = vec_step(p, b, 1.06549092e-1f);
    p = vec_step(p, b, 6.34958327e-1f);
    p = vec_step(p, b, 1.12869716f);
    const vec far = vec_sub(vec_set1(1.0f), vec_exp(vec_negative(vec_mul(b, p))));
    return vec_with_sign_of(vec_pick(vec_less(a, vec_set1(1.0f)), near, far), x);
}

// Where x > 0, nonsense.
INLINE vec vec_exp_minus_one(vec x)
{
    const vec least = vec_set1(-18.0f), t = vec_pick(vec_less(x, least), least, x);
    vec n;
    const vec y = vec_exp_parts(t, &n), power = vec_power_of_two(n);
    return vec_fma(y, power, vec_sub(power, vec_set1(1.0f)));
}

// x / (1 + exp(-t)), for t like x.
INLINE vec vec_gate(vec x, vec t)
{
    return vec_div(x, vec_add(vec_set1(1.0f), vec_exp(vec_negative(t))));
}

INLINE vec vec_gelu_tanh(vec x)
{
    const vec slope = vec_fma(vec_set1(7.13548163e-2f), vec_mul(x, x), vec_set1(1.59576912f));
    return vec_gate(x, vec_mul(x, slope));
}

INLINE vec vec_gelu_erf(vec x)
{
    const vec erf = vec_erf(vec_mul(x, vec_set1(0.707106781f)));
    return vec_mul(vec_mul(vec_set1(0.5f), x), vec_add(vec_set1(1.0f), erf));
}

INLINE vec vec_relu(vec x)
{
    const vec zero = vec_set1(0.0f);
    return vec_add(vec_pick(vec_less(x, zero), zero, x), zero);
}

INLINE vec vec_xielu(const struct activation_args *args, vec x)
{
    const vec beta = vec_set1(args->beta), eps = vec_set1(args->eps);
    const vec above = vec_mul(x, vec_fma(vec_set1(args->alpha_p), x, beta));
    const vec least = vec_pick(vec_less(x, eps), x, eps);
    const vec below =
        vec_fma(vec_sub(vec_exp_minus_one(least), x), vec_set1(args->alpha_n), vec_mul(beta, x));
    return vec_pick(vec_less(vec_set1(0.0f), x), above, below);
}

// A NaN stays one.
INLINE vec vec_at_most(vec x, float limit)
{
    const vec most = vec_set1(limit);
    return vec_pick(vec_less(most, x), most, x);
}

// `kind`, that of `args`, is a constant for the compiler.
INLINE vec vec_activation(enum activation kind, const struct activation_args *args, vec x)
{
    switch (kind) {
    case ACTIVATION_SILU:
        return vec_gate(x, x);
    case ACTIVATION_GELU_TANH:
        return vec_gelu_tanh(x);
    case ACTIVATION_GELU_ERF:
        return vec_gelu_erf(x);
    case ACTIVATION_QUICK_GELU:
        return vec_gate(x, vec_mul(x, vec_set1(1.702f)));
    case ACTIVATION_RELU:
        return vec_relu(x);
    case ACTIVATION_RELU_SQUARED:
        return vec_mul(vec_relu(x), vec_relu(x));
    case ACTIVATION_XIELU:
        return vec_xielu(args, x);
    case ACTIVATION_CLAMPED_SWIGLU:
        x = vec_at_most(x, args->limit);
        return vec_gate(x, vec_mul(x, vec_set1(args->alpha)));
    case ACTIVATION_SIGMOID:
        return vec_gate(vec_set1(1.0f), x);
    case ACTIVATION_SCALED_SILU:
        x = vec_mul(x, vec_set1(args->alpha));
        return vec_gate(x, x);
    case ACTIVATION_COUNT:
        break;
    }
    return x;
}

// y, the activated gate, times up.
INLINE vec vec_times_up(enum activation kind, const struct activation_args *args, vec y, vec up)
{
    if (kind == ACTIVATION_CLAMPED_SWIGLU) {
        const vec least = vec_set1(-args->limit);
        up = vec_at_most(up, args->limit);
        up = vec_add(vec_pick(vec_less(up, least), least, up), vec_set1(1.0f));
    }
    return vec_mul(y, up);
}

// call(kind, ...) with `kind` a constant, for the kind that is given; the calls are loops.
#define FOR_ACTIVATION(given, call, ...)                                                           \
    switch (given) {                                                                               \
    case ACTIVATION_SILU:                                                                          \
        call(ACTIVATION_SILU, __VA_ARGS__);                                                        \
        break;                                                                                     \
    case ACTIVATION_GELU_TANH:                                                                     \
        call(ACTIVATION_GELU_TANH, __VA_ARGS__);                                                   \
        break;                                                                                     \
    case ACTIVATION_GELU_ERF:                                                                      \
        call(ACTIVATION_GELU_ERF, __VA_ARGS__);                                                    \
        break;                                                                                     \
    case ACTIVATION_QUICK_GELU:                                                                    \
        call(ACTIVATION_QUICK_GELU, __VA_ARGS__);                                                  \
        break;                                                                                     \
    case ACTIVATION_RELU:                                                                          \
        call(ACTIVATION_RELU, __VA_ARGS__);                                                        \
        break;                                                                                     \
    case ACTIVATION_RELU_SQUARED:                                                                  \
        call(ACTIVATION_RELU_SQUARED, __VA_ARGS__);                                                \
        break;                                                                                     \
    case ACTIVATION_XIELU:                                                                         \
        call(ACTIVATION_XIELU, __VA_ARGS__);                                                       \
        break;                                                                                     \
    case ACTIVATION_CLAMPED_SWIGLU:                                                                \
        call(ACTIVATION_CLAMPED_SWIGLU, __VA_ARGS__);                                              \
        break;                                                                                     \
    case ACTIVATION_SIGMOID:                                                                       \
        call(ACTIVATION_SIGMOID, __VA_ARGS__);                                                     \
        break;                                                                                     \
    case ACTIVATION_SCALED_SILU:                                                                   \
        call(ACTIVATION_SCALED_SILU, __VA_ARGS__);                                                 \
        break;                                                                                     \
    case ACTIVATION_COUNT:                                                                         \
        break;                                                                                     \
    }

#endif
