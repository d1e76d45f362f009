// Decays of a key's numbers, once for several vectors (docs/numerics.md section 12): the lines of
// number_channel_decay(). A file that includes this has included a vectors_*.h.
#ifndef COLROW_DEVICE_CPU_X86_CHANNEL_DECAYS_H
#define COLROW_DEVICE_CPU_X86_CHANNEL_DECAYS_H

#include "device/kernels.h"

INLINE vec channel_decay(vec rate, vec x)
{
    const vec zero = vec_zero(), e = vec_exp(vec_negative(vec_without_sign(x))),
              s = vec_div(e, vec_add(vec_set1(2.0f), e)), z = vec_mul(s, s);
    vec p = vec_set1(0.133333333f);
    p = vec_step(p, z, 0.153846154f);
    p = vec_step(p, z, 0.181818182f);
    p = vec_step(p, z, 0.222222222f);
    p = vec_step(p, z, 0.285714286f);
    p = vec_step(p, z, 0.4f);
    p = vec_step(p, z, 0.666666667f);
    const vec softplus =
        vec_add(vec_pick(vec_less(x, zero), zero, x), vec_fma(vec_mul(s, z), p, vec_add(s, s)));
    return vec_exp(vec_mul(rate, softplus));
}

INLINE void decay_channels_of(float *x, const float *bias, float rate, size_t n)
{
    size_t i = 0;
    for (; i + VEC <= n; i += VEC)
        vec_storeu(x + i,
                   channel_decay(vec_set1(rate), vec_add(vec_loadu(x + i), vec_loadu(bias + i))));
    for (; i < n; i++)
        x[i] = number_channel_decay(rate, x[i] + bias[i]);
}

#endif
