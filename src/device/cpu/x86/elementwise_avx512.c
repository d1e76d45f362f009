#include <math.h>

#include "device/cpu/x86/math_avx512.h"
#include "device/cpu/x86/x86.h"

// All loops run over blocks of 16 with a mask: all lanes but in the last block.
static inline __mmask16 mask_at(size_t i, size_t n)
{
    return n - i >= 16 ? (__mmask16)0xffff : mask_of(n - i);
}

static float sum_of_squares(const float *x, size_t n)
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

void rmsnorm_avx512(const float *x, const float *weight, float eps, int n, enum compute_type type,
                    void *out)
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

void silu_mul_avx512(const float *gate, const float *up, int n, enum compute_type type, void *out)
{
    const __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_set1_ps(-0.0f);
    size_t count = (size_t)n;
    for (size_t i = 0; i < count; i += 16) {
        __mmask16 mask = mask_at(i, count);
        __m512 x = _mm512_maskz_loadu_ps(mask, gate + i);
        __m512 silu = _mm512_div_ps(x, _mm512_add_ps(one, exp_16(_mm512_xor_ps(x, sign))));
        store_rounded_16(out, i, mask, _mm512_mul_ps(silu, _mm512_maskz_loadu_ps(mask, up + i)),
                         type);
    }
}

void round_avx512(const float *x, size_t n, enum compute_type type, void *out)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = mask_at(i, n);
        store_rounded_16(out, i, mask, _mm512_maskz_loadu_ps(mask, x + i), type);
    }
}

void rope_avx512(float *x, const float *cos, const float *sin, int head_dim)
{
    size_t h = (size_t)head_dim / 2;
    for (size_t i = 0; i < h; i += 16) {
        __mmask16 mask = mask_at(i, h);
        __m512 a = _mm512_maskz_loadu_ps(mask, x + i), b = _mm512_maskz_loadu_ps(mask, x + h + i);
        __m512 c = _mm512_maskz_loadu_ps(mask, cos + i), s = _mm512_maskz_loadu_ps(mask, sin + i);
        _mm512_mask_storeu_ps(x + i, mask, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(x + h + i, mask, _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, s)));
    }
}

void add_to_avx512(float *out, const float *a, const float *b, size_t n)
{
    // Masked stores are not forwarded to loads that follow soon: whole vectors go without a mask.
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(out + i, _mm512_add_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i)));
    if (i < n) {
        __mmask16 mask = mask_of(n - i);
        __m512 sum =
            _mm512_add_ps(_mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i));
        _mm512_mask_storeu_ps(out + i, mask, sum);
    }
}

void add_avx512(float *x, const float *y, size_t n)
{
    add_to_avx512(x, x, y, n);
}
