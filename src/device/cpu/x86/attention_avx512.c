// Attention's steps with AVX-512 and FMA.
#include <math.h>

#include "device/cpu/x86/attention_avx512.h"
#include "device/cpu/x86/x86.h"

// Vector v of one half of the pair at `x`.
INLINE vec load_half(const char *x, enum page_form form, size_t stride, int odd, int v)
{
    size_t i = (odd ? stride : 0) + 16 * (size_t)v;
    if (form == PAGE_F32)
        return _mm512_loadu_ps((const float *)(const void *)x + i);
    if (form == PAGE_F16)
        return _mm512_cvtph_ps(
            _mm256_loadu_si256((const void *)((const f16 *)(const void *)x + i)));
    __m512i pairs = _mm512_loadu_si512(x + 64 * v);
    return odd ? odd_of_pairs(pairs) : even_of_pairs(pairs);
}

#include "device/cpu/x86/attention_pairs.h"

#include "device/cpu/attention_rows.h"

static void load_query(const struct attention_tile *tile, int row, const void *q)
{
    float *to = tile->q + row * tile->head_dim;
    int n = tile->head_dim;
    if (tile->type != COMPUTE_BF16) {
        memcpy(to, q, (size_t)n * sizeof *to);
        return;
    }
    for (int d = 0; d < n; d += 16) {
        __mmask16 mask = n - d >= 16 ? (__mmask16)0xffff : mask_of((size_t)(n - d));
        __m512i x = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, (const bf16 *)q + d));
        _mm512_mask_storeu_epi32(to + d, mask, _mm512_slli_epi32(x, 16));
    }
}

static void widen_keys(const struct attention_tile *tile, const void *page)
{
    if (tile->type == COMPUTE_F16) {
        for (int i = 0; i < tile->head_dim * KV_PAGE_TOKENS; i += 16) {
            __m256i x = _mm256_loadu_si256((const __m256i *)((const f16 *)page + i));
            _mm512_store_ps(tile->keys + i, _mm512_cvtph_ps(x));
        }
        return;
    }
    for (int d = 0; d < tile->head_dim; d += 2)
        for (int j = 0; j < KV_PAGE_TOKENS; j += 16) {
            float *to = tile->keys + d * KV_PAGE_TOKENS + j;
            __m512i pairs = _mm512_loadu_si512((const bf16 *)page + d * KV_PAGE_TOKENS + 2 * j);
            _mm512_store_ps(to, even_of_pairs(pairs));
            _mm512_store_ps(to + KV_PAGE_TOKENS, odd_of_pairs(pairs));
        }
}

static void widen_values(const struct attention_tile *tile, const void *page)
{
    int n = tile->value_dim, width = tile->width;
    for (int j = 0; j < KV_PAGE_TOKENS; j += 2)
        for (int d = 0; d < n; d += 16) {
            __mmask16 mask = n - d >= 16 ? (__mmask16)0xffff : mask_of((size_t)(n - d));
            int i = j * n + d;
            __m512 even, odd;
            if (tile->type == COMPUTE_BF16) {
                __m512i pairs = _mm512_maskz_loadu_epi32(mask, (const bf16 *)page + j * n + 2 * d);
                even = even_of_pairs(pairs);
                odd = odd_of_pairs(pairs);
            } else if (tile->type == COMPUTE_F16) {
                even = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, (const f16 *)page + i));
                odd = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, (const f16 *)page + i + n));
            } else {
                even = _mm512_maskz_loadu_ps(mask, (const float *)page + i);
                odd = _mm512_maskz_loadu_ps(mask, (const float *)page + i + n);
            }
            _mm512_store_ps(tile->values + j * width + d, even);
            _mm512_store_ps(tile->values + (j + 1) * width + d, odd);
        }
}

static void scores(const struct attention_tile *tile, int row, int end, const void *keys,
                   enum page_form form)
{
    if (form == PAGE_F32)
        scores_of(PAGE_F32, tile, row, end, keys);
    else if (form == PAGE_BF16)
        scores_of(PAGE_BF16, tile, row, end, keys);
    else
        scores_of(PAGE_F16, tile, row, end, keys);
}

static void add_values(const struct attention_tile *tile, int row, int end, const void *values,
                       enum page_form form, size_t stride)
{
    if (form == PAGE_F32)
        add_values_of(PAGE_F32, tile, row, end, values, stride);
    else if (form == PAGE_BF16)
        add_values_of(PAGE_BF16, tile, row, end, values, stride);
    else
        add_values_of(PAGE_F16, tile, row, end, values, stride);
}

INLINE void store_f32(float *p, const vec weights[PAGE_VECTORS])
{
    UNROLLED_FOR (v, PAGE_VECTORS)
        _mm512_store_ps(p + 16 * v, weights[v]);
}

INLINE void store_f16(float *p, const vec weights[PAGE_VECTORS])
{
    UNROLLED_FOR (v, PAGE_VECTORS)
        _mm512_store_ps(p + 16 * v, rounded_to_f16_16(weights[v]));
}

INLINE void store_bf16(float *p, const vec weights[PAGE_VECTORS])
{
    UNROLLED_FOR (v, PAGE_VECTORS)
        _mm512_store_ps(p + 16 * v, odd_of_pairs(bf16_of_weights(weights[v])));
}

static void weights(const struct attention_tile *tile, int row, int end)
{
    if (tile->type == COMPUTE_BF16)
        weigh_rows(tile, row, end, store_bf16);
    else if (tile->type == COMPUTE_F16)
        weigh_rows(tile, row, end, store_f16);
    else
        weigh_rows(tile, row, end, store_f32);
}

void attention_merge_avx512(const struct attention_tile *tile, int row, int end)
{
    for (; row < end; row++) {
        float all_m = tile->all_m[row], m = tile->m[row], most = m > all_m ? m : all_m;
        const __m512 a = exp_16(_mm512_set1_ps(all_m - most)), b = exp_16(_mm512_set1_ps(m - most));
        tile->all_l[row] =
            fmaf(tile->all_l[row], _mm512_cvtss_f32(a), tile->l[row] * _mm512_cvtss_f32(b));
        tile->all_m[row] = most;
        for (int d = row * tile->width; d < (row + 1) * tile->width; d += 16) {
            __m512 added = _mm512_mul_ps(_mm512_load_ps(tile->o + d), b);
            _mm512_store_ps(tile->all_o + d,
                            _mm512_fmadd_ps(_mm512_load_ps(tile->all_o + d), a, added));
        }
    }
}

void attention_store_avx512(const struct attention_tile *tile, int row, void *out)
{
    const __m512 r = _mm512_set1_ps(1.0f / tile->all_l[row]);
    int n = tile->value_dim;
    for (int d = 0; d < n; d += 16) {
        __mmask16 mask = n - d >= 16 ? (__mmask16)0xffff : mask_of((size_t)(n - d));
        __m512 y = _mm512_mul_ps(_mm512_load_ps(tile->all_o + row * tile->width + d), r);
        store_rounded_16(out, (size_t)d, mask, _mm512_add_ps(y, _mm512_setzero_ps()),
                         tile->out_type);
    }
}

static const struct attention_steps steps = {.widen_rows = 12,
                                             .chunk_rows = 96,
                                             .widened = PAGE_F32,
                                             .expand = kv_expand_avx512,
                                             .load_query = load_query,
                                             .widen_keys = widen_keys,
                                             .widen_values = widen_values,
                                             .scores = scores,
                                             .adjust = attention_adjust_avx512,
                                             .weights = weights,
                                             .add_values = add_values,
                                             .merge = attention_merge_avx512,
                                             .store = attention_store_avx512,
                                             .add_heads = index_add_heads_avx512};

void attention_avx512(const struct attention *args)
{
    attention_run(args, &steps);
}

void index_scores_avx512(const struct index_scoring *args)
{
    index_run(args, &steps);
}
