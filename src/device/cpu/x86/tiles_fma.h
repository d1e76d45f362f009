// The order of tiles (docs/numerics.md section 10) with FMA, for matmul_tiles_*.c and
// attention_tiles_*.c. The ISA's file defines `vec` of VEC floats and
//   vec_zero, vec_loadu, vec_storeu, vec_add, vec_set1, tile_fma(a, b, c): as they say
//   even_of_pairs, odd_of_pairs(const char *): the numbers of VEC pairs of bf16 in memory
//   widen_row(const bf16 *a, int k, float *even, float *odd): k numbers, reading no more than those
// before it includes this one.
#ifndef COLROW_DEVICE_CPU_X86_TILES_FMA_H
#define COLROW_DEVICE_CPU_X86_TILES_FMA_H

#include "device/cpu/x86/matmul_tiles.h"
#include "device/cpu/x86/prefetch.h"
#include "device/cpu/x86/unrolled.h"

enum { FMA_ROWS_MAX = 6, FMA_VECTORS_MAX = 6 };

// A block's rows of a, even and odd numbers apart.
struct block_rows {
    _Alignas(64) float even[FMA_ROWS_MAX][TILE_K / 2], odd[FMA_ROWS_MAX][TILE_K / 2];
};

// to = from + (even chain + odd chain), VEC * vectors columns.
INLINE void add_block(int rows, int vectors, const struct block_rows *a, const char *b,
                      size_t b_stride, int pairs, const float *from, size_t from_stride, float *to,
                      size_t to_stride, const char *next, size_t step)
{
    vec even[FMA_ROWS_MAX][FMA_VECTORS_MAX], odd[FMA_ROWS_MAX][FMA_VECTORS_MAX];
    UNROLLED_FOR (r, rows)
        UNROLLED_FOR (v, vectors) {
            even[r][v] = vec_zero();
            odd[r][v] = vec_zero();
        }
    for (int i = 0; i < pairs; i++, b += b_stride) {
        vec w[FMA_VECTORS_MAX];
        for (size_t at = 192 * (size_t)i; at < step && at < 192 * (size_t)(i + 1); at += 64)
            prefetch(next + at, 1);
        UNROLLED_FOR (v, vectors)
            w[v] = even_of_pairs(b + 4 * VEC * v);
        UNROLLED_FOR (r, rows) {
            vec x = vec_set1(a->even[r][i]);
            UNROLLED_FOR (v, vectors)
                even[r][v] = tile_fma(x, w[v], even[r][v]);
        }
        UNROLLED_FOR (v, vectors)
            w[v] = odd_of_pairs(b + 4 * VEC * v);
        UNROLLED_FOR (r, rows) {
            vec x = vec_set1(a->odd[r][i]);
            UNROLLED_FOR (v, vectors)
                odd[r][v] = tile_fma(x, w[v], odd[r][v]);
        }
    }
    UNROLLED_FOR (r, rows)
        UNROLLED_FOR (v, vectors) {
            vec sum = from ? vec_loadu(from + (size_t)r * from_stride + VEC * v) : vec_zero();
            sum = vec_add(sum, vec_add(even[r][v], odd[r][v]));
            vec_storeu(to + (size_t)r * to_stride + VEC * v, sum);
        }
}

struct chain {
    const bf16 *a; // row r's block i is at a + r * a_stride + i * a_block
    size_t a_stride, a_block;
    const char *b;   // [k/2] rows of pairs ...
    size_t b_stride; // ... so many bytes apart
    int columns, k;
    const float *from; // [rows][from_stride], or NULL for zeros
    size_t from_stride;
    float *to; // [rows][to_stride]
    size_t to_stride;
    const char *next; // to prefetch, `step` bytes with each block
    size_t step;
};

// Columns are a multiple of VEC * vectors: so many at a time.
INLINE void add_chain(int rows, int vectors, struct chain c)
{
    struct block_rows a;
    for (int k = 0; k < c.k; k += TILE_K) {
        const int rest = c.k - k < TILE_K ? c.k - k : TILE_K;
        UNROLLED_FOR (r, rows)
            widen_row(c.a + (size_t)r * c.a_stride, rest, a.even[r], a.odd[r]);
        for (int column = 0; column < c.columns; column += VEC * vectors)
            add_block(rows, vectors, &a, c.b + 4 * column, c.b_stride, rest / 2,
                      c.from ? c.from + column : NULL, c.from_stride, c.to + column, c.to_stride,
                      c.next, column ? 0 : c.step);
        c.next += c.step;
        c.a += c.a_block;
        c.b += TILE_K / 2 * c.b_stride;
        c.from = c.to;
        c.from_stride = c.to_stride;
    }
}

INLINE struct chain chain_of_part(const struct tiles_part *part)
{
    return (struct chain){.a = part->a,
                          .a_stride = part->a_stride,
                          .a_block = part->a_block,
                          .b = part->b,
                          .b_stride = (size_t)part->columns * 4,
                          .columns = part->columns,
                          .k = part->k,
                          .from = part->from,
                          .from_stride = PANEL_WIDTH,
                          .to = part->to,
                          .to_stride = PANEL_WIDTH,
                          .next = part->next,
                          .step = part->step};
}

#endif
