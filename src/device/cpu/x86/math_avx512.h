// What several AVX-512 kernels need: exp, rounding and sums as docs/numerics.md has them, 16
// numbers at a time.
#ifndef COLROW_DEVICE_CPU_X86_MATH_AVX512_H
#define COLROW_DEVICE_CPU_X86_MATH_AVX512_H

#include <immintrin.h>

#include "device/number.h"

static inline __mmask16 mask_of(size_t n) // the first n lanes, n <= 16
{
    return (__mmask16)((1u << n) - 1);
}

// exp(x) = 2^n · (1 + the result), between the bounds of section 8.
static inline __m512 exp_parts_16(__m512 x, __m512 *n)
{
    enum { NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };
    *n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), NEAREST);
    __m512 r = _mm512_fmadd_ps(*n, _mm512_set1_ps(-0.693359375f), x);
    r = _mm512_fmadd_ps(*n, _mm512_set1_ps(2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
    return _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r);
}

// Section 8 between its bounds. vscalefps multiplies by 2^n and rounds once: the same as the two
// exact steps of the contract. Lanes without `mask` become zero.
static inline __m512 exp_bounded_16(__mmask16 mask, __m512 x)
{
    __m512 n, y = _mm512_add_ps(exp_parts_16(x, &n), _mm512_set1_ps(1.0f));
    return _mm512_maskz_scalef_ps(mask, y, n);
}

// exp(x) in the lanes of `mask`, 0 in the others; no x is above 0. "Not less" lets NaN through.
static inline __m512 exp_16_masked(__mmask16 mask, __m512 x)
{
    return exp_bounded_16(_mm512_mask_cmp_ps_mask(mask, x, _mm512_set1_ps(-87.33654f), _CMP_NLT_UQ),
                          x);
}

static inline __m512 exp_16(__m512 x)
{
    __m512 y = exp_16_masked(0xffff, x);
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, _mm512_set1_ps(88.72283f), _CMP_GT_OQ),
                              _mm512_set1_ps(__builtin_inff()));
}

// Section 5: lanes j + 8, then 4, 2, 1.
static inline float fold_16(__m512 lanes)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

// bf16(x), in the upper half of each number.
static inline __m512i bf16_bits_16(__m512 x)
{
    __m512i bits = _mm512_castps_si512(x);
    __mmask16 no_exponent =
        _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7f800000)); // zeros and denormals
    bits = _mm512_mask_and_epi32(bits, no_exponent, bits, _mm512_set1_epi32(INT32_MIN));
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    // A carry would spoil a NaN, and cutting it could make it infinite.
    return _mm512_mask_or_epi32(up, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), bits,
                                _mm512_set1_epi32(0x7fc00000));
}

static inline __m256i bf16_16(__m512 x)
{
#ifdef __AVX512BF16__
    return (__m256i)_mm512_cvtneps_pbh(x); // flushes denormals as well, whatever the mode
#else
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bf16_bits_16(x), 16));
#endif
}

static inline __m256i f16_16(__m512 x)
{
    return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline __m512 rounded_to_f16_16(__m512 x)
{
    return _mm512_cvtph_ps(f16_16(x));
}

// Lanes of `mask` as the next product's input, at element i of `out`.
static inline void store_rounded_16(void *out, size_t i, __mmask16 mask, __m512 x,
                                    enum compute_type type)
{
    if (type == COMPUTE_BF16)
        _mm256_mask_storeu_epi16((bf16 *)out + i, mask, bf16_16(x));
    else
        _mm512_mask_storeu_ps((float *)out + i, mask,
                              type == COMPUTE_F16 ? rounded_to_f16_16(x) : x);
}

#endif
