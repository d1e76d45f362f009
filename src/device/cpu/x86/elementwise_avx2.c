#include <math.h>

#include "device/cpu/lanes.h"
#include "device/cpu/reference.h"
#include "device/cpu/x86/vectors_avx2.h"
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

// Sums of 16 lanes as two vectors; what is left of the row is added lane by lane.
static float fold_with_rest(__m256 low, __m256 high, const float *x, size_t n, float mean,
                            bool squared)
{
    float lanes[LANES];
    _mm256_storeu_ps(lanes, low);
    _mm256_storeu_ps(lanes + 8, high);
    for (size_t j = 0; j < n; j++)
        lanes[j] = squared ? fmaf(x[j] - mean, x[j] - mean, lanes[j]) : lanes[j] + x[j];
    return fold_lanes(lanes);
}

static float sum_of(const float *x, size_t n)
{
    __m256 low = _mm256_setzero_ps(), high = low;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        low = _mm256_add_ps(low, _mm256_loadu_ps(x + i));
        high = _mm256_add_ps(high, _mm256_loadu_ps(x + i + 8));
    }
    return fold_with_rest(low, high, x + i, n - i, 0, false);
}

static float sum_of_squared_differences(const float *x, size_t n, float mean)
{
    __m256 low = _mm256_setzero_ps(), high = low;
    const __m256 middle = _mm256_set1_ps(mean);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        __m256 a = _mm256_sub_ps(_mm256_loadu_ps(x + i), middle);
        __m256 b = _mm256_sub_ps(_mm256_loadu_ps(x + i + 8), middle);
        low = _mm256_fmadd_ps(a, a, low);
        high = _mm256_fmadd_ps(b, b, high);
    }
    return fold_with_rest(low, high, x + i, n - i, mean, true);
}

void layernorm_avx2(const float *x, const float *weight, const float *bias, float eps, int n,
                    enum compute_type type, void *out)
{
    size_t count = (size_t)n, i = 0;
    const float mean = sum_of(x, count) / (float)n;
    const float r = 1.0f / sqrtf(sum_of_squared_differences(x, count, mean) / (float)n + eps);
    for (; i + 8 <= count; i += 8) {
        __m256 y = _mm256_sub_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(mean));
        const __m256 w = _mm256_loadu_ps(weight + i);
        y = _mm256_mul_ps(y, _mm256_set1_ps(r));
        y = bias ? _mm256_fmadd_ps(y, w, _mm256_loadu_ps(bias + i)) : _mm256_mul_ps(y, w);
        store_rounded_8(out, i, y, type);
    }
    for (; i < count; i++) {
        const float y = (x[i] - mean) * r;
        store_rounded(out, i, bias ? fmaf(y, weight[i], bias[i]) : y * weight[i], type);
    }
}

// Whole blocks.
INLINE void activate_blocks(enum activation kind, const struct activation_args *args,
                            const float *gate, const float *up, int n, enum compute_type type,
                            void *out)
{
    for (int i = 0; i + 8 <= n; i += 8) {
        __m256 y = vec_activation(kind, args, _mm256_loadu_ps(gate + i));
        if (up)
            y = vec_times_up(kind, args, y, _mm256_loadu_ps(up + i));
        store_rounded_8(out, (size_t)i, y, type);
    }
}

// SiLU's loop has a function, and so registers, of its own: it is the one that most models run.
static __attribute__((noinline)) void silu_mul_blocks(const float *gate, const float *up, int n,
                                                      enum compute_type type, void *out)
{
    activate_blocks(ACTIVATION_SILU, NULL, gate, up, n, type, out);
}

void activate_mul_avx2(const struct activation_args *args, const float *gate, const float *up,
                       int n, enum compute_type type, void *out)
{
    const int done = n / 8 * 8;
    if (args->kind == ACTIVATION_SILU && up)
        silu_mul_blocks(gate, up, n, type, out);
    else
        FOR_ACTIVATION(args->kind, activate_blocks, args, gate, up, n, type, out)
    reference_activate_mul(args, gate + done, up ? up + done : NULL, n - done, type,
                           element(out, (size_t)done, type));
}

void round_avx2(const float *x, size_t n, enum compute_type type, void *out)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        store_rounded_8(out, i, _mm256_loadu_ps(x + i), type);
    reference_round(x + i, n - i, type, element(out, i, type));
}

void rope_avx2(float *x, const float *cos, const float *sin, int n)
{
    int h = n / 2, i = 0;
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

void rope_interleaved_avx2(float *x, const float *cos, const float *sin, int n)
{
    const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 cos_4 = _mm256_castps128_ps256(_mm_loadu_ps(cos + i / 2)),
                     sin_4 = _mm256_castps128_ps256(_mm_loadu_ps(sin + i / 2)),
                     c = _mm256_permutevar8x32_ps(cos_4, twice),
                     s = _mm256_permutevar8x32_ps(sin_4, twice), a = _mm256_loadu_ps(x + i),
                     b = _mm256_permute_ps(a, 0xb1);
        // Even places: a c - b s; odd places: a c + b s.
        _mm256_storeu_ps(x + i, _mm256_fmaddsub_ps(a, c, _mm256_mul_ps(b, s)));
    }
    reference_rope_interleaved(x + i, cos + i / 2, sin + i / 2, n - i);
}

void scale_avx2(float *x, float factor, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(factor)));
    reference_scale(x + i, factor, n - i);
}

void softcap_avx2(float *x, float cap, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(x + i, vec_softcap(_mm256_loadu_ps(x + i), _mm256_set1_ps(cap)));
    reference_softcap(x + i, cap, n - i);
}

void scale_weighted_avx2(float *x, float r, const float *weight, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 y = _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(r));
        _mm256_storeu_ps(x + i, _mm256_mul_ps(y, _mm256_loadu_ps(weight + i)));
    }
    reference_scale_weighted(x + i, r, weight + i, n - i);
}

float squares_avx2(const float *x, size_t n)
{
    return sum_of_squares(x, n);
}

float spread_avx2(const float *x, size_t n, float *sum)
{
    *sum = sum_of(x, n);
    return sum_of_squared_differences(x, n, *sum / (float)n);
}

void add_scaled_avx2(float *x, float factor, const float *y, size_t n)
{
    const __m256 f = _mm256_set1_ps(factor);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(x + i, _mm256_fmadd_ps(f, _mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i)));
    reference_add_scaled(x + i, factor, y + i, n - i);
}

void cut_below_avx2(float *x, float cutoff, size_t n)
{
    const __m256 zero = _mm256_setzero_ps(), c = _mm256_set1_ps(cutoff);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) { // of a NaN and a zero, max() gives its second operand
        const __m256 above = _mm256_max_ps(zero, _mm256_sub_ps(_mm256_loadu_ps(x + i), c));
        _mm256_storeu_ps(x + i, _mm256_add_ps(above, zero));
    }
    reference_cut_below(x + i, cutoff, n - i);
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
