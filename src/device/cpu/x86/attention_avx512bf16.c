// Attention's steps with vdpbf16ps, which is a pair of the contract's chain in one instruction. For
// CPUs that run it at twice the multiply-adds of FMA (Zen 4).
#include <limits.h>
#include <string.h>

#include "device/cpu/x86/attention_avx512.h"
#include "device/cpu/x86/x86.h"

// The rows of `a` hold pairs of bf16: its numbers k and k + 1 are word k / 2.
INLINE void add_pair(int rows, int n_vectors, enum page_form form, const float *a, size_t a_stride,
                     int k, const char *x, size_t stride, vec sums[ROWS][VECTORS])
{
    (void)form, (void)stride;
    __m512i y[VECTORS];
    UNROLLED_FOR (v, n_vectors)
        y[v] = _mm512_loadu_si512(x + 64 * v);
    UNROLLED_FOR (r, rows) {
        __m512i factor =
            _mm512_castps_si512(_mm512_set1_ps(a[(size_t)r * a_stride + (size_t)k / 2]));
        UNROLLED_FOR (v, n_vectors)
            sums[r][v] = _mm512_dpbf16_ps(sums[r][v], (__m512bh)factor, (__m512bh)y[v]);
    }
}

#include "device/cpu/attention_rows.h"

static void load_query(const struct attention_tile *tile, int row, const void *q)
{
    memcpy(tile->q + row * tile->head_dim, q, (size_t)tile->head_dim * sizeof(bf16));
}

// Only the columns are filled up; the form stays.
static void widen_values(const struct attention_tile *tile, const void *page)
{
    int n = tile->head_dim;
    for (int j = 0; j < KV_PAGE_TOKENS / 2; j++)
        for (int d = 0; d < n; d += 16) {
            __mmask16 mask = n - d >= 16 ? (__mmask16)0xffff : mask_of((size_t)(n - d));
            __m512i pairs = _mm512_maskz_loadu_epi32(mask, (const bf16 *)page + 2 * (j * n + d));
            _mm512_store_si512(tile->values + j * tile->width + d, pairs);
        }
}

static void scores(const struct attention_tile *tile, int row, int end, const void *keys,
                   enum page_form form)
{
    (void)form;
    scores_of(PAGE_BF16, tile, row, end, keys);
}

static void add_values(const struct attention_tile *tile, int row, int end, const void *values,
                       enum page_form form, size_t stride)
{
    (void)form;
    add_values_of(PAGE_BF16, tile, row, end, values, stride);
}

INLINE void store_pairs(float *p, const vec weights[PAGE_VECTORS])
{
    UNROLLED_FOR (v, PAGE_VECTORS) {
        const __m512i words = _mm512_srli_epi32(bf16_of_weights(weights[v]), 16);
        _mm256_store_si256((__m256i *)(void *)(p + 8 * v), _mm512_cvtepi32_epi16(words));
    }
}

static void weights(const struct attention_tile *tile, int row, int end)
{
    weigh_rows(tile, row, end, store_pairs);
}

void attention_avx512bf16(const struct attention *args)
{
    static const struct attention_steps steps = {.widen_rows = INT_MAX,
                                                 .chunk_rows = 48,
                                                 .widened = PAGE_BF16,
                                                 .load_query = load_query,
                                                 .widen_values = widen_values,
                                                 .scores = scores,
                                                 .weights = weights,
                                                 .add_values = add_values,
                                                 .merge = attention_merge_avx512,
                                                 .store = attention_store_avx512};
    if (args->kv.type == COMPUTE_BF16)
        attention_run(args, &steps);
    else
        attention_avx512(args);
}
