#include <math.h>

#include "device/cpu/x86/attention_avx512.h"
#include "device/cpu/x86/math_avx512.h"
#include "device/cpu/x86/x86.h"

// Rows that share a pass over a page, and vectors side by side: 24 sums in registers, 4 numbers and a broadcast.
enum { ROWS = 6, VECTORS = 4 };

#define ALWAYS_INLINE static inline __attribute__((always_inline))

// Memory that the next step reads, to be fetched while this one computes: as many bytes as this one reads, in streams
// side by side, for a core's prefetcher follows each at its own pace. Into L2: L1's few miss buffers stay free. Every
// pass over the page fetches its part. Decode with 4 heads went from 0.58 to 0.79 of the read bandwidth by this.
struct ahead {
    const char *at;
    int pass, n_passes; // no passes: nothing is fetched
};

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

// The two numbers of each of 16 pairs.
ALWAYS_INLINE void split_pairs(__m512i pairs, __m512 *even, __m512 *odd)
{
    *even = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
    *odd = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(INT32_MIN >> 15)));
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
            __m512 even, odd;
            split_pairs(_mm512_loadu_si512((const bf16 *)page + d * KV_PAGE_TOKENS + 2 * j), &even, &odd);
            _mm512_store_ps(to, even);
            _mm512_store_ps(to + KV_PAGE_TOKENS, odd);
        }
}

static void widen_values(const struct attention_tile *tile, const void *page)
{
    int n = tile->head_dim, width = tile->width;
    for (int j = 0; j < KV_PAGE_TOKENS; j += 2)
        for (int d = 0; d < n; d += 16) {
            __mmask16 mask = n - d >= 16 ? (__mmask16)0xffff : mask_of((size_t)(n - d));
            int i = j * n + d;
            __m512 even, odd;
            if (tile->type == COMPUTE_BF16) {
                split_pairs(_mm512_maskz_loadu_epi32(mask, (const bf16 *)page + j * n + 2 * d), &even, &odd);
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

// Vector v of one half of the summed index's pair at `x`; rows of a page are `stride` numbers apart.
ALWAYS_INLINE __m512 load_half(const char *x, enum page_form form, size_t stride, int odd, int v)
{
    size_t i = (odd ? stride : 0) + 16 * (size_t)v;
    if (form == PAGE_F32)
        return _mm512_loadu_ps((const float *)(const void *)x + i);
    if (form == PAGE_F16)
        return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)((const f16 *)(const void *)x + i)));
    __m512i pairs = _mm512_loadu_si512(x + 64 * v);
    return _mm512_castsi512_ps(odd ? _mm512_and_si512(pairs, _mm512_set1_epi32(INT32_MIN >> 15))
                                   : _mm512_slli_epi32(pairs, 16));
}

// sums[row][v] += a[row][k] * x[k][v] for k in [0, n), in pairs, odd first.
ALWAYS_INLINE void chain(int rows, int n_vectors, enum page_form form, const float *a, size_t a_stride, const void *x,
                         size_t stride, int n, struct ahead ahead, __m512 sums[ROWS][VECTORS])
{
    size_t step = 2 * stride * (form == PAGE_F32 ? 4 : 2), stream = 32 * (size_t)n;
    int n_streams = ahead.n_passes ? (n_vectors * (form == PAGE_F32 ? 2 : 1) + ahead.n_passes - 1) / ahead.n_passes : 0;
    const char *at = x, *fetch = ahead.at + (size_t)(ahead.pass * n_streams) * stream;
    for (int k = 0; k < n; k += 2, at += step, fetch += 64) {
        for (int i = 0; i < n_streams; i++)
            _mm_prefetch(fetch + (size_t)i * stream, _MM_HINT_T1);
#pragma GCC unroll 2
        for (int odd = 1; odd >= 0; odd--) {
            __m512 y[VECTORS];
#pragma GCC unroll 4
            for (int v = 0; v < n_vectors; v++)
                y[v] = load_half(at, form, stride, odd, v);
#pragma GCC unroll 6
            for (int r = 0; r < rows; r++) {
                __m512 factor = _mm512_set1_ps(a[(size_t)r * a_stride + (size_t)(k + odd)]);
#pragma GCC unroll 4
                for (int v = 0; v < n_vectors; v++)
                    sums[r][v] = _mm512_fmadd_ps(factor, y[v], sums[r][v]);
            }
            // Keeps the compiler from loading the other half early: the registers are full.
            __asm__ volatile("" : : : "memory");
        }
    }
}

ALWAYS_INLINE void score_rows(int rows, enum page_form form, const struct attention_tile *tile, int row,
                              const void *keys, struct ahead ahead)
{
    __m512 sums[ROWS][VECTORS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++)
            sums[r][v] = _mm512_setzero_ps();
    size_t head_dim = (size_t)tile->head_dim;
    chain(rows, VECTORS, form, tile->q + (size_t)row * head_dim, head_dim, keys, KV_PAGE_TOKENS, tile->head_dim, ahead,
          sums);
    const __m512 scale = _mm512_set1_ps(tile->scale);
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++)
            _mm512_store_ps(tile->p + (row + r) * KV_PAGE_TOKENS + 16 * v, _mm512_mul_ps(sums[r][v], scale));
}

// One block of vectors of o, beginning at column d.
ALWAYS_INLINE void add_columns(int rows, int n_vectors, enum page_form form, const struct attention_tile *tile, int row,
                               const char *values, size_t stride, int d, struct ahead ahead)
{
    __m512 sums[ROWS][VECTORS];
    float *o = tile->o + row * tile->width + d;
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < n_vectors; v++)
            sums[r][v] = _mm512_mul_ps(_mm512_loadu_ps(o + r * tile->width + 16 * v), _mm512_set1_ps(tile->c[row + r]));
    size_t element = form == PAGE_F16 ? 2 : 4; // of bf16, pairs lie side by side
    ahead.at += (size_t)d * KV_PAGE_TOKENS * (form == PAGE_F32 ? 4 : 2);
    chain(rows, n_vectors, form, tile->p + row * KV_PAGE_TOKENS, KV_PAGE_TOKENS, values + (size_t)d * element, stride,
          KV_PAGE_TOKENS, ahead, sums);
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < n_vectors; v++)
            _mm512_storeu_ps(o + r * tile->width + 16 * v, sums[r][v]);
}

ALWAYS_INLINE void add_rows(int rows, enum page_form form, const struct attention_tile *tile, int row,
                            const void *values, size_t stride, struct ahead ahead)
{
    int d = 0;
    for (; d + 64 <= tile->width; d += 64)
        add_columns(rows, 4, form, tile, row, values, stride, d, ahead);
    if (tile->width - d >= 32) {
        add_columns(rows, 2, form, tile, row, values, stride, d, ahead);
        d += 32;
    }
    if (tile->width > d)
        add_columns(rows, 1, form, tile, row, values, stride, d, ahead);
}

#define FOR_ROWS(rows, call)                                                                       \
    switch (rows) {                                                                                \
    case 1:                                                                                        \
        call(1);                                                                                   \
        break;                                                                                     \
    case 2:                                                                                        \
        call(2);                                                                                   \
        break;                                                                                     \
    case 3:                                                                                        \
        call(3);                                                                                   \
        break;                                                                                     \
    case 4:                                                                                        \
        call(4);                                                                                   \
        break;                                                                                     \
    case 5:                                                                                        \
        call(5);                                                                                   \
        break;                                                                                     \
    default:                                                                                       \
        call(6);                                                                                   \
    }

#define SCORE_ROWS(n) score_rows(n, form, tile, row, keys, ahead)
ALWAYS_INLINE void score_any(enum page_form form, const struct attention_tile *tile, int row, int rows,
                             const void *keys, struct ahead ahead)
{
    FOR_ROWS(rows, SCORE_ROWS)
}

#define ADD_ROWS(n) add_rows(n, form, tile, row, values, stride, ahead)
ALWAYS_INLINE void add_any(enum page_form form, const struct attention_tile *tile, int row, int rows,
                           const void *values, size_t stride, struct ahead ahead)
{
    FOR_ROWS(rows, ADD_ROWS)
}

// Rows are spread evenly: 7 are 4 and 3, not 6 and 1.
static inline int rows_at(int row, int end)
{
    int passes = (end - row + ROWS - 1) / ROWS;
    return (end - row + passes - 1) / passes;
}

static inline struct ahead ahead_of(const struct attention_tile *tile, const void *page, int rows)
{
    if (tile->ahead)
        return (struct ahead){tile->ahead, 0, (rows + ROWS - 1) / ROWS};
    return (struct ahead){page, 0, 0};
}

static void scores(const struct attention_tile *tile, int row, int end, const void *keys, enum page_form form)
{
    struct ahead ahead = ahead_of(tile, keys, end - row);
    for (int rows; row < end; row += rows, ahead.pass++) {
        rows = rows_at(row, end);
        if (form == PAGE_F32)
            score_any(PAGE_F32, tile, row, rows, keys, ahead);
        else if (form == PAGE_BF16)
            score_any(PAGE_BF16, tile, row, rows, keys, ahead);
        else
            score_any(PAGE_F16, tile, row, rows, keys, ahead);
    }
}

static void add_values(const struct attention_tile *tile, int row, int end, const void *values, enum page_form form,
                       size_t stride)
{
    struct ahead ahead = ahead_of(tile, values, end - row);
    for (int rows; row < end; row += rows, ahead.pass++) {
        rows = rows_at(row, end);
        if (form == PAGE_F32)
            add_any(PAGE_F32, tile, row, rows, values, stride, ahead);
        else if (form == PAGE_BF16)
            add_any(PAGE_BF16, tile, row, rows, values, stride, ahead);
        else
            add_any(PAGE_F16, tile, row, rows, values, stride, ahead);
    }
}

ALWAYS_INLINE __m512 round_weight(__m512 p, enum compute_type type)
{
    if (type == COMPUTE_F16)
        return rounded_to_f16_16(p);
    if (type == COMPUTE_F32)
        return p;
    // 0 <= p <= 1 and normal, or NaN; a NaN is in l as well, so that what becomes of it here does not matter.
    __m512i bits = _mm512_castps_si512(p), odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    return _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32(INT32_MIN >> 15)));
}

static float largest_of_row(const struct attention_tile *tile, int row)
{
    const float *s = tile->p + row * KV_PAGE_TOKENS;
    uint64_t visible = tile->visible[row];
    __m512 best = _mm512_set1_ps(tile->m[row]);
    for (int v = 0; v < VECTORS; v++) // max(s, best) is best where s is NaN
        best = _mm512_mask_max_ps(best, (__mmask16)(visible >> 16 * v), _mm512_load_ps(s + 16 * v), best);
    return _mm512_reduce_max_ps(best);
}

// Turns a row's scores into weights; returns their sum.
ALWAYS_INLINE float weigh_row(const struct attention_tile *tile, int row, float m, enum compute_type type)
{
    float *p = tile->p + row * KV_PAGE_TOKENS;
    uint64_t visible = tile->visible[row];
    __m512 e[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) {
        __m512 x = _mm512_sub_ps(_mm512_load_ps(p + 16 * v), _mm512_set1_ps(m));
        e[v] = exp_16_masked((__mmask16)(visible >> 16 * v), x);
        _mm512_store_ps(p + 16 * v, round_weight(e[v], type));
    }
    return fold_16(_mm512_add_ps(_mm512_add_ps(e[0], e[1]), _mm512_add_ps(e[2], e[3])));
}

// 16 rows at a time, so that what is one number a row is computed 16 at once and rows overlap.
ALWAYS_INLINE void weigh_rows(const struct attention_tile *tile, int row, int end, enum compute_type type)
{
    for (; row < end; row += 16) {
        int n = end - row < 16 ? end - row : 16;
        _Alignas(64) float m[16], sums[16];
        for (int r = 0; r < n; r++)
            m[r] = largest_of_row(tile, row + r);
        for (int r = 0; r < n; r++)
            sums[r] = weigh_row(tile, row + r, m[r], type);
        __mmask16 mask = mask_of((size_t)n);
        const __m512 largest = _mm512_maskz_load_ps(mask, m);
        __m512 c = exp_16(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, tile->m + row), largest));
        __m512 l = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, tile->l + row), c, _mm512_maskz_load_ps(mask, sums));
        _mm512_mask_storeu_ps(tile->c + row, mask, c);
        _mm512_mask_storeu_ps(tile->l + row, mask, l);
        _mm512_mask_storeu_ps(tile->m + row, mask, largest);
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

void attention_merge_avx512(const struct attention_tile *tile, int row, int end)
{
    for (; row < end; row++) {
        float all_m = tile->all_m[row], m = tile->m[row], most = m > all_m ? m : all_m;
        const __m512 a = exp_16(_mm512_set1_ps(all_m - most)), b = exp_16(_mm512_set1_ps(m - most));
        tile->all_l[row] = fmaf(tile->all_l[row], _mm512_cvtss_f32(a), tile->l[row] * _mm512_cvtss_f32(b));
        tile->all_m[row] = most;
        for (int d = row * tile->width; d < (row + 1) * tile->width; d += 16) {
            __m512 added = _mm512_mul_ps(_mm512_load_ps(tile->o + d), b);
            _mm512_store_ps(tile->all_o + d, _mm512_fmadd_ps(_mm512_load_ps(tile->all_o + d), a, added));
        }
    }
}

void attention_store_avx512(const struct attention_tile *tile, int row, void *out)
{
    const __m512 r = _mm512_set1_ps(1.0f / tile->all_l[row]);
    int n = tile->head_dim;
    for (int d = 0; d < n; d += 16) {
        __mmask16 mask = n - d >= 16 ? (__mmask16)0xffff : mask_of((size_t)(n - d));
        __m512 y = _mm512_mul_ps(_mm512_load_ps(tile->all_o + row * tile->width + d), r);
        store_rounded_16(out, (size_t)d, mask, _mm512_add_ps(y, _mm512_setzero_ps()), tile->type);
    }
}

void attention_avx512(const struct attention *args)
{
    static const struct attention_steps steps = {.widen_rows = 12,
                                                 .load_query = load_query,
                                                 .widen_keys = widen_keys,
                                                 .widen_values = widen_values,
                                                 .scores = scores,
                                                 .weights = weights,
                                                 .add_values = add_values,
                                                 .merge = attention_merge_avx512,
                                                 .store = attention_store_avx512};
    attention_run(args, &steps);
}
