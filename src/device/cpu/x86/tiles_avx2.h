// What tiles_fma.h asks of AVX2.
#ifndef COLROW_DEVICE_CPU_X86_TILES_AVX2_H
#define COLROW_DEVICE_CPU_X86_TILES_AVX2_H

#include "device/cpu/x86/vec_avx2.h"
#include "device/number.h"

// Compilers find the best form on their own here.
INLINE vec tile_fma(vec a, vec b, vec c)
{
    return vec_fma(a, b, c);
}

INLINE __m256i load_pairs(const void *b)
{
    return _mm256_loadu_si256((const __m256i *)b);
}

INLINE vec even_of_pairs(const char *b)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(load_pairs(b), 16));
}

INLINE vec odd_of_pairs(const char *b)
{
    return _mm256_castsi256_ps(
        _mm256_and_si256(load_pairs(b), _mm256_set1_epi32((int)0xffff0000u)));
}

INLINE void widen_row(const bf16 *a, int k, float *even, float *odd)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (int i = 0; i < 16; i += 8) {
        __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(k / 2 - i), lane);
        __m256i pairs = _mm256_maskload_epi32((const int *)(const void *)a + i, mask);
        _mm256_store_si256((__m256i *)(void *)(even + i), _mm256_slli_epi32(pairs, 16));
        _mm256_store_si256((__m256i *)(void *)(odd + i),
                           _mm256_and_si256(pairs, _mm256_set1_epi32((int)0xffff0000u)));
    }
}

#include "device/cpu/x86/tiles_fma.h"

#endif
