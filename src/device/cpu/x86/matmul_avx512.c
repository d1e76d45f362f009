// Products with AVX-512F: 8 rows x 48 columns of f32 sums in 24 registers.
#include <immintrin.h>

#include "device/cpu/x86/matmul_blocks.h"
#include "device/cpu/x86/rows_avx512.h"
#include "device/cpu/x86/x86.h"

#define INLINE static inline __attribute__((always_inline))

INLINE __m512 odd_of_pairs(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000u)));
}

INLINE __m512 even_of_pairs(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}

static void pack(const void *a, bool a_is_bf16, size_t a_stride, int rows, int k, void *out)
{
    float *to = out;
    if (!a_is_bf16) {
        if (rows == 1)
            memcpy(out, a, (size_t)k * sizeof(float));
        else
            pack_dwords(a, a_stride * 4, rows, k, out);
        return;
    }
    // Pairs of bf16 move as dwords and are widened on the way out.
    const __mmask8 mask = (__mmask8)((1u << rows) - 1);
    const int n = k / 2;
    for (int at = 0; at < n; at += 16) {
        __m512i in[8], pairs[8];
        load_rows(a, a_stride * 2, rows, at, n, in);
        transpose_8x16(in, pairs);
        for (int i = 0; i < 16 && at + i < n; i++) {
            __m512i two = pairs[i / 8 * 4 + i % 4];
            __m256i one = i % 8 < 4 ? _mm512_castsi512_si256(two) : _mm512_extracti64x4_epi64(two, 1);
            float *row = to + (size_t)(at + i) * 2 * (size_t)rows;
            _mm256_mask_storeu_epi32(row, mask, _mm256_slli_epi32(one, 16));
            _mm256_mask_storeu_epi32(row + rows, mask, _mm256_and_si256(one, _mm256_set1_epi32((int)0xffff0000u)));
        }
    }
}

static void widen(const char *b, enum panel_format format, int columns, int k, float *out)
{
    if (format == PANELS_F16) {
        for (size_t i = 0; i < (size_t)k * (size_t)columns; i += 16)
            _mm512_store_ps(out + i, _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)(b + i * 2))));
        return;
    }
    for (int pair = 0; pair < k / 2; pair++, out += 2 * columns, b += 4 * columns) {
        for (int column = 0; column < columns; column += 16) {
            __m512i pairs = _mm512_load_si512(b + 4 * column);
            _mm512_store_ps(out + column, even_of_pairs(pairs));
            _mm512_store_ps(out + columns + column, odd_of_pairs(pairs));
        }
    }
}

// 16 weights of k + `odd`, k even.
INLINE __m512 weights_16(const char *b, enum panel_format format, int columns, int vector, int odd)
{
    switch (format) {
    case PANELS_BF16: {
        __m512i pairs = _mm512_load_si512(b + 64 * vector);
        return odd ? odd_of_pairs(pairs) : even_of_pairs(pairs);
    }
    case PANELS_F16:
        return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)(b + 2 * (columns * odd + 16 * vector))));
    case PANELS_F32:
        break;
    }
    return _mm512_load_ps(b + 4 * (columns * odd + 16 * vector));
}

INLINE void finish(const struct tile *tile, int rows, int vectors, __m512 sum[TILE_ROWS_MAX][3])
{
    for (int level = 0; level < tile->merges; level++)
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++) {
                const float *below = tile->below - (size_t)level * tile->level + r * PANEL_WIDTH + 16 * v;
                sum[r][v] = _mm512_add_ps(_mm512_loadu_ps(below), sum[r][v]);
            }
    if (tile->bias)
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++)
                sum[r][v] = _mm512_add_ps(sum[r][v], _mm512_loadu_ps(tile->bias + 16 * v));
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++)
            _mm512_storeu_ps(tile->to + (size_t)r * tile->to_stride + 16 * v, sum[r][v]);
}

INLINE void tile_of(const struct tile *tile, enum panel_format format, int rows, int vectors)
{
    __m512 sum[TILE_ROWS_MAX][3];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++)
            sum[r][v] = tile->from ? _mm512_loadu_ps(tile->from + r * PANEL_WIDTH + 16 * v) : _mm512_setzero_ps();

    const int columns = 16 * vectors;
    const float *a = tile->a;
    const char *b = tile->b;
    for (int k = 0; k < tile->k; k += 2) {
#pragma GCC unroll 2
        for (int odd = 1; odd >= 0; odd--) {
            __m512 w[3];
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++)
                w[v] = weights_16(b, format, columns, v, odd);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                __m512 x = _mm512_set1_ps(a[odd * rows + r]);
#pragma GCC unroll 3
                for (int v = 0; v < vectors; v++)
                    sum[r][v] = _mm512_fmadd_ps(x, w[v], sum[r][v]);
            }
        }
        a += 2 * rows;
        b += 2 * columns * (format == PANELS_F32 ? 4 : 2);
    }
    finish(tile, rows, vectors, sum);
}

#define TILE_CASES(format, rows)                                                                   \
    case (rows) * 64 + 48:                                                                         \
        tile_of(tile, format, rows, 3);                                                            \
        break;                                                                                     \
    case (rows) * 64 + 32:                                                                         \
        tile_of(tile, format, rows, 2);                                                            \
        break;                                                                                     \
    case (rows) * 64 + 16:                                                                         \
        tile_of(tile, format, rows, 1);                                                            \
        break

#define TILE_SWITCH(format)                                                                        \
    switch (tile->rows * 64 + tile->columns) {                                                     \
        TILE_CASES(format, 1);                                                                     \
        TILE_CASES(format, 2);                                                                     \
        TILE_CASES(format, 3);                                                                     \
        TILE_CASES(format, 4);                                                                     \
        TILE_CASES(format, 5);                                                                     \
        TILE_CASES(format, 6);                                                                     \
        TILE_CASES(format, 7);                                                                     \
        TILE_CASES(format, 8);                                                                     \
    }

static void tile_bf16(const struct tile *tile)
{
    TILE_SWITCH(PANELS_BF16)
}

static void tile_f16(const struct tile *tile)
{
    TILE_SWITCH(PANELS_F16)
}

static void tile_f32(const struct tile *tile)
{
    TILE_SWITCH(PANELS_F32)
}

static void run_tile(const struct tile *tile, enum panel_format format)
{
    switch (format) {
    case PANELS_BF16:
        tile_bf16(tile);
        break;
    case PANELS_F16:
        tile_f16(tile);
        break;
    case PANELS_F32:
        tile_f32(tile);
        break;
    }
}

void matmul_avx512(const struct matmul *args)
{
    static const struct block_kernel kernel = {
        .rows = 8, .widen_rows = 17, .block_k = 256, .pack = pack, .widen = widen, .tile = run_tile};
    matmul_blocks(args, &kernel);
}
