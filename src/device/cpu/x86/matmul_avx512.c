// Products with AVX-512F: 8 rows x 48 columns of f32 sums in 24 registers.
#include <immintrin.h>

#include "device/cpu/x86/integer_tile_avx512.h"
#include "device/cpu/x86/rows_avx512.h"
#include "device/cpu/x86/x86.h"

enum { NEAR_ROWS = 4 };

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
            __m256i one =
                i % 8 < 4 ? _mm512_castsi512_si256(two) : _mm512_extracti64x4_epi64(two, 1);
            float *row = to + (size_t)(at + i) * 2 * (size_t)rows;
            _mm256_mask_storeu_epi32(row, mask, _mm256_slli_epi32(one, 16));
            _mm256_mask_storeu_epi32(row + rows, mask,
                                     _mm256_and_si256(one, _mm256_set1_epi32((int)0xffff0000u)));
        }
    }
}

// ---- integers: 16 codes as f32

INLINE __m512 codes_of_nibbles(__m512i dwords) // of the low four bits
{
    const __m512 codes = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
    return _mm512_permutexvar_ps(dwords, codes);
}

// Of a pair somewhere in the eight columns, after `skipped` others.
INLINE __m512 codes_of_eight(const char *b, int skipped, int odd)
{
    const __m128i shift = _mm_cvtsi32_si128(4 * skipped + 16 * odd);
    return codes_of_nibbles(_mm512_srl_epi32(_mm512_load_si512(b), shift));
}

INLINE __m512 codes_of_bytes(const char *b, int odd)
{
    const __m512i words = _mm512_cvtepi8_epi16(_mm256_load_si256((const __m256i *)(const void *)b));
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(odd ? words : _mm512_slli_epi32(words, 16), 16));
}

static void widen_codes(const char *b, enum panel_format format, int columns, int skipped, int k,
                        float *out)
{
    for (int pair = skipped; pair < skipped + k / 2; pair++, out += 2 * columns) {
        for (int column = 0; column < columns; column += 16)
            UNROLLED_FOR (odd, 2) {
                __m512 codes =
                    format == PANELS_INT4
                        ? codes_of_eight(b + (pair / 4 * columns + column) * 4, pair % 4, odd)
                        : codes_of_bytes(b + (pair * columns + column) * 2, odd);
                _mm512_store_ps(out + odd * columns + column, codes);
            }
    }
}

static void widen(const char *b, enum panel_format format, int columns, int skipped, int k,
                  void *to)
{
    float *out = to;
    if (panel_format_is_integer(format)) {
        widen_codes(b, format, columns, skipped, k, out);
        return;
    }
    if (format == PANELS_F16) {
        for (size_t i = 0; i < (size_t)k * (size_t)columns; i += 16)
            _mm512_store_ps(out + i, _mm512_cvtph_ps(_mm256_load_si256(
                                         (const __m256i *)(const void *)(b + i * 2))));
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
        return _mm512_cvtph_ps(_mm256_load_si256(
            (const __m256i *)(const void *)(b + 2 * (columns * odd + 16 * vector))));
    case PANELS_F32:
    case PANELS_INT8: // add_pairs()
    case PANELS_INT4:
        break;
    }
    return _mm512_load_ps(b + 4 * (columns * odd + 16 * vector));
}

// sum += x * w, one rounding. In assembly, since compilers pick the forms that overwrite a factor
// and then copy: each copy of a 512-bit register takes a slot of the two FMA units.
INLINE void multiply_add(__m512 *sum, __m512 x, __m512 w)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(w));
}

// `widened`: weights are f32 whatever the format, they lie in the cache, and the next ones come
// slowly.
INLINE void tile_of(const struct tile *tile, enum panel_format format, bool widened, int rows,
                    int vectors)
{
    __m512 sum[TILE_ROWS_MAX][3];
    tile_begin(tile, rows, vectors, sum);
    const int columns = 16 * vectors;
    const float *a = tile->a;
    const char *b = tile->b, *next = tile->next;
    const int k_bytes = columns * (format == PANELS_F32 ? 4 : 2);
    for (int k = 0; k < tile->k; k += 2) {
        UNROLLED_FOR (even, 2) { // the odd element first
            const int odd = 1 - even;
            __m512 w[3];
            UNROLLED_FOR (v, vectors)
                w[v] = weights_16(b, format, columns, v, odd);
            UNROLLED_FOR (r, rows) {
                __m512 x = _mm512_set1_ps(a[odd * rows + r]);
                UNROLLED_FOR (v, vectors)
                    multiply_add(&sum[r][v], x, w[v]);
            }
        }
        a += 2 * rows;
        b += 2 * k_bytes;
        if (rows <= NEAR_ROWS && tile->near)
            prefetch_near(next, 2 * k_bytes / 64);
        else
            prefetch(next, widened ? 1 : 2 * k_bytes / 64);
        next += tile->step;
    }
    tile_end(tile, rows, vectors, sum);
}

INLINE void add_codes(const float *a, int rows, int vectors, const __m512 codes[3],
                      __m512 sum[TILE_ROWS_MAX][3])
{
    UNROLLED_FOR (r, rows) {
        const __m512 x = _mm512_set1_ps(a[r]);
        UNROLLED_FOR (v, vectors)
            multiply_add(&sum[r][v], x, codes[v]);
    }
}

INLINE void add_pairs(const struct tile *tile, struct chain *chain, enum panel_format format,
                      int rows, int vectors, int pairs, __m512 sum[TILE_ROWS_MAX][3])
{
    const int k_bytes = vectors * (format == PANELS_F32 ? 128 : 32);
    for (; pairs > 0; pairs--) {
        const float *a = (const float *)(const void *)chain->a;
        UNROLLED_FOR (even, 2) { // the odd element first
            const int odd = 1 - even;
            __m512 codes[3];
            UNROLLED_FOR (v, vectors)
                codes[v] =
                    format == PANELS_INT4   ? codes_of_eight(chain->b + 64 * v, chain->skipped, odd)
                    : format == PANELS_INT8 ? codes_of_bytes(chain->b + 32 * v, odd)
                                            : _mm512_load_ps(chain->b + 64 * (vectors * odd + v));
            add_codes(a + odd * rows, rows, vectors, codes, sum);
        }
        chain->a += 8 * rows;
        chain->skipped = (chain->skipped + 1) % 4;
        if (format != PANELS_INT4)
            chain->b += k_bytes;
        else if (chain->skipped == 0)
            chain->b += 64 * vectors;
        if (format != PANELS_INT4 || chain->skipped == 0)
            prefetch(chain->next, format == PANELS_F32 ? 1 : vectors);
        chain->next += tile->step;
    }
}

INLINE void add_two(struct chain *chain, enum panel_format format, int rows, int vectors, int pairs,
                    __m512 sum[TILE_ROWS_MAX][3], __m512 second[TILE_ROWS_MAX][3])
{
    const int step = format == PANELS_INT4 ? 4 : 2; // pairs at a time
    const size_t a_bytes = 8 * (size_t)(pairs * rows);
    const size_t b_bytes = (size_t)(pairs / step * 64 * vectors);
    const char *a = chain->a, *b = chain->b, *next = b + far_ahead(b_bytes);
    for (int n = pairs / step; n > 0; n--) {
        UNROLLED_FOR (pair, step)
            UNROLLED_FOR (even, 2) { // the odd element first
                const int odd = 1 - even, at = 4 * rows * (2 * pair + odd);
                const char *from = b + 32 * vectors * pair;
                __m512 codes[2][3];
                UNROLLED_FOR (v, vectors)
                    UNROLLED_FOR (i, 2)
                        codes[i][v] =
                            format == PANELS_INT4
                                ? codes_of_eight(b + (size_t)i * b_bytes + 64 * v, pair, odd)
                                : codes_of_bytes(from + (size_t)i * b_bytes + 32 * v, odd);
                add_codes((const float *)(const void *)(a + at), rows, vectors, codes[0], sum);
                add_codes((const float *)(const void *)(a + a_bytes + at), rows, vectors, codes[1],
                          second);
            }
        a += 8 * rows * step;
        b += 64 * vectors;
        prefetch(next, 2 * vectors);
        next += 128 * vectors;
    }
    chain->a = a + a_bytes;
    chain->b = b + b_bytes;
    chain->next = next;
}

#define TILE_CASES(format, widened, rows)                                                          \
    case (rows)*64 + 48:                                                                           \
        tile_of(tile, format, widened, rows, 3);                                                   \
        break;                                                                                     \
    case (rows)*64 + 32:                                                                           \
        tile_of(tile, format, widened, rows, 2);                                                   \
        break;                                                                                     \
    case (rows)*64 + 16:                                                                           \
        tile_of(tile, format, widened, rows, 1);                                                   \
        break

#define TILE_SWITCH(format, widened)                                                               \
    switch (tile->rows * 64 + tile->columns) {                                                     \
        TILE_CASES(format, widened, 1);                                                            \
        TILE_CASES(format, widened, 2);                                                            \
        TILE_CASES(format, widened, 3);                                                            \
        TILE_CASES(format, widened, 4);                                                            \
        TILE_CASES(format, widened, 5);                                                            \
        TILE_CASES(format, widened, 6);                                                            \
        TILE_CASES(format, widened, 7);                                                            \
        TILE_CASES(format, widened, 8);                                                            \
    }

#include "device/cpu/x86/tile_formats.h"

void matmul_avx512(const struct matmul *args)
{
    static const struct block_kernel kernel = {.rows = 8,
                                               .widen_rows = 25,
                                               .widen_int8 = 9,
                                               .widen_int4 = 9,
                                               .block_k = 128,
                                               .near_rows = NEAR_ROWS,
                                               .pack = pack,
                                               .widen = widen,
                                               .tile = run_tile,
                                               .activate_mul = activate_mul_avx512};
    matmul_blocks(args, &kernel);
}
