#include "device/cpu/x86/elementwise_avx512.h"
#include "device/cpu/x86/x86.h"

void rmsnorm_avx512(const float *x, const float *weight, float eps, int n, enum compute_type type,
                    void *out)
{
    rmsnorm_of(x, weight, eps, n, type, out);
}

void silu_mul_avx512(const float *gate, const float *up, int n, enum compute_type type, void *out)
{
    silu_mul_of(gate, up, n, type, out);
}

void round_avx512(const float *x, size_t n, enum compute_type type, void *out)
{
    round_of(x, n, type, out);
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

void add_to_both_avx512(float *out, float *copy, const float *a, const float *b, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512 sum = _mm512_add_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));
        _mm512_storeu_ps(out + i, sum);
        _mm512_storeu_ps(copy + i, sum);
    }
    if (i < n) {
        __mmask16 mask = mask_of(n - i);
        __m512 sum =
            _mm512_add_ps(_mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i));
        _mm512_mask_storeu_ps(out + i, mask, sum);
        _mm512_mask_storeu_ps(copy + i, mask, sum);
    }
}

void copy_avx512(float *out, const float *in, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(out + i, _mm512_loadu_ps(in + i));
    if (i < n) {
        __mmask16 mask = mask_of(n - i);
        _mm512_mask_storeu_ps(out + i, mask, _mm512_maskz_loadu_ps(mask, in + i));
    }
}

void add_avx512(float *x, const float *y, size_t n)
{
    add_to_avx512(x, x, y, n);
}
