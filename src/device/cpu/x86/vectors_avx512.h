// What activation_vectors.h asks of AVX-512.
#ifndef COLROW_DEVICE_CPU_X86_VECTORS_AVX512_H
#define COLROW_DEVICE_CPU_X86_VECTORS_AVX512_H

#include "device/cpu/x86/math_avx512.h"
#include "device/cpu/x86/vec_avx512.h"

typedef __mmask16 vec_mask;

INLINE vec_mask vec_less(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

INLINE vec vec_pick(vec_mask mask, vec yes, vec no)
{
    return _mm512_mask_mov_ps(no, mask, yes);
}

INLINE vec vec_exp(vec x)
{
    return exp_16(x);
}

INLINE vec vec_exp_parts(vec x, vec *n)
{
    return exp_parts_16(x, n);
}

INLINE vec vec_negative(vec x)
{
    return _mm512_xor_ps(x, _mm512_set1_ps(-0.0f));
}

INLINE vec vec_without_sign(vec x)
{
    return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x);
}

// `x` has no sign bit of its own.
INLINE vec vec_with_sign_of(vec x, vec sign)
{
    return _mm512_or_ps(x, _mm512_and_ps(sign, _mm512_set1_ps(-0.0f)));
}

INLINE vec vec_power_of_two(vec n) // integers, -126 <= n <= 127
{
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}

#include "device/cpu/x86/activation_vectors.h"

#endif
