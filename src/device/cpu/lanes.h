// Small pieces that the scalar kernels share: rounding to a product's input, and the sum over 16
// lanes.
#ifndef COLROW_DEVICE_CPU_LANES_H
#define COLROW_DEVICE_CPU_LANES_H

#include "device/number.h"

enum { LANES = 16 };

// out[i] = x as the next product's input.
static inline void store_rounded(void *out, size_t i, float x, enum compute_type type)
{
    switch (type) {
    case COMPUTE_BF16:
        ((bf16 *)out)[i] = bf16_of_float(x);
        return;
    case COMPUTE_F16:
        ((float *)out)[i] = float_of_f16(f16_of_float(x));
        return;
    case COMPUTE_F32:
        ((float *)out)[i] = x;
        return;
    }
}

// The numeric contract, section 5: 8, 4, 2, 1.
static inline float fold_lanes(float lanes[LANES])
{
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lanes[i] += lanes[i + half];
    return lanes[0];
}

#endif
