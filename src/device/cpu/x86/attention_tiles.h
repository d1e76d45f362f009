// Attention in the order of tiles (docs/numerics.md section 10): the steps that AMX and FMA share;
// the first three also serve vdpbf16ps in the order of pairs. Rows of q and of weights are bf16 in
// the place of f32.
#ifndef COLROW_DEVICE_CPU_X86_ATTENTION_TILES_H
#define COLROW_DEVICE_CPU_X86_ATTENTION_TILES_H

#include "device/cpu/attention_tile.h"

void attention_tiles_load_query(const struct attention_tile *tile, int row, const void *q);
void attention_tiles_widen_values(const struct attention_tile *tile, const void *page);
void attention_tiles_weights(const struct attention_tile *tile, int row, int end);
void attention_tiles_scale_sums(const struct attention_tile *tile, int row, int end); // o *= c
// From the other order.
void attention_merge_avx512(const struct attention_tile *tile, int row, int end);
void attention_store_avx512(const struct attention_tile *tile, int row, void *out);

static inline const bf16 *attention_tiles_query(const struct attention_tile *tile, int row)
{
    return (const bf16 *)(const void *)(tile->q + row * tile->head_dim);
}

static inline const bf16 *attention_tiles_row_weights(const struct attention_tile *tile, int row)
{
    return (const bf16 *)(const void *)(tile->p + row * KV_PAGE_TOKENS);
}

#endif
