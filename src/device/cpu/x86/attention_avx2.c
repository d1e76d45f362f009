// Attention's steps with AVX2 and FMA.
#include <math.h>

#include "device/cpu/attention_tile.h"
#include "device/cpu/lanes.h"
#include "device/cpu/x86/math_avx2.h"
#include "device/cpu/x86/unrolled.h"
#include "device/cpu/x86/vec_avx2.h"
#include "device/cpu/x86/x86.h"

// 12 sums in registers, 2 vectors of a page, a broadcast.
enum { ROWS = PASS_ROWS, VECTORS = 2 };

INLINE vec upper_halves(__m256i pairs)
{
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(INT32_MIN >> 15)));
}

INLINE vec lower_halves(__m256i pairs)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}

// Vector v of one half of the pair at `x`.
INLINE vec load_half(const char *x, enum page_form form, size_t stride, int odd, int v)
{
    size_t i = (odd ? stride : 0) + 8 * (size_t)v;
    if (form == PAGE_F32)
        return _mm256_loadu_ps((const float *)(const void *)x + i);
    if (form == PAGE_F16)
        return _mm256_cvtph_ps(_mm_loadu_si128((const void *)((const f16 *)(const void *)x + i)));
    __m256i pairs = _mm256_loadu_si256((const void *)(x + 32 * v));
    return odd ? upper_halves(pairs) : lower_halves(pairs);
}

#include "device/cpu/x86/attention_pairs.h"

#include "device/cpu/attention_rows.h"

static void load_query(const struct attention_tile *tile, int row, const void *q)
{
    float *to = tile->q + row * tile->head_dim;
    int n = tile->head_dim, d = 0;
    if (tile->type != COMPUTE_BF16) {
        memcpy(to, q, (size_t)n * sizeof *to);
        return;
    }
    const bf16 *from = q;
    for (; d + 8 <= n; d += 8) {
        __m256i x = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(from + d)));
        _mm256_storeu_ps(to + d, lower_halves(x));
    }
    for (; d < n; d++)
        to[d] = float_of_bf16(from[d]);
}

static void widen_keys(const struct attention_tile *tile, const void *page)
{
    if (tile->type == COMPUTE_F16) {
        for (int i = 0; i < tile->head_dim * KV_PAGE_TOKENS; i += 8)
            _mm256_store_ps(tile->keys + i, _mm256_cvtph_ps(_mm_loadu_si128(
                                                (const void *)((const f16 *)page + i))));
        return;
    }
    for (int d = 0; d < tile->head_dim; d += 2)
        for (int j = 0; j < KV_PAGE_TOKENS; j += 8) {
            float *to = tile->keys + d * KV_PAGE_TOKENS + j;
            __m256i pairs =
                _mm256_loadu_si256((const void *)((const bf16 *)page + d * KV_PAGE_TOKENS + 2 * j));
            _mm256_store_ps(to, lower_halves(pairs));
            _mm256_store_ps(to + KV_PAGE_TOKENS, upper_halves(pairs));
        }
}

static float value_at(const struct attention_tile *tile, const void *page, int j, int d)
{
    switch (tile->type) {
    case COMPUTE_BF16:
        return float_of_bf16(((const bf16 *)page)[(j / 2 * tile->value_dim + d) * 2 + j % 2]);
    case COMPUTE_F16:
        return float_of_f16(((const f16 *)page)[j * tile->value_dim + d]);
    case COMPUTE_F32:
        return ((const float *)page)[j * tile->value_dim + d];
    }
    return 0;
}

// Positions j and j + 1 of a page.
static void widen_value_pair(const struct attention_tile *tile, const void *page, int j)
{
    int n = tile->value_dim, d = 0;
    float *even = tile->values + j * tile->width, *odd = even + tile->width;
    const char *from = (const char *)page + (size_t)(j * n) * compute_bytes(tile->type);
    enum page_form form = tile->type == COMPUTE_BF16  ? PAGE_BF16
                          : tile->type == COMPUTE_F16 ? PAGE_F16
                                                      : PAGE_F32;
    for (; d + 8 <= n; d += 8) {
        const char *x = from + (size_t)d * (form == PAGE_F16 ? 2 : 4);
        _mm256_store_ps(even + d, load_half(x, form, (size_t)n, 0, 0));
        _mm256_store_ps(odd + d, load_half(x, form, (size_t)n, 1, 0));
    }
    for (; d < tile->width; d++) {
        even[d] = d < n ? value_at(tile, page, j, d) : 0;
        odd[d] = d < n ? value_at(tile, page, j + 1, d) : 0;
    }
}

static void widen_values(const struct attention_tile *tile, const void *page)
{
    for (int j = 0; j < KV_PAGE_TOKENS; j += 2)
        widen_value_pair(tile, page, j);
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

// All ones where bit j, j + 1, ... of `visible` is set.
INLINE __m256 mask_at(uint64_t visible, int j)
{
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i bits = _mm256_set1_epi32((int)(visible >> j & 0xff));
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(bits, bit), bit));
}

static float largest_of_row(const struct attention_tile *tile, int row)
{
    const float *s = tile->p + row * KV_PAGE_TOKENS;
    const __m256 least = _mm256_set1_ps(-INFINITY);
    __m256 best = least;
    for (int j = 0; j < KV_PAGE_TOKENS; j += 8) { // max(s, best) is best where s is NaN
        __m256 seen =
            _mm256_blendv_ps(least, _mm256_load_ps(s + j), mask_at(tile->visible[row], j));
        best = _mm256_max_ps(seen, best);
    }
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(best), _mm256_extractf128_ps(best, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    // The scale is positive: the largest product is that of the largest score.
    const float score = _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b))) * tile->scale;
    return score > tile->m[row] ? score : tile->m[row];
}

INLINE __m256 round_weights(__m256 p, enum compute_type type)
{
    if (type == COMPUTE_BF16)
        return upper_halves(bf16_bits_8(p));
    return type == COMPUTE_F16 ? rounded_to_f16_8(p) : p;
}

// Turns a row's scores into weights; returns their sum.
INLINE float weigh_row(const struct attention_tile *tile, int row, float m, enum compute_type type)
{
    float *p = tile->p + row * KV_PAGE_TOKENS;
    __m256 e[8];
    UNROLLED_FOR (v, 8) {
        __m256 s = _mm256_mul_ps(_mm256_load_ps(p + 8 * v), _mm256_set1_ps(tile->scale)),
               x = _mm256_sub_ps(s, _mm256_set1_ps(m));
        e[v] = _mm256_and_ps(mask_at(tile->visible[row], 8 * v), exp_of_negative_8(x));
        _mm256_store_ps(p + 8 * v, round_weights(e[v], type));
    }
    __m256 low = _mm256_add_ps(_mm256_add_ps(e[0], e[2]), _mm256_add_ps(e[4], e[6]));
    __m256 high = _mm256_add_ps(_mm256_add_ps(e[1], e[3]), _mm256_add_ps(e[5], e[7]));
    return fold_16(low, high);
}

// 8 rows at a time, so that what is one number a row is computed 8 at once. The arrays have room
// for whole eights.
INLINE void weigh_rows(const struct attention_tile *tile, int row, int end, enum compute_type type)
{
    for (; row < end; row += 8) {
        int n = end - row < 8 ? end - row : 8;
        float m[8] = {0}, sums[8] = {0}, old_m[8] = {0}, l[8] = {0}, c[8];
        for (int r = 0; r < n; r++) {
            m[r] = largest_of_row(tile, row + r);
            old_m[r] = tile->m[row + r];
            l[r] = tile->l[row + r];
        }
        for (int r = 0; r < n; r++)
            sums[r] = weigh_row(tile, row + r, m[r], type);
        _mm256_storeu_ps(c, exp_8(_mm256_sub_ps(_mm256_loadu_ps(old_m), _mm256_loadu_ps(m))));
        for (int r = 0; r < n; r++) {
            tile->c[row + r] = c[r];
            tile->l[row + r] = fmaf(l[r], c[r], sums[r]);
            tile->m[row + r] = m[r];
        }
    }
}

static void weights(const struct attention_tile *tile, int row, int end)
{
    if (tile->type == COMPUTE_BF16)
        weigh_rows(tile, row, end, COMPUTE_BF16);
    else if (tile->type == COMPUTE_F16)
        weigh_rows(tile, row, end, COMPUTE_F16);
    else
        weigh_rows(tile, row, end, COMPUTE_F32);
}

static void merge(const struct attention_tile *tile, int row, int end)
{
    for (; row < end; row++) {
        float all_m = tile->all_m[row], m = tile->m[row], most = m > all_m ? m : all_m;
        float a = number_exp(all_m - most), b = number_exp(m - most);
        tile->all_l[row] = fmaf(tile->all_l[row], a, tile->l[row] * b);
        tile->all_m[row] = most;
        for (int d = row * tile->width; d < (row + 1) * tile->width; d += 8) {
            __m256 added = _mm256_mul_ps(_mm256_load_ps(tile->o + d), _mm256_set1_ps(b));
            __m256 sum = _mm256_fmadd_ps(_mm256_load_ps(tile->all_o + d), _mm256_set1_ps(a), added);
            _mm256_store_ps(tile->all_o + d, sum);
        }
    }
}

static void store(const struct attention_tile *tile, int row, void *out)
{
    float r = 1.0f / tile->all_l[row];
    const float *o = tile->all_o + row * tile->width;
    int d = 0;
    for (; d + 8 <= tile->value_dim; d += 8) {
        __m256 y = _mm256_mul_ps(_mm256_load_ps(o + d), _mm256_set1_ps(r));
        store_rounded_8(out, (size_t)d, _mm256_add_ps(y, _mm256_setzero_ps()), tile->out_type);
    }
    for (; d < tile->value_dim; d++)
        store_rounded(out, (size_t)d, o[d] * r + 0.0f, tile->out_type);
}

static const struct attention_steps steps = {.widen_rows = 12,
                                             .chunk_rows = 48,
                                             .widened = PAGE_F32,
                                             .expand = kv_expand_avx2,
                                             .load_query = load_query,
                                             .widen_keys = widen_keys,
                                             .widen_values = widen_values,
                                             .scores = scores,
                                             .adjust = attention_adjust_avx2,
                                             .weights = weights,
                                             .add_values = add_values,
                                             .merge = merge,
                                             .store = store,
                                             .add_heads = index_add_heads_avx2};

void attention_avx2(const struct attention *args)
{
    attention_run(args, &steps);
}

void index_scores_avx2(const struct index_scoring *args)
{
    index_run(args, &steps);
}
