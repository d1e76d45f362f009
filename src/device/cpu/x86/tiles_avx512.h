// What tiles_fma.h asks of AVX-512.
#ifndef COLROW_DEVICE_CPU_X86_TILES_AVX512_H
#define COLROW_DEVICE_CPU_X86_TILES_AVX512_H

#include "device/cpu/x86/vec_avx512.h"
#include "device/number.h"

INLINE vec tile_fma(vec a, vec b, vec c)
{
    vec_add_product(&c, a, b);
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
