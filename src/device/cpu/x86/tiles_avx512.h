// What tiles_fma.h asks of AVX-512.
#ifndef COLROW_DEVICE_CPU_X86_TILES_AVX512_H
#define COLROW_DEVICE_CPU_X86_TILES_AVX512_H

#include <immintrin.h>

#include "device/cpu/x86/unrolled.h"
#include "device/number.h"

enum { VEC = 16 };
typedef __m512 vec;

INLINE vec vec_zero(void)
{
    return _mm512_setzero_ps();
}

INLINE vec vec_set1(float x)
{
    return _mm512_set1_ps(x);
}

INLINE vec vec_loadu(const float *x)
{
    return _mm512_loadu_ps(x);
}

INLINE void vec_storeu(float *to, vec x)
{
    _mm512_storeu_ps(to, x);
}

INLINE vec vec_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}

INLINE vec vec_fma(vec a, vec b, vec c)
{
    // Compilers pick forms that overwrite a factor, and then copy.
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
    return c;
}

INLINE vec even_of_pairs(const char *b)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(b), 16));
}

INLINE vec odd_of_pairs(const char *b)
{
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_loadu_si512(b), _mm512_set1_epi32((int)0xffff0000u)));
}

INLINE void widen_row(const bf16 *a, int k, float *even, float *odd)
{
    __m512i pairs = _mm512_maskz_loadu_epi32((__mmask16)((1u << k / 2) - 1), a);
    _mm512_store_si512(even, _mm512_slli_epi32(pairs, 16));
    _mm512_store_si512(odd, _mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000u)));
}

#include "device/cpu/x86/tiles_fma.h"

#endif
