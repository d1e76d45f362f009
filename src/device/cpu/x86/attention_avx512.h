// What the steps of attention (attention_tile.h) with AVX-512 and with AVX-512 BF16 share: all but
// the products.
#ifndef COLROW_DEVICE_CPU_X86_ATTENTION_AVX512_H
#define COLROW_DEVICE_CPU_X86_ATTENTION_AVX512_H

#include <immintrin.h>

#include "device/cpu/attention_tile.h"
#include "device/cpu/x86/math_avx512.h"
#include "device/cpu/x86/unrolled.h"

// 24 sums in registers, 4 vectors of a page, a broadcast.
enum { ROWS = PASS_ROWS, VECTORS = 4, VEC = 16 };
typedef __m512 vec;

INLINE vec vec_zero(void)
{
    return _mm512_setzero_ps();
}

INLINE vec vec_set1(float x)
{
    return _mm512_set1_ps(x);
}

INLINE vec vec_load(const float *x)
{
    return _mm512_load_ps(x);
}

INLINE void vec_store(float *to, vec x)
{
    _mm512_store_ps(to, x);
}

INLINE vec vec_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}

enum { PAGE_VECTORS = KV_PAGE_TOKENS / VEC };

INLINE vec odd_of_pairs(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(INT32_MIN >> 15)));
}

INLINE vec even_of_pairs(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}

void attention_merge_avx512(const struct attention_tile *tile, int row, int end);
void attention_store_avx512(const struct attention_tile *tile, int row, void *out);

INLINE float largest_of_row(const struct attention_tile *tile, int row)
{
    const float *s = tile->p + row * KV_PAGE_TOKENS;
    uint64_t visible = tile->visible[row];
    __m512 best = _mm512_set1_ps(tile->m[row]);
    for (int v = 0; v < PAGE_VECTORS; v++) // max(s, best) is best where s is NaN
        best = _mm512_mask_max_ps(best, (__mmask16)(visible >> 16 * v), _mm512_load_ps(s + 16 * v),
                                  best);
    return _mm512_reduce_max_ps(best);
}

// bf16(p) in the upper halves, for 0 <= p <= 1 without denormals. What becomes of a NaN does not
// matter: the sum has it.
INLINE __m512i bf16_of_weights(__m512 p)
{
    __m512i bits = _mm512_castps_si512(p),
            odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    return _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
}

// Vector v of a row's weights, rounded, into the row at p.
typedef void (*store_weights)(float *p, int v, __m512 weights);

// Turns a row's scores into weights; returns their sum.
INLINE float weigh_row(const struct attention_tile *tile, int row, float m, store_weights store)
{
    float *p = tile->p + row * KV_PAGE_TOKENS;
    uint64_t visible = tile->visible[row];
    __m512 e[PAGE_VECTORS];
    UNROLLED_FOR (v, PAGE_VECTORS) {
        __m512 x = _mm512_sub_ps(_mm512_load_ps(p + 16 * v), _mm512_set1_ps(m));
        e[v] = exp_16_masked((__mmask16)(visible >> 16 * v), x);
        store(p, v, e[v]);
    }
    return fold_16(_mm512_add_ps(_mm512_add_ps(e[0], e[1]), _mm512_add_ps(e[2], e[3])));
}

// 16 rows at a time, so that what is one number a row is computed 16 at once and rows overlap.
INLINE void weigh_rows(const struct attention_tile *tile, int row, int end, store_weights store)
{
    for (; row < end; row += 16) {
        int n = end - row < 16 ? end - row : 16;
        _Alignas(64) float m[16], sums[16];
        for (int r = 0; r < n; r++)
            m[r] = largest_of_row(tile, row + r);
        for (int r = 0; r < n; r++)
            sums[r] = weigh_row(tile, row + r, m[r], store);
        __mmask16 mask = mask_of((size_t)n);
        const __m512 largest = _mm512_maskz_load_ps(mask, m);
        __m512 c = exp_16(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, tile->m + row), largest));
        __m512 l = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, tile->l + row), c,
                                   _mm512_maskz_load_ps(mask, sums));
        _mm512_mask_storeu_ps(tile->c + row, mask, c);
        _mm512_mask_storeu_ps(tile->l + row, mask, l);
        _mm512_mask_storeu_ps(tile->m + row, mask, largest);
    }
}

#endif
