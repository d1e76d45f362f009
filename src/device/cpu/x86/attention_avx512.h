// What the steps of attention (attention_tile.h) with AVX-512 and with AVX-512 BF16 share: all but
// the products.
#ifndef COLROW_DEVICE_CPU_X86_ATTENTION_AVX512_H
#define COLROW_DEVICE_CPU_X86_ATTENTION_AVX512_H

#include "device/cpu/attention_tile.h"
#include "device/cpu/x86/math_avx512.h"
#include "device/cpu/x86/unrolled.h"
#include "device/cpu/x86/vec_avx512.h"

// 24 sums in registers, 4 vectors of a page, a broadcast.
enum { ROWS = PASS_ROWS, VECTORS = 4 };

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

enum fold { FOLD_MAX, FOLD_SUM };

INLINE vec fold_two(enum fold fold, vec a, vec b)
{
    return fold == FOLD_MAX ? _mm512_max_ps(a, b) : _mm512_add_ps(a, b);
}

// One number for each of 16 rows, folded as section 5 of the contract does: lanes i + 8, then 4, 2,
// 1. Rows that are half done share a vector. Writes over `rows`.
INLINE vec fold_rows(enum fold fold, vec rows[16])
{
    UNROLLED_FOR (i, 8) { // rows 4k + i and 4k + i + 4 (i < 4): halves of a vector
        vec *a = &rows[i / 4 * 8 + i % 4], b = a[4];
        *a = fold_two(fold, _mm512_shuffle_f32x4(*a, b, 0x44), _mm512_shuffle_f32x4(*a, b, 0xee));
    }
    UNROLLED_FOR (i, 4) {
        vec *a = &rows[i], b = a[8];
        *a = fold_two(fold, _mm512_shuffle_f32x4(*a, b, 0x88), _mm512_shuffle_f32x4(*a, b, 0xdd));
    }
    UNROLLED_FOR (i, 2) {
        const __m512d a = _mm512_castps_pd(rows[2 * i]), b = _mm512_castps_pd(rows[2 * i + 1]);
        rows[i] = fold_two(fold, _mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                           _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    return fold_two(fold, _mm512_shuffle_ps(rows[0], rows[1], 0x88),
                    _mm512_shuffle_ps(rows[0], rows[1], 0xdd));
}

// The largest of a row's visible products; -inf where all are NaN.
INLINE vec largest_of_row(const float *s, uint64_t visible, bool all_visible)
{
    vec best = _mm512_set1_ps(-__builtin_inff());
    UNROLLED_FOR (v, PAGE_VECTORS) { // max(s, best) is best where s is NaN
        const vec x = _mm512_load_ps(s + 16 * v);
        best = all_visible ? _mm512_max_ps(x, best)
                           : _mm512_mask_max_ps(best, (__mmask16)(visible >> 16 * v), x, best);
    }
    return best;
}

// bf16(p) in the upper halves, for 0 <= p <= 1 without denormals; the lower halves are what is left
// over. What becomes of a NaN does not matter: the sum has it.
INLINE __m512i bf16_of_weights(vec p)
{
    const __m512i bits = _mm512_castps_si512(p), word = _mm512_srli_epi32(bits, 16);
    // bits + 0x7fff + odd, as a difference: -(0x7fff + odd) is 0xffff8000 | !odd.
    const __m512i down = _mm512_ternarylogic_epi32(word, _mm512_set1_epi32(1),
                                                   _mm512_set1_epi32(INT32_MIN >> 16), 0xae);
    return _mm512_sub_epi32(bits, down);
}

// Writes a row's 64 weights, rounded, over its products.
typedef void (*store_weights)(float *p, const vec weights[PAGE_VECTORS]);

// Turns a row's products into weights; returns their sum in the contract's 16 lanes.
INLINE vec weigh_row(float *p, uint64_t visible, bool all_visible, float scale, float m,
                     store_weights store)
{
    vec e[PAGE_VECTORS];
    UNROLLED_FOR (v, PAGE_VECTORS) {
        const vec s = _mm512_mul_ps(_mm512_load_ps(p + 16 * v), _mm512_set1_ps(scale));
        const __mmask16 mask = all_visible ? (__mmask16)0xffff : (__mmask16)(visible >> 16 * v);
        e[v] = exp_16_masked(mask, _mm512_sub_ps(s, _mm512_set1_ps(m)));
    }
    store(p, e);
    return _mm512_add_ps(_mm512_add_ps(e[0], e[1]), _mm512_add_ps(e[2], e[3]));
}

// Up to 16 rows at a time, so that what is one number a row is computed 16 at once.
INLINE void weigh_16_rows(const struct attention_tile *tile, int row, int n, bool all_visible,
                          store_weights store)
{
    const __mmask16 mask = mask_of((size_t)n);
    float *p = tile->p + row * KV_PAGE_TOKENS;
    vec rows[16] = {0};
    _Alignas(64) float largest[16];
    for (int r = 0; r < n; r++)
        rows[r] = largest_of_row(p + r * KV_PAGE_TOKENS, tile->visible[row + r], all_visible);
    // The scale is positive: the largest product is that of the largest score.
    const vec s = _mm512_mul_ps(fold_rows(FOLD_MAX, rows), _mm512_set1_ps(tile->scale)),
              before = _mm512_maskz_loadu_ps(mask, tile->m + row), m = _mm512_max_ps(s, before);
    _mm512_store_ps(largest, m);
    for (int r = 0; r < n; r++)
        rows[r] = weigh_row(p + r * KV_PAGE_TOKENS, tile->visible[row + r], all_visible,
                            tile->scale, largest[r], store);
    const vec sums = fold_rows(FOLD_SUM, rows), c = exp_16(_mm512_sub_ps(before, m)),
              l = _mm512_maskz_loadu_ps(mask, tile->l + row);
    _mm512_mask_storeu_ps(tile->c + row, mask, c);
    _mm512_mask_storeu_ps(tile->l + row, mask, _mm512_fmadd_ps(l, c, sums));
    _mm512_mask_storeu_ps(tile->m + row, mask, m);
}

INLINE void weigh_rows(const struct attention_tile *tile, int row, int end, store_weights store)
{
    for (int n; row < end; row += n) {
        uint64_t visible = ~(uint64_t)0;
        n = end - row < 16 ? end - row : 16;
        for (int r = 0; r < n; r++)
            visible &= tile->visible[row + r];
        if (visible == ~(uint64_t)0)
            weigh_16_rows(tile, row, n, true, store);
        else
            weigh_16_rows(tile, row, n, false, store);
    }
}

#endif
