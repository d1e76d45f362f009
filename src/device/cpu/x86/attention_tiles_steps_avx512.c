#include <string.h>

#include "device/cpu/x86/attention_avx512.h"
#include "device/cpu/x86/attention_tiles.h"

void attention_tiles_load_query(const struct attention_tile *tile, int row, const void *q)
{
    memcpy(tile->q + row * tile->head_dim, q, (size_t)tile->head_dim * sizeof(bf16));
}

// Only the columns are filled up: pairs stay pairs.
void attention_tiles_widen_values(const struct attention_tile *tile, const void *page)
{
    int n = tile->value_dim;
    for (int j = 0; j < KV_PAGE_TOKENS / 2; j++)
        for (int d = 0; d < n; d += 16) {
            __mmask16 mask = n - d >= 16 ? (__mmask16)0xffff : mask_of((size_t)(n - d));
            __m512i pairs = _mm512_maskz_loadu_epi32(mask, (const bf16 *)page + 2 * (j * n + d));
            _mm512_store_si512(tile->values + j * tile->width + d, pairs);
        }
}

INLINE void store_pairs(float *p, const vec weights[PAGE_VECTORS])
{
    UNROLLED_FOR (v, PAGE_VECTORS) {
        const __m512i words = _mm512_srli_epi32(bf16_of_weights(weights[v]), 16);
        _mm256_store_si256((__m256i *)(void *)(p + 8 * v), _mm512_cvtepi32_epi16(words));
    }
}

void attention_tiles_weights(const struct attention_tile *tile, int row, int end)
{
    weigh_rows(tile, row, end, store_pairs);
}

void attention_tiles_scale_sums(const struct attention_tile *tile, int row, int end)
{
    for (; row < end; row++) {
        if (tile->c[row] == 1) // as mostly: the maximum was in an earlier page
            continue;
        const __m512 c = _mm512_set1_ps(tile->c[row]);
        for (int d = row * tile->width; d < (row + 1) * tile->width; d += 16)
            _mm512_store_ps(tile->o + d, _mm512_mul_ps(_mm512_load_ps(tile->o + d), c));
    }
}
