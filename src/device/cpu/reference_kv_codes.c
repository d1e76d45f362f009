// Numbers as bytes: docs/numerics.md section 16.
#include <math.h>

#include "device/cpu/kv_codes.h"

// Rounded to nearest even; beyond 448 it is 448; NaN stays one.
static uint8_t e4m3_of_float(float x)
{
    const uint32_t bits = bits_of_float(x), magnitude = bits & 0x7fffffff;
    const uint8_t sign = (uint8_t)(bits >> 24 & 0x80);
    if (magnitude > 0x7f800000)
        return sign | 0x7f;
    if (magnitude >= E4M3_MAX_BITS)
        return sign | 0x7e;
    if (magnitude < E4M3_NORMAL_BITS) // multiples of 2^-9
        return sign | (uint8_t)rintf(float_of_bits(magnitude) * 512);
    const uint32_t rounded = magnitude + 0x7ffff + (magnitude >> 20 & 1);
    return sign | (uint8_t)((rounded >> 20) - (120 << 3));
}

static float float_of_e4m3(uint8_t code)
{
    const uint32_t sign = (uint32_t)(code & 0x80) << 24, magnitude = code & 0x7f;
    if (magnitude == 0x7f)
        return float_of_bits(sign | 0x7fc00000);
    if (magnitude < 8)
        return float_of_bits(sign | bits_of_float((float)magnitude / 512));
    return float_of_bits(sign | ((magnitude + (120 << 3)) << 20));
}

bf16 reference_kv_encode(const float *x, int n, enum kv_codes codes, uint8_t *out)
{
    if (codes == KV_E4M3) {
        for (int i = 0; i < n; i++)
            out[i] = e4m3_of_float(x[i]);
        return 0;
    }
    uint32_t largest = 0; // by its bits, so that a NaN is the largest
    for (int i = 0; i < n; i++) {
        const uint32_t magnitude = bits_of_float(x[i]) & 0x7fffffff;
        largest = magnitude > largest ? magnitude : largest;
    }
    bf16 scale = 0x7fc0;
    if (largest < 0x7f800000)
        scale = bf16_of_float(float_of_bits(largest) / 127);
    const float s = float_of_bf16(scale);
    for (int i = 0; i < n; i++)
        out[i] = s > 0 ? (uint8_t)(int8_t)rintf(x[i] / s) : 0;
    return scale;
}

// The position whose number lies at i.
static int position_at(const struct kv_expansion *args, int i)
{
    if (args->type == COMPUTE_BF16)
        return args->of_values ? i / (2 * args->dim) * 2 + i % 2 : i / 2 % KV_PAGE_TOKENS;
    return args->of_values ? i / args->dim : i % KV_PAGE_TOKENS;
}

void reference_kv_expand(const struct kv_expansion *args)
{
    for (int i = 0; i < KV_PAGE_TOKENS * args->dim; i++) {
        const float x =
            args->kind == KV_E4M3
                ? float_of_e4m3(args->codes[i])
                : (float)(int8_t)args->codes[i] * float_of_bf16(args->scales[position_at(args, i)]);
        if (args->type == COMPUTE_BF16)
            ((bf16 *)args->out)[i] = bf16_of_float(x);
        else if (args->type == COMPUTE_F16)
            ((f16 *)args->out)[i] = f16_of_float(x);
        else
            ((float *)args->out)[i] = x;
    }
}
