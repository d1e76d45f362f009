// Products of bf16 and of integer codes, which bf16 holds exactly, with vdpbf16ps, whose order
// within a pair is the contract's. Everything else is left to AVX-512F.
#include "device/cpu/x86/integer_tile_avx512.h"
#include "device/cpu/x86/rows_avx512.h"
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

// ---- integers

// 32 codes, two of each of 16 columns, from words that have a pair's nibbles in their low bits: an
// index has five bits, and what the fifth one is does not matter.
INLINE __m512i codes_of_nibbles(__m512i words)
{
    static const bf16 codes[32] __attribute__((aligned(64))) = {
        0x0000, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0, 0xc100, 0xc0e0, 0xc0c0,
        0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80, 0x0000, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0,
        0x40c0, 0x40e0, 0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80};
    return _mm512_permutexvar_epi16(words, _mm512_load_si512(codes));
}

INLINE __m512i codes_of_bytes(const char *b)
{
    const __m128i *from = (const __m128i *)(const void *)b;
    const __m512 low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_load_si128(from))),
                 high = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_load_si128(from + 1)));
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

// `pair` is a constant where this is used.
INLINE __m512i nibbles_of(__m512i words, int pair)
{
    switch (pair) {
    case 1:
        return _mm512_srli_epi16(words, 4);
    case 2:
        return _mm512_srli_epi16(words, 8);
    case 3:
        return _mm512_srli_epi16(words, 12);
    }
    return words;
}

// A pair somewhere in the eight columns.
static void widen_pair(const char *b, int columns, int pair, char *to)
{
    const __m128i shift = _mm_cvtsi32_si128(pair * 4);
    for (int at = 0; at < 4 * columns; at += 64)
        _mm512_store_si512(to + at,
                           codes_of_nibbles(_mm512_srl_epi16(_mm512_load_si512(b + at), shift)));
}

static void widen_nibbles(const char *b, int columns, int skipped, int pairs, char *to)
{
    const int line = 4 * columns;
    while (pairs > 0) {
        if (skipped > 0 || pairs < 4) {
            widen_pair(b, columns, skipped, to);
            to += line;
            pairs--;
            skipped = (skipped + 1) % 4;
            b += skipped ? 0 : line;
            continue;
        }
        for (int at = 0; at < line; at += 64) {
            const __m512i words = _mm512_load_si512(b + at);
            UNROLLED_FOR (pair, 4)
                _mm512_store_si512(to + pair * line + at,
                                   codes_of_nibbles(nibbles_of(words, pair)));
        }
        b += line;
        to += 4 * line;
        pairs -= 4;
    }
}

static void widen(const char *b, enum panel_format format, int columns, int skipped, int k,
                  void *out)
{
    char *to = out;
    if (format == PANELS_INT4) {
        widen_nibbles(b, columns, skipped, k / 2, to);
        return;
    }
    for (int i = 0; i < k / 2 * columns / 16; i++) // 16 columns of a pair, in their order
        _mm512_store_si512(to + 64 * i, codes_of_bytes(b + 32 * i));
}

INLINE void add_pair(const char *a, int rows, int vectors, const __m512i codes[3],
                     __m512 sum[TILE_ROWS_MAX][3])
{
    UNROLLED_FOR (r, rows) {
        int32_t pair;
        memcpy(&pair, a + 4 * r, sizeof pair);
        const __m512i x = _mm512_set1_epi32(pair);
        UNROLLED_FOR (v, vectors)
            sum[r][v] = _mm512_dpbf16_ps(sum[r][v], (__m512bh)x, (__m512bh)codes[v]);
    }
}

INLINE void fetch(const struct tile *tile, struct chain *chain, int rows, int lines, size_t pairs)
{
    if (rows <= NEAR_ROWS && tile->near)
        prefetch_near(chain->next, lines);
    else
        prefetch(chain->next, lines);
    chain->next += pairs * tile->step;
}

// A pair somewhere in the eight columns.
INLINE void add_nibbles(struct chain *chain, int rows, int vectors, __m512 sum[TILE_ROWS_MAX][3])
{
    const __m128i shift = _mm_cvtsi32_si128(4 * chain->skipped);
    __m512i codes[3];
    UNROLLED_FOR (v, vectors)
        codes[v] = codes_of_nibbles(_mm512_srl_epi16(_mm512_load_si512(chain->b + 64 * v), shift));
    add_pair(chain->a, rows, vectors, codes, sum);
    chain->a += 4 * rows;
    chain->skipped = (chain->skipped + 1) % 4;
    if (chain->skipped == 0)
        chain->b += 64 * vectors;
}

INLINE void add_eights(const struct tile *tile, struct chain *chain, int rows, int vectors, int n,
                       __m512 sum[TILE_ROWS_MAX][3])
{
    const char *a = chain->a, *b = chain->b;
    for (; n > 0; n--) {
        __m512i words[3], codes[3];
        UNROLLED_FOR (v, vectors)
            words[v] = _mm512_load_si512(b + 64 * v);
        UNROLLED_FOR (pair, 4) {
            UNROLLED_FOR (v, vectors)
                codes[v] = codes_of_nibbles(nibbles_of(words[v], pair));
            add_pair(a + 4 * rows * pair, rows, vectors, codes, sum);
        }
        a += 16 * rows;
        b += 64 * vectors;
        fetch(tile, chain, rows, vectors, 4);
    }
    chain->a = a;
    chain->b = b;
}

INLINE void add_two(struct chain *chain, enum panel_format format, int rows, int vectors, int pairs,
                    __m512 sum[TILE_ROWS_MAX][3], __m512 second[TILE_ROWS_MAX][3])
{
    const int lines = vectors, step = format == PANELS_INT4 ? 4 : 2; // pairs at a time
    const size_t a_bytes = 4 * (size_t)(pairs * rows);
    const size_t b_bytes = (size_t)(pairs / step * 64 * lines);
    const char *a = chain->a, *b = chain->b, *next = b + far_ahead(b_bytes);
    for (int n = pairs / step; n > 0; n--) {
        __m512i words[2][3], codes[3];
        UNROLLED_FOR (v, vectors) {
            words[0][v] = _mm512_load_si512(b + 64 * v);
            words[1][v] = _mm512_load_si512(b + b_bytes + 64 * v);
        }
        UNROLLED_FOR (pair, step) {
            const char *at = b + 32 * vectors * pair;
            UNROLLED_FOR (v, vectors)
                codes[v] = format == PANELS_INT4 ? codes_of_nibbles(nibbles_of(words[0][v], pair))
                                                 : codes_of_bytes(at + 32 * v);
            add_pair(a + 4 * rows * pair, rows, vectors, codes, sum);
            UNROLLED_FOR (v, vectors)
                codes[v] = format == PANELS_INT4 ? codes_of_nibbles(nibbles_of(words[1][v], pair))
                                                 : codes_of_bytes(at + b_bytes + 32 * v);
            add_pair(a + a_bytes + 4 * rows * pair, rows, vectors, codes, second);
        }
        a += 4 * rows * step;
        b += 64 * lines;
        prefetch(next, 2 * lines);
        next += 128 * lines;
    }
    chain->a = a + a_bytes;
    chain->b = b + b_bytes;
    chain->next = next;
}

// A pair of int8's, or of widened ones.
INLINE void add_bytes(struct chain *chain, enum panel_format format, int rows, int vectors,
                      __m512 sum[TILE_ROWS_MAX][3])
{
    __m512i codes[3];
    UNROLLED_FOR (v, vectors)
        codes[v] = format == PANELS_INT8 ? codes_of_bytes(chain->b + 32 * v)
                                         : _mm512_load_si512(chain->b + 64 * v);
    add_pair(chain->a, rows, vectors, codes, sum);
    chain->a += 4 * rows;
    chain->b += (format == PANELS_INT8 ? 32 : 64) * vectors;
}

INLINE void add_pairs(const struct tile *tile, struct chain *chain, enum panel_format format,
                      int rows, int vectors, int pairs, __m512 sum[TILE_ROWS_MAX][3])
{
    if (format == PANELS_INT4) {
        for (; pairs > 0 && chain->skipped > 0; pairs--)
            add_nibbles(chain, rows, vectors, sum);
        add_eights(tile, chain, rows, vectors, pairs / 4, sum);
        for (pairs %= 4; pairs > 0; pairs--)
            add_nibbles(chain, rows, vectors, sum);
        return;
    }
    const int step = format == PANELS_INT8 && rows <= ROWS_IN_REGISTERS ? 4 : 1;
    for (; pairs >= step; pairs -= step) {
        UNROLLED_FOR (pair, step)
            add_bytes(chain, format, rows, vectors, sum);
        fetch(tile, chain, rows, format == PANELS_INT8 ? (step * vectors + 1) / 2 : 1,
              (size_t)step);
    }
    for (; pairs > 0 && step > 1; pairs--)
        add_bytes(chain, format, rows, vectors, sum);
}

static void run_tile(const struct tile *tile, enum panel_format format, bool widened)
{
    if (panel_format_is_integer(format)) {
        run_integer_tile(tile, format, widened);
        return;
    }
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
                                               .widen_int8 = 25,
                                               .widen_int4 = 25,
                                               .few_rows = 2,
                                               .near_rows = NEAR_ROWS,
                                               .pack = pack,
                                               .widen = widen,
                                               .tile = run_tile,
                                               .activate_mul = activate_mul_avx512bf16};
    if (args->a_is_bf16)
        matmul_blocks(args, &kernel);
    else
        matmul_avx512(args);
}
