// Elementwise kernels that round to the next product's input. bf16_16() is shorter where the file
// that includes this has AVX-512-BF16.
#ifndef COLROW_DEVICE_CPU_X86_ELEMENTWISE_AVX512_H
#define COLROW_DEVICE_CPU_X86_ELEMENTWISE_AVX512_H

#include <math.h>

#include "device/cpu/x86/math_avx512.h"
#include "device/cpu/x86/unrolled.h"

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

INLINE __m512 silu_mul_16(__m512 gate, __m512 up)
{
    const __m512 one = _mm512_set1_ps(1.0f), minus = _mm512_xor_ps(gate, _mm512_set1_ps(-0.0f));
    return _mm512_mul_ps(_mm512_div_ps(gate, _mm512_add_ps(one, exp_16(minus))), up);
}

INLINE void silu_mul_of(const float *gate, const float *up, int n, enum compute_type type,
                        void *out)
{
    size_t count = (size_t)n;
    for (size_t i = 0; i < count; i += 16) {
        __mmask16 mask = mask_at(i, count);
        __m512 y =
            silu_mul_16(_mm512_maskz_loadu_ps(mask, gate + i), _mm512_maskz_loadu_ps(mask, up + i));
        store_rounded_16(out, i, mask, y, type);
    }
}

INLINE void round_of(const float *x, size_t n, enum compute_type type, void *out)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = mask_at(i, n);
        store_rounded_16(out, i, mask, _mm512_maskz_loadu_ps(mask, x + i), type);
    }
}

#endif
