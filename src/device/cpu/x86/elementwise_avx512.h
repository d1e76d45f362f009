// Elementwise kernels that round to the next product's input. bf16_16() is shorter where the file
// that includes this has AVX-512-BF16.
#ifndef COLROW_DEVICE_CPU_X86_ELEMENTWISE_AVX512_H
#define COLROW_DEVICE_CPU_X86_ELEMENTWISE_AVX512_H

#include <math.h>

#include "device/cpu/x86/vectors_avx512.h"

// All loops run over blocks of 16 with a mask: all lanes but in the last block.
static inline __mmask16 mask_at(size_t i, size_t n)
{
    return n - i >= 16 ? (__mmask16)0xffff : mask_of(n - i);
}

static inline float sum_of_squares(const float *x, size_t n)
{
    __m512 lanes = _mm512_setzero_ps();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        lanes = _mm512_fmadd_ps(v, v, lanes);
    }
    if (i < n) { // fma(0, 0, lane) leaves the others as they are
        __m512 v = _mm512_maskz_loadu_ps(mask_of(n - i), x + i);
        lanes = _mm512_fmadd_ps(v, v, lanes);
    }
    return fold_16(lanes);
}

INLINE void rmsnorm_of(const float *x, const float *weight, float eps, int n,
                       enum compute_type type, void *out)
{
    size_t count = (size_t)n;
    const __m512 r = _mm512_set1_ps(1.0f / sqrtf(sum_of_squares(x, count) / (float)n + eps));
    for (size_t i = 0; i < count; i += 16) {
        __mmask16 mask = mask_at(i, count);
        __m512 y = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), r);
        store_rounded_16(out, i, mask, _mm512_mul_ps(y, _mm512_maskz_loadu_ps(mask, weight + i)),
                         type);
    }
}

INLINE void layernorm_of(const float *x, const float *weight, const float *bias, float eps, int n,
                         enum compute_type type, void *out)
{
    const size_t count = (size_t)n;
    __m512 sums = _mm512_setzero_ps(), squares = sums;
    for (size_t i = 0; i < count; i += 16) // -0 leaves a lane as it is
        sums = _mm512_add_ps(sums,
                             _mm512_mask_loadu_ps(_mm512_set1_ps(-0.0f), mask_at(i, count), x + i));
    const __m512 mean = _mm512_set1_ps(fold_16(sums) / (float)n);
    for (size_t i = 0; i < count; i += 16) {
        __mmask16 mask = mask_at(i, count);
        __m512 d = _mm512_maskz_sub_ps(mask, _mm512_maskz_loadu_ps(mask, x + i), mean);
        squares = _mm512_fmadd_ps(d, d, squares);
    }
    const __m512 r = _mm512_set1_ps(1.0f / sqrtf(fold_16(squares) / (float)n + eps));
    for (size_t i = 0; i < count; i += 16) {
        __mmask16 mask = mask_at(i, count);
        __m512 y = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), mean), r);
        const __m512 w = _mm512_maskz_loadu_ps(mask, weight + i);
        y = bias ? _mm512_fmadd_ps(y, w, _mm512_maskz_loadu_ps(mask, bias + i))
                 : _mm512_mul_ps(y, w);
        store_rounded_16(out, i, mask, y, type);
    }
}

// act(gate) · up, or act(gate) where there is no `up`.
INLINE void activate_rows_of(enum activation kind, const struct activation_args *args,
                             const float *gate, const float *up, size_t n, enum compute_type type,
                             void *out)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = mask_at(i, n);
        vec y = vec_activation(kind, args, _mm512_maskz_loadu_ps(mask, gate + i));
        if (up)
            y = vec_times_up(kind, args, y, _mm512_maskz_loadu_ps(mask, up + i));
        store_rounded_16(out, i, mask, y, type);
    }
}

INLINE void activate_mul_of(const struct activation_args *args, const float *gate, const float *up,
                            int n, enum compute_type type, void *out){
    FOR_ACTIVATION(args->kind, activate_rows_of, args, gate, up, (size_t)n, type, out)}

INLINE void round_of(const float *x, size_t n, enum compute_type type, void *out)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = mask_at(i, n);
        store_rounded_16(out, i, mask, _mm512_maskz_loadu_ps(mask, x + i), type);
    }
}

#endif
