#include <math.h>

#include "device/cpu/lanes.h"
#include "device/cpu/reference.h"
#include "device/cpu/x86/math_avx2.h"
#include "device/cpu/x86/x86.h"

// All loops run over blocks of 8; what is left is the reference's.
static inline void *element(void *out, size_t i, enum compute_type type)
{
    return (char *)out + i * (type == COMPUTE_BF16 ? sizeof(bf16) : sizeof(float));
}

static float sum_of_squares(const float *x, size_t n)
{
    __m256 low = _mm256_setzero_ps(), high = low;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + 8);
        low = _mm256_fmadd_ps(a, a, low);
        high = _mm256_fmadd_ps(b, b, high);
    }
    if (i == n)
        return fold_16(low, high);
    float lanes[LANES];
    _mm256_storeu_ps(lanes, low);
    _mm256_storeu_ps(lanes + 8, high);
    for (size_t j = 0; i + j < n; j++)
        lanes[j] = fmaf(x[i + j], x[i + j], lanes[j]);
    return fold_lanes(lanes);
}

void rmsnorm_avx2(const float *x, const float *weight, float eps, int n, enum compute_type type,
                  void *out)
{
    size_t count = (size_t)n, i = 0;
    float r = 1.0f / sqrtf(sum_of_squares(x, count) / (float)n + eps);
    for (; i + 8 <= count; i += 8) {
        __m256 y = _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(r));
        store_rounded_8(out, i, _mm256_mul_ps(y, _mm256_loadu_ps(weight + i)), type);
    }
    for (; i < count; i++)
        store_rounded(out, i, (x[i] * r) * weight[i], type);
}

void silu_mul_avx2(const float *gate, const float *up, int n, enum compute_type type, void *out)
{
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 x = _mm256_loadu_ps(gate + i);
        __m256 silu = _mm256_div_ps(x, _mm256_add_ps(one, exp_8(_mm256_xor_ps(x, sign))));
        store_rounded_8(out, (size_t)i, _mm256_mul_ps(silu, _mm256_loadu_ps(up + i)), type);
    }
    reference_silu_mul(gate + i, up + i, n - i, type, element(out, (size_t)i, type));
}

void round_avx2(const float *x, size_t n, enum compute_type type, void *out)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        store_rounded_8(out, i, _mm256_loadu_ps(x + i), type);
    reference_round(x + i, n - i, type, element(out, i, type));
}

void rope_avx2(float *x, const float *cos, const float *sin, int head_dim)
{
    int h = head_dim / 2, i = 0;
    for (; i + 8 <= h; i += 8) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + h + i);
        __m256 c = _mm256_loadu_ps(cos + i), s = _mm256_loadu_ps(sin + i);
        _mm256_storeu_ps(x + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
        _mm256_storeu_ps(x + h + i, _mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s)));
    }
    for (; i < h; i++) {
        float a = x[i], b = x[i + h];
        x[i] = fmaf(a, cos[i], -(b * sin[i]));
        x[i + h] = fmaf(b, cos[i], a * sin[i]);
    }
}

void add_to_avx2(float *out, const float *a, const float *b, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_add_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i)));
    for (; i < n; i++)
        out[i] = a[i] + b[i];
}

void add_to_both_avx2(float *out, float *copy, const float *a, const float *b, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 sum = _mm256_add_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
        _mm256_storeu_ps(out + i, sum);
        _mm256_storeu_ps(copy + i, sum);
    }
    for (; i < n; i++)
        out[i] = copy[i] = a[i] + b[i];
}

void copy_avx2(float *out, const float *in, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_loadu_ps(in + i));
    for (; i < n; i++)
        out[i] = in[i];
}

void add_avx2(float *x, const float *y, size_t n)
{
    add_to_avx2(x, x, y, n);
}
