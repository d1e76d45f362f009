// Scores that are more than products times a scale (docs/numerics.md section 7): soft-capped, or
// with ALiBi; and an indexer's. For attention_adjust_*.c, which have included the vectors of their
// ISA.
#ifndef COLROW_DEVICE_CPU_X86_ATTENTION_ADJUST_H
#define COLROW_DEVICE_CPU_X86_ATTENTION_ADJUST_H

#include "device/cpu/attention_tile.h"

INLINE void adjust_row(const struct attention_tile *tile, float *p, bool caps, const float *slope,
                       const float *positions)
{
    const vec scale = vec_set1(tile->product_scale), cap = vec_set1(tile->softcap);
    for (int j = 0; j < KV_PAGE_TOKENS; j += VEC) {
        vec s = vec_mul(vec_loadu(p + j), scale);
        if (caps)
            s = vec_softcap(s, cap);
        if (slope)
            s = vec_fma(vec_set1(*slope), vec_loadu(positions + j), s);
        vec_storeu(p + j, s);
    }
}

INLINE void adjust_rows(const struct attention_tile *tile, int row, int end)
{
    float positions[KV_PAGE_TOKENS];
    for (int j = 0; j < KV_PAGE_TOKENS; j++)
        positions[j] = (float)(tile->position + j);
    for (; row < end; row++) {
        float *p = tile->p + row * KV_PAGE_TOKENS;
        if (!tile->slopes)
            adjust_row(tile, p, true, NULL, NULL);
        else
            adjust_row(tile, p, tile->softcap != 0, tile->slopes + row % tile->n_heads, positions);
    }
}

// An indexer's heads (section 15).
INLINE void add_heads_of(const struct attention_tile *tile, const float *weights, int n, float *out)
{
    vec sums[KV_PAGE_TOKENS / VEC];
    UNROLLED_FOR (v, KV_PAGE_TOKENS / VEC)
        sums[v] = vec_loadu(out + VEC * v);
    for (int i = 0; i < n; i++) {
        const vec weight = vec_set1(weights[i]);
        UNROLLED_FOR (v, KV_PAGE_TOKENS / VEC) {
            const vec p = vec_load(tile->p + i * KV_PAGE_TOKENS + VEC * v);
            sums[v] = vec_fma(weight, vec_above_zero(p), sums[v]);
        }
    }
    UNROLLED_FOR (v, KV_PAGE_TOKENS / VEC)
        vec_storeu(out + VEC * v, sums[v]);
}

#endif
