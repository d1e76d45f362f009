// The number types of the contract: bf16 and f16 as stored, rounding, and the FTZ/DAZ mode.
// docs/numerics.md §1.
#ifndef COLROW_DEVICE_NUMBER_H
#define COLROW_DEVICE_NUMBER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t bf16;
typedef uint16_t f16;

// What --dtype resolves to: how products round their inputs, and what the KV cache holds.
enum compute_type { COMPUTE_BF16, COMPUTE_F16, COMPUTE_F32 };
const char *compute_name(enum compute_type type); // "bfloat16"
static inline size_t compute_bytes(enum compute_type type)
{
    return type == COMPUTE_F32 ? 4 : 2;
}

// Flushes denormals and rounds to nearest on this thread. Every thread that computes calls it once.
void number_mode_set(void);

static inline float float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t bits_of_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of_bf16(bf16 x)
{
    return float_of_bits((uint32_t)x << 16);
}

static inline bf16 bf16_of_float(float x)
{
    uint32_t bits = bits_of_float(x), magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (bf16)((bits >> 16 & 0x8000u) | 0x7fc0u);
    if (magnitude < 0x00800000u)
        return (bf16)(bits >> 16 & 0x8000u);
    return (bf16)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

float float_of_f16(f16 x);
f16 f16_of_float(float x);

#endif
