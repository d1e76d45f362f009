// Attention in the order of tiles with AVX-512F: 6 rows x 32 columns, two sums each, in 24
// registers.
#include <limits.h>

#include "device/cpu/x86/attention_tiles.h"
#include "device/cpu/x86/tiles_avx512.h"
#include "device/cpu/x86/x86.h"

enum { ROWS = 6 };

#define FOR_ROWS(rows, vectors)                                                                    \
    switch (rows) {                                                                                \
    case 1:                                                                                        \
        add_chain(1, vectors, chain);                                                              \
        break;                                                                                     \
    case 2:                                                                                        \
        add_chain(2, vectors, chain);                                                              \
        break;                                                                                     \
    case 3:                                                                                        \
        add_chain(3, vectors, chain);                                                              \
        break;                                                                                     \
    case 4:                                                                                        \
        add_chain(4, vectors, chain);                                                              \
        break;                                                                                     \
    case 5:                                                                                        \
        add_chain(5, vectors, chain);                                                              \
        break;                                                                                     \
    default:                                                                                       \
        add_chain(6, vectors, chain);                                                              \
    }

// Every pass fetches the same: what comes next is small.
static void add_rows(int rows, struct chain chain)
{
    if (chain.columns % (2 * VEC) == 0)
        FOR_ROWS(rows, 2)
    else
        FOR_ROWS(rows, 1)
}

static int rows_at(int row, int end)
{
    int passes = (end - row + ROWS - 1) / ROWS;
    return (end - row + passes - 1) / passes;
}

static void scores(const struct attention_tile *tile, int row, int end, const void *keys,
                   enum page_form form)
{
    (void)form;
    const int first = row;
    for (int rows; row < end; row += rows) {
        rows = rows_at(row, end);
        const struct chain chain = {.a = attention_tiles_query(tile, row),
                                    .a_stride = 2 * (size_t)tile->head_dim,
                                    .a_block = TILE_K,
                                    .b = keys,
                                    .b_stride = 4 * KV_PAGE_TOKENS,
                                    .columns = KV_PAGE_TOKENS,
                                    .k = tile->head_dim,
                                    .to = tile->p + row * KV_PAGE_TOKENS,
                                    .to_stride = KV_PAGE_TOKENS,
                                    .next = tile->ahead,
                                    .step = tile->ahead && row == first ? 3072 : 0};
        add_rows(rows, chain);
    }
}

static void add_values(const struct attention_tile *tile, int row, int end, const void *values,
                       enum page_form form, size_t stride)
{
    (void)form;
    if (!tile->fresh)
        attention_tiles_scale_sums(tile, row, end);
    const int first = row;
    for (int rows; row < end; row += rows) {
        rows = rows_at(row, end);
        float *o = tile->o + row * tile->width;
        const struct chain chain = {.a = attention_tiles_row_weights(tile, row),
                                    .a_stride = 2 * KV_PAGE_TOKENS,
                                    .a_block = TILE_K,
                                    .b = values,
                                    .b_stride = 4 * stride,
                                    .columns = tile->width,
                                    .k = KV_PAGE_TOKENS,
                                    .from = tile->fresh ? NULL : o,
                                    .from_stride = (size_t)tile->width,
                                    .to = o,
                                    .to_stride = (size_t)tile->width,
                                    .next = tile->ahead,
                                    .step = tile->ahead && row == first ? 3072 : 0};
        add_rows(rows, chain);
    }
}

static const struct attention_steps steps = {.widen_rows = INT_MAX,
                                             .chunk_rows = 48,
                                             .widened = PAGE_BF16,
                                             .expand = kv_expand_avx512,
                                             .load_query = attention_tiles_load_query,
                                             .widen_values = attention_tiles_widen_values,
                                             .scores = scores,
                                             .adjust = attention_adjust_avx512,
                                             .weights = attention_tiles_weights,
                                             .add_values = add_values,
                                             .merge = attention_merge_avx512,
                                             .store = attention_store_avx512,
                                             .add_heads = index_add_heads_avx512};

void attention_tiles_avx512(const struct attention *args)
{
    attention_run(args, &steps);
}

void index_tiles_avx512(const struct index_scoring *args)
{
    index_run(args, &steps);
}
