// Attention's steps with vdpbf16ps, which is a pair of the contract's chain in one instruction. For
// CPUs that run it at twice the multiply-adds of FMA (Zen 4).
#include <limits.h>

#include "device/cpu/x86/attention_avx512.h"
#include "device/cpu/x86/attention_tiles.h"
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

static const struct attention_steps steps = {.widen_rows = INT_MAX,
                                             .chunk_rows = 48,
                                             .widened = PAGE_BF16,
                                             .expand = kv_expand_avx512bf16,
                                             .load_query = attention_tiles_load_query,
                                             .widen_values = attention_tiles_widen_values,
                                             .scores = scores,
                                             .adjust = attention_adjust_avx512,
                                             .weights = attention_tiles_weights,
                                             .add_values = add_values,
                                             .merge = attention_merge_avx512,
                                             .store = attention_store_avx512,
                                             .add_heads = index_add_heads_avx512};

void attention_avx512bf16(const struct attention *args)
{
    if (args->kv.type == COMPUTE_BF16)
        attention_run(args, &steps);
    else
        attention_avx512(args);
}

void index_scores_avx512bf16(const struct index_scoring *args)
{
    if (args->kv.type == COMPUTE_BF16)
        index_run(args, &steps);
    else
        index_scores_avx512(args);
}
