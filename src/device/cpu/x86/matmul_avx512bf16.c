// Products of bf16 with vdpbf16ps, whose order within a pair is the contract's. Everything else is
// left to AVX-512F.
#include "device/cpu/x86/rows_avx512.h"
#include "device/cpu/x86/tile_avx512.h"
#include "device/cpu/x86/x86.h"

enum { NEAR_ROWS = 5 };

static void pack(const void *a, bool a_is_bf16, size_t a_stride, int rows, int k, void *out)
{
    (void)a_is_bf16;
    if (rows == 1)
        memcpy(out, a, (size_t)k * sizeof(bf16));
    else
        pack_dwords(a, a_stride * sizeof(bf16), rows, k / 2, out);
}

INLINE void tile_of(const struct tile *tile, int rows, int vectors)
{
    __m512 sum[TILE_ROWS_MAX][3];
    tile_begin(tile, rows, vectors, sum);
    const char *a = tile->a, *b = tile->b, *next = tile->next;
    for (int k = 0; k < tile->k; k += 2) {
        __m512i w[3];
        UNROLLED_FOR (v, vectors)
            w[v] = _mm512_load_si512(b + 64 * v);
        UNROLLED_FOR (r, rows) {
            int32_t pair;
            memcpy(&pair, a + 4 * r, sizeof pair);
            __m512i x = _mm512_set1_epi32(pair);
            UNROLLED_FOR (v, vectors)
                sum[r][v] = _mm512_dpbf16_ps(sum[r][v], (__m512bh)x, (__m512bh)w[v]);
        }
        a += 4 * rows;
        b += 64 * vectors;
        if (rows <= NEAR_ROWS && tile->near)
            prefetch_near(next, vectors);
        else
            prefetch(next, vectors);
        next += tile->step;
    }
    tile_end(tile, rows, vectors, sum);
}

#define TILE_CASES(rows)                                                                           \
    case (rows)*64 + 48:                                                                           \
        tile_of(tile, rows, 3);                                                                    \
        break;                                                                                     \
    case (rows)*64 + 32:                                                                           \
        tile_of(tile, rows, 2);                                                                    \
        break;                                                                                     \
    case (rows)*64 + 16:                                                                           \
        tile_of(tile, rows, 1);                                                                    \
        break

static void run_tile(const struct tile *tile, enum panel_format format, bool widened)
{
    (void)format;
    (void)widened;
    switch (tile->rows * 64 + tile->columns) {
        TILE_CASES(1);
        TILE_CASES(2);
        TILE_CASES(3);
        TILE_CASES(4);
        TILE_CASES(5);
        TILE_CASES(6);
        TILE_CASES(7);
        TILE_CASES(8);
    }
}

void matmul_avx512bf16(const struct matmul *args)
{
    static const struct block_kernel kernel = {.rows = 8,
                                               .a_is_pairs = true,
                                               .block_k = 256,
                                               .few_rows = 2,
                                               .near_rows = NEAR_ROWS,
                                               .pack = pack,
                                               .tile = run_tile,
                                               .activate_mul = activate_mul_avx512bf16};
    if (args->a_is_bf16)
        matmul_blocks(args, &kernel);
    else
        matmul_avx512(args);
}
