// The frame of a tile of integer weights with AVX-512 (docs/numerics.md section 14): chains of
// codes over parts of groups, each of which meets its scales in f32.
#ifndef COLROW_DEVICE_CPU_X86_INTEGER_TILE_AVX512_H
#define COLROW_DEVICE_CPU_X86_INTEGER_TILE_AVX512_H

#include "device/cpu/x86/tile_avx512.h"

// Where a tile's chains stand.
struct chain {
    const char *a, *b; // packed rows of the next pair; weights, of int4 the eight that it is in
    const char *next;  // to prefetch, one part after the other
    int skipped;       // pairs of the eight that are behind it
};

INLINE __m512 scales_16(const char *scales, enum source_type type)
{
    switch (type) {
    case SOURCE_BF16:
        return _mm512_castsi512_ps(_mm512_slli_epi32(
            _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)scales)), 16));
    case SOURCE_F16:
        return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)scales));
    case SOURCE_F32:
        break;
    }
    return _mm512_loadu_ps(scales);
}

INLINE __m512 zeros_16(const int8_t *zeros)
{
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)zeros)));
}

// A part has ended, number `part` of the tile: its zero points and scales.
INLINE void subtract_zeros(const struct tile_groups *groups, size_t part, int rows, int vectors,
                           __m512 sum[TILE_ROWS_MAX][3])
{
    const float *inputs = groups->input_sums + part * groups->input_sums_step;
    const int8_t *zeros = groups->zeros + part * groups->zeros_step;
    __m512 zero[3];
    UNROLLED_FOR (v, vectors)
        zero[v] = zeros_16(zeros + 16 * v);
    prefetch((const char *)zeros + groups->next_scales, 1);
    UNROLLED_FOR (r, rows) {
        const __m512 input = _mm512_set1_ps(inputs[r]);
        UNROLLED_FOR (v, vectors)
            sum[r][v] = _mm512_fnmadd_ps(zero[v], input, sum[r][v]);
    }
}

// Sums of many rows wait in memory, so that the chains have the registers.
enum { ROWS_IN_REGISTERS = 4 };

INLINE void end_part(const struct tile_groups *groups, size_t part, int rows, int vectors,
                     __m512 sum[TILE_ROWS_MAX][3], __m512 all[TILE_ROWS_MAX][3])
{
    const char *scales = groups->scales + part * groups->scales_step;
    const size_t bytes = scale_bytes(groups->type);
    if (groups->zeros)
        subtract_zeros(groups, part, rows, vectors, sum);
    __m512 scale[3];
    UNROLLED_FOR (v, vectors)
        scale[v] = scales_16(scales + 16 * (size_t)v * bytes, groups->type);
    prefetch(scales + groups->next_scales, 2);
    float *own = groups->own;
    UNROLLED_FOR (r, rows)
        UNROLLED_FOR (v, vectors) {
            float *to = own + r * PANEL_WIDTH + 16 * v;
            if (rows <= ROWS_IN_REGISTERS)
                all[r][v] = _mm512_fmadd_ps(scale[v], sum[r][v], all[r][v]);
            else
                _mm512_store_ps(to, _mm512_fmadd_ps(scale[v], sum[r][v], _mm512_load_ps(to)));
        }
}

INLINE void clear_sums(int rows, int vectors, __m512 sum[TILE_ROWS_MAX][3])
{
    UNROLLED_FOR (r, rows)
        UNROLLED_FOR (v, vectors)
            sum[r][v] = _mm512_setzero_ps();
}

INLINE void begin_part(const struct tile_groups *groups, int rows, int vectors,
                       __m512 sum[TILE_ROWS_MAX][3])
{
    clear_sums(rows, vectors, sum);
    if (groups->rest)
        UNROLLED_FOR (r, rows)
            UNROLLED_FOR (v, vectors)
                sum[r][v] = _mm512_loadu_ps(groups->rest + r * PANEL_WIDTH + 16 * v);
}

INLINE void keep_rest(const struct tile_groups *groups, int rows, int vectors,
                      __m512 sum[TILE_ROWS_MAX][3])
{
    UNROLLED_FOR (r, rows)
        UNROLLED_FOR (v, vectors)
            _mm512_storeu_ps(groups->rest_to + r * PANEL_WIDTH + 16 * v, sum[r][v]);
}

// Where sums of parts begin.
INLINE void begin_all(const struct tile *tile, int rows, int vectors, __m512 all[TILE_ROWS_MAX][3])
{
    if (rows <= ROWS_IN_REGISTERS) {
        tile_begin(tile, rows, vectors, all);
        return;
    }
    if (!tile->from)
        UNROLLED_FOR (r, rows)
            UNROLLED_FOR (v, vectors)
                _mm512_store_ps(tile->groups.own + r * PANEL_WIDTH + 16 * v, _mm512_setzero_ps());
}

INLINE void end_all(const struct tile *tile, int rows, int vectors, __m512 all[TILE_ROWS_MAX][3])
{
    if (rows > ROWS_IN_REGISTERS) {
        if (tile->to == tile->groups.own)
            return;
        UNROLLED_FOR (r, rows)
            UNROLLED_FOR (v, vectors)
                all[r][v] = _mm512_load_ps(tile->groups.own + r * PANEL_WIDTH + 16 * v);
    }
    tile_end(tile, rows, vectors, all);
}

// What the ISA's file has: the chains of `pairs` pairs more, `format` of integers or, widened,
// PANELS_F32 (whatever that file widens to).
INLINE void add_pairs(const struct tile *tile, struct chain *chain, enum panel_format format,
                      int rows, int vectors, int pairs, __m512 sum[TILE_ROWS_MAX][3]);
// Of two parts side by side, so many pairs each: few chains would wait for each other's
// instructions. Eight columns begin here, and where the second part does.
INLINE void add_two(struct chain *chain, enum panel_format format, int rows, int vectors, int pairs,
                    __m512 sum[TILE_ROWS_MAX][3], __m512 second[TILE_ROWS_MAX][3]);
enum { ROWS_OF_TWO = 2 };
// How far ahead of two parts of so many bytes each their weights are fetched.
INLINE size_t far_ahead(size_t part_bytes)
{
    return 2 * part_bytes < 4608 ? 4608 : 2 * part_bytes;
}

INLINE void integer_tile(const struct tile *tile, enum panel_format format, int rows, int vectors)
{
    const struct tile_groups *groups = &tile->groups;
    struct chain chain = {tile->a, tile->b, tile->next, tile->skipped};
    __m512 all[TILE_ROWS_MAX][3], sum[TILE_ROWS_MAX][3];
    begin_all(tile, rows, vectors, all);
    begin_part(groups, rows, vectors, sum);
    int left = tile->k, k = groups->first;
    size_t part = 0;
    for (; k < left; k = groups->columns) {
        if (rows <= ROWS_OF_TWO && format != PANELS_F32 && k == groups->columns && 2 * k <= left &&
            k % 8 == 0 && chain.skipped == 0) {
            __m512 second[TILE_ROWS_MAX][3];
            clear_sums(rows, vectors, second);
            add_two(&chain, format, rows, vectors, k / 2, sum, second);
            end_part(groups, part++, rows, vectors, sum, all);
            end_part(groups, part++, rows, vectors, second, all);
            left -= 2 * k;
        } else {
            add_pairs(tile, &chain, format, rows, vectors, k / 2, sum);
            end_part(groups, part++, rows, vectors, sum, all);
            left -= k;
        }
        clear_sums(rows, vectors, sum);
    }
    add_pairs(tile, &chain, format, rows, vectors, left / 2, sum);
    if (left > 0 && groups->ends)
        end_part(groups, part++, rows, vectors, sum, all);
    else if (left > 0)
        keep_rest(groups, rows, vectors, sum);
    if (part > 0)
        end_all(tile, rows, vectors, all);
}

#define INTEGER_CASES(format, rows)                                                                \
    case (rows)*64 + 48:                                                                           \
        integer_tile(tile, format, rows, 3);                                                       \
        break;                                                                                     \
    case (rows)*64 + 32:                                                                           \
        integer_tile(tile, format, rows, 2);                                                       \
        break;                                                                                     \
    case (rows)*64 + 16:                                                                           \
        integer_tile(tile, format, rows, 1);                                                       \
        break

#define INTEGER_SWITCH(format)                                                                     \
    switch (tile->rows * 64 + tile->columns) {                                                     \
        INTEGER_CASES(format, 1);                                                                  \
        INTEGER_CASES(format, 2);                                                                  \
        INTEGER_CASES(format, 3);                                                                  \
        INTEGER_CASES(format, 4);                                                                  \
        INTEGER_CASES(format, 5);                                                                  \
        INTEGER_CASES(format, 6);                                                                  \
        INTEGER_CASES(format, 7);                                                                  \
        INTEGER_CASES(format, 8);                                                                  \
    }

static void tile_int8(const struct tile *tile)
{
    INTEGER_SWITCH(PANELS_INT8)
}

static void tile_int4(const struct tile *tile)
{
    INTEGER_SWITCH(PANELS_INT4)
}

static void tile_codes(const struct tile *tile) // widened
{
    INTEGER_SWITCH(PANELS_F32)
}

static void run_integer_tile(const struct tile *tile, enum panel_format format, bool widened)
{
    if (widened)
        tile_codes(tile);
    else if (format == PANELS_INT8)
        tile_int8(tile);
    else
        tile_int4(tile);
}

#endif
