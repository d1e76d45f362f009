// What several AVX2 kernels need: exp, rounding and sums as docs/numerics.md has them, 8 numbers at
// a time. Tails are left to the scalar reference.
#ifndef COLROW_DEVICE_CPU_X86_MATH_AVX2_H
#define COLROW_DEVICE_CPU_X86_MATH_AVX2_H

#include <immintrin.h>

#include "device/number.h"

static inline __m256 power_of_two_8(__m256i n) // -126 <= n <= 127
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

// exp(x) = 2^n · (1 + the result), between the bounds of section 8.
static inline __m256 exp_parts_8(__m256 x, __m256 *n)
{
    enum { NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };
    *n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), NEAREST);
    __m256 r = _mm256_fmadd_ps(*n, _mm256_set1_ps(-0.693359375f), x);
    r = _mm256_fmadd_ps(*n, _mm256_set1_ps(2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
    return _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r);
}

// Section 8 between its bounds. With a NaN the powers are nonsense, but y is a NaN then.
static inline __m256 exp_bounded_8(__m256 x)
{
    __m256 n, y = _mm256_add_ps(exp_parts_8(x, &n), _mm256_set1_ps(1.0f));
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    y = _mm256_mul_ps(y, power_of_two_8(half));
    return _mm256_mul_ps(y, power_of_two_8(_mm256_sub_epi32(whole, half)));
}

// No x is above 0. "Less" is false for NaN, which comes through.
static inline __m256 exp_of_negative_8(__m256 x)
{
    __m256 low = _mm256_cmp_ps(x, _mm256_set1_ps(-87.33654f), _CMP_LT_OQ);
    return _mm256_andnot_ps(low, exp_bounded_8(x));
}

static inline __m256 exp_8(__m256 x)
{
    __m256 high = _mm256_cmp_ps(x, _mm256_set1_ps(88.72283f), _CMP_GT_OQ);
    return _mm256_blendv_ps(exp_of_negative_8(x), _mm256_set1_ps(__builtin_inff()), high);
}

// Section 5, of lanes 0 to 7 and 8 to 15.
static inline float fold_16(__m256 low, __m256 high)
{
    __m256 a = _mm256_add_ps(low, high);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

// bf16(x), in the upper half of each number.
static inline __m256i bf16_bits_8(__m256 x)
{
    const __m256i exponent = _mm256_set1_epi32(0x7f800000), nan = _mm256_set1_epi32(0x7fc00000);
    __m256i bits = _mm256_castps_si256(x);
    __m256i none = _mm256_cmpeq_epi32(_mm256_and_si256(bits, exponent),
                                      _mm256_setzero_si256());    // zeros, denormals
    bits = _mm256_andnot_si256(_mm256_srli_epi32(none, 1), bits); // only the sign stays
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    // A carry would spoil a NaN, and cutting it could make it infinite.
    __m256 unordered = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    return _mm256_castps_si256(_mm256_blendv_ps(
        _mm256_castsi256_ps(up), _mm256_castsi256_ps(_mm256_or_si256(bits, nan)), unordered));
}

static inline __m128i bf16_8(__m256 x)
{
    __m256i words = _mm256_srli_epi32(bf16_bits_8(x), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

static inline __m128i f16_8(__m256 x)
{
    return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline __m256 rounded_to_f16_8(__m256 x)
{
    return _mm256_cvtph_ps(f16_8(x));
}

// As the next product's input, at element i of `out`.
static inline void store_rounded_8(void *out, size_t i, __m256 x, enum compute_type type)
{
    if (type == COMPUTE_BF16)
        _mm_storeu_si128((__m128i *)(void *)((bf16 *)out + i), bf16_8(x));
    else
        _mm256_storeu_ps((float *)out + i, type == COMPUTE_F16 ? rounded_to_f16_8(x) : x);
}

#endif
