// What activation_vectors.h asks of AVX2.
#ifndef COLROW_DEVICE_CPU_X86_VECTORS_AVX2_H
#define COLROW_DEVICE_CPU_X86_VECTORS_AVX2_H

#include "device/cpu/x86/math_avx2.h"
#include "device/cpu/x86/vec_avx2.h"

typedef __m256 vec_mask; // all ones or all zeros

INLINE vec_mask vec_less(vec a, vec b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}

INLINE vec vec_pick(vec_mask mask, vec yes, vec no)
{
    return _mm256_blendv_ps(no, yes, mask);
}

INLINE vec vec_exp(vec x)
{
    return exp_8(x);
}

INLINE vec vec_exp_parts(vec x, vec *n)
{
    return exp_parts_8(x, n);
}

INLINE vec vec_negative(vec x)
{
    return _mm256_xor_ps(x, _mm256_set1_ps(-0.0f));
}

INLINE vec vec_without_sign(vec x)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

// `x` has no sign bit of its own.
INLINE vec vec_with_sign_of(vec x, vec sign)
{
    return _mm256_or_ps(x, _mm256_and_ps(sign, _mm256_set1_ps(-0.0f)));
}

INLINE vec vec_power_of_two(vec n) // integers, -126 <= n <= 127
{
    return power_of_two_8(_mm256_cvtps_epi32(n));
}

#include "device/cpu/x86/activation_vectors.h"

#endif
