#include "device/cpu/x86/elementwise_avx512.h"
#include "device/cpu/x86/x86.h"

void rmsnorm_avx512(const float *x, const float *weight, float eps, int n, enum compute_type type,
                    void *out)
{
    rmsnorm_of(x, weight, eps, n, type, out);
}

void layernorm_avx512(const float *x, const float *weight, const float *bias, float eps, int n,
                      enum compute_type type, void *out)
{
    layernorm_of(x, weight, bias, eps, n, type, out);
}

void activate_mul_avx512(const struct activation_args *args, const float *gate, const float *up,
                         int n, enum compute_type type, void *out)
{
    activate_mul_of(args, gate, up, n, type, out);
}

void round_avx512(const float *x, size_t n, enum compute_type type, void *out)
{
    round_of(x, n, type, out);
}

void rope_avx512(float *x, const float *cos, const float *sin, int n)
{
    size_t h = (size_t)n / 2;
    for (size_t i = 0; i < h; i += 16) {
        __mmask16 mask = mask_at(i, h);
        __m512 a = _mm512_maskz_loadu_ps(mask, x + i), b = _mm512_maskz_loadu_ps(mask, x + h + i);
        __m512 c = _mm512_maskz_loadu_ps(mask, cos + i), s = _mm512_maskz_loadu_ps(mask, sin + i);
        _mm512_mask_storeu_ps(x + i, mask, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(x + h + i, mask, _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, s)));
    }
}

void rope_interleaved_avx512(float *x, const float *cos, const float *sin, int n)
{
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    const size_t count = (size_t)n;
    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 mask = mask_at(i, count);
        const __mmask8 half = (__mmask8)(count - i >= 16 ? 0xff : (1u << (count - i) / 2) - 1);
        const __m256 cos_8 = _mm256_maskz_loadu_ps(half, cos + i / 2),
                     sin_8 = _mm256_maskz_loadu_ps(half, sin + i / 2);
        const __m512 c = _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(cos_8)),
                     s = _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(sin_8)),
                     a = _mm512_maskz_loadu_ps(mask, x + i), b = _mm512_permute_ps(a, 0xb1);
        // Even places: a c - b s; odd places: a c + b s.
        _mm512_mask_storeu_ps(x + i, mask, _mm512_fmaddsub_ps(a, c, _mm512_mul_ps(b, s)));
    }
}

void scale_avx512(float *x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 mask = mask_at(i, n);
        const __m512 y = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), _mm512_set1_ps(factor));
        _mm512_mask_storeu_ps(x + i, mask, y);
    }
}

void softcap_avx512(float *x, float cap, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 mask = mask_at(i, n);
        const __m512 y = vec_softcap(_mm512_maskz_loadu_ps(mask, x + i), _mm512_set1_ps(cap));
        _mm512_mask_storeu_ps(x + i, mask, y);
    }
}

void scale_weighted_avx512(float *x, float r, const float *weight, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 mask = mask_at(i, n);
        const __m512 y = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), _mm512_set1_ps(r));
        _mm512_mask_storeu_ps(x + i, mask,
                              _mm512_mul_ps(y, _mm512_maskz_loadu_ps(mask, weight + i)));
    }
}

float squares_avx512(const float *x, size_t n)
{
    return sum_of_squares(x, n);
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
