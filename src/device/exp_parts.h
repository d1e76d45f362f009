// What exp(x) and exp(x) - 1 share (docs/numerics.md, section 8). Vector kernels repeat these
// lines.
#ifndef COLROW_DEVICE_EXP_PARTS_H
#define COLROW_DEVICE_EXP_PARTS_H

#include <math.h>

#include "device/number.h"

// exp(x) = 2^n · (1 + y), for x within section 8's bounds.
struct exp_parts {
    int n;
    float y;
};

static inline struct exp_parts exp_parts(float x)
{
    float n = rintf(x * 1.44269504f);
    float r = fmaf(n, -0.693359375f, x);
    r = fmaf(n, 2.12194440e-4f, r);
    float p = 1.9875691500e-4f;
    p = fmaf(p, r, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 5.0000001201e-1f);
    return (struct exp_parts){(int)n, fmaf(p, r * r, r)};
}

static inline float power_of_two(int n) // -126 <= n <= 127
{
    return float_of_bits((uint32_t)(n + 127) << 23);
}

#endif
