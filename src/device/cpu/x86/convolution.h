// Depthwise convolutions over time, once for several vectors (docs/numerics.md section 12). A file
// that includes this has included a vec_*.h.
#ifndef COLROW_DEVICE_CPU_X86_CONVOLUTION_H
#define COLROW_DEVICE_CPU_X86_CONVOLUTION_H

#include "device/cpu/reference.h"

// VEC channels from `c` on, of so many taps; the tokens' inputs slide through `window`.
INLINE void convolve_vector(const struct convolution *args, int taps, int c)
{
    const vec bias = args->bias ? vec_loadu(args->bias + c) : vec_zero();
    vec weights[CONVOLUTION_TAPS_MAX], window[CONVOLUTION_TAPS_MAX];
    UNROLLED_FOR (j, taps)
        weights[j] = vec_loadu(args->weights + (size_t)j * args->weights_stride + c);
    UNROLLED_FOR (j, taps - 1)
        window[j] = vec_loadu(args->state + (size_t)j * args->state_stride + c);
    for (int t = 0; t < args->n_tokens; t++) {
        vec y = bias;
        window[taps - 1] = vec_loadu(args->x + (size_t)t * args->x_stride + c);
        UNROLLED_FOR (j, taps)
            y = vec_fma(weights[j], window[j], y);
        vec_storeu(args->out + (size_t)t * args->out_stride + c, y);
        UNROLLED_FOR (j, taps - 1)
            window[j] = window[j + 1];
    }
    UNROLLED_FOR (j, taps - 1)
        vec_storeu(args->state + (size_t)j * args->state_stride + c, window[j]);
}

// Channels for which there is no whole vector, and numbers of taps that models do not have: as the
// reference has it.
INLINE void convolve_of(const struct convolution *args)
{
    int c = 0;
    for (; args->taps == 4 && c + VEC <= args->channels; c += VEC)
        convolve_vector(args, 4, c);
    for (; args->taps == 3 && c + VEC <= args->channels; c += VEC)
        convolve_vector(args, 3, c);
    struct convolution rest = *args;
    rest.channels -= c;
    rest.weights += c;
    rest.bias = args->bias ? args->bias + c : NULL;
    rest.state += c;
    rest.x += c;
    rest.out += c;
    reference_convolve(&rest);
}

#endif
