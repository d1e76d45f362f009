// The frame of a tile with AVX-512: its sums in registers, from where the chain stood to where it
// goes.
#ifndef COLROW_DEVICE_CPU_X86_TILE_AVX512_H
#define COLROW_DEVICE_CPU_X86_TILE_AVX512_H

#include <immintrin.h>

#include "device/cpu/x86/matmul_blocks.h"
#include "device/cpu/x86/prefetch.h"
#include "device/cpu/x86/unrolled.h"

INLINE void tile_begin(const struct tile *tile, int rows, int vectors, __m512 sum[TILE_ROWS_MAX][3])
{
    UNROLLED_FOR (r, rows)
        UNROLLED_FOR (v, vectors)
            sum[r][v] = tile->from ? _mm512_loadu_ps(tile->from + r * PANEL_WIDTH + 16 * v)
                                   : _mm512_setzero_ps();
}

INLINE void tile_end(const struct tile *tile, int rows, int vectors, __m512 sum[TILE_ROWS_MAX][3])
{
    for (int level = 0; level < tile->merges; level++)
        UNROLLED_FOR (r, rows)
            UNROLLED_FOR (v, vectors) {
                const float *below =
                    tile->below - (size_t)level * tile->level + r * PANEL_WIDTH + 16 * v;
                sum[r][v] = _mm512_add_ps(_mm512_loadu_ps(below), sum[r][v]);
            }
    if (tile->bias)
        UNROLLED_FOR (r, rows)
            UNROLLED_FOR (v, vectors)
                sum[r][v] = _mm512_add_ps(sum[r][v], _mm512_loadu_ps(tile->bias + 16 * v));
    float *to = tile->to; // (once: a store might change *tile, for all that compilers know)
    const size_t stride = tile->to_stride;
    UNROLLED_FOR (r, rows)
        UNROLLED_FOR (v, vectors)
            _mm512_storeu_ps(to + (size_t)r * stride + 16 * v, sum[r][v]);
}

#endif
