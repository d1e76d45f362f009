// Products with AVX2 and FMA: 4 rows x 24 columns of f32 sums in 12 of the 16 registers; 1 or 2
// rows x 48 for decode.
#include <assert.h>
#include <immintrin.h>

#include "device/cpu/x86/matmul_blocks.h"
#include "device/cpu/x86/prefetch.h"
#include "device/cpu/x86/unrolled.h"
#include "device/cpu/x86/x86.h"

enum { ROWS = 4, VECTORS = 6 }; // of a tile at most, but not both

INLINE __m256i high_halves(void)
{
    return _mm256_set1_epi32((int)0xffff0000u);
}

INLINE __m256 odd_of_pairs(__m256i pairs)
{
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, high_halves()));
}

INLINE __m256 even_of_pairs(__m256i pairs)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}

// ---- rows, side by side

// All ones in the first `n` of 8.
INLINE __m256i first(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// Dwords [at, at + 8) of up to 4 rows, transposed: out[i] holds the rows of dword i, then those of
// dword i + 4. What lies past `n` or past the rows is zero and not touched.
INLINE void load_transposed(const char *a, size_t stride_bytes, int rows, int at, int n,
                            __m256i out[4])
{
    __m256i row[4], mask = first(n - at);
    UNROLLED_FOR (r, 4) {
        row[r] = _mm256_setzero_si256();
        if (r < rows)
            row[r] = _mm256_maskload_epi32(
                (const int *)(const void *)(a + (size_t)r * stride_bytes + (size_t)at * 4), mask);
    }
    __m256i low01 = _mm256_unpacklo_epi32(row[0], row[1]),
            high01 = _mm256_unpackhi_epi32(row[0], row[1]);
    __m256i low23 = _mm256_unpacklo_epi32(row[2], row[3]),
            high23 = _mm256_unpackhi_epi32(row[2], row[3]);
    out[0] = _mm256_unpacklo_epi64(low01, low23);
    out[1] = _mm256_unpackhi_epi64(low01, low23);
    out[2] = _mm256_unpacklo_epi64(high01, high23);
    out[3] = _mm256_unpackhi_epi64(high01, high23);
}

static void pack(const void *a, bool a_is_bf16, size_t a_stride, int rows, int k, void *out)
{
    const int n = a_is_bf16 ? k / 2 : k;
    const size_t stride_bytes = a_stride * (a_is_bf16 ? 2 : 4);
    const __m128i mask = _mm256_castsi256_si128(first(rows));
    int *to = out;
    for (int at = 0; at < n; at += 8) {
        __m256i transposed[4];
        load_transposed(a, stride_bytes, rows, at, n, transposed);
        for (int i = 0; i < 8 && at + i < n; i++) {
            __m256i two = transposed[i % 4];
            __m128i one = i < 4 ? _mm256_castsi256_si128(two) : _mm256_extracti128_si256(two, 1);
            if (a_is_bf16) {
                _mm_maskstore_epi32(to, mask, _mm_slli_epi32(one, 16));
                _mm_maskstore_epi32(to + rows, mask,
                                    _mm_and_si128(one, _mm256_castsi256_si128(high_halves())));
                to += 2 * rows;
            } else {
                _mm_maskstore_epi32(to, mask, one);
                to += rows;
            }
        }
    }
}

// ---- weights

// 8 codes of k + `odd`, of pairs of bytes.
INLINE __m256 codes_of_bytes(const char *b, int odd)
{
    const __m256i words = _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)(const void *)b));
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(odd ? words : _mm256_slli_epi32(words, 16), 16));
}

// Of a pair somewhere in int4's eight columns, after `skipped` others.
INLINE __m256 codes_of_eight(const char *b, int skipped, int odd)
{
    const __m128i shift = _mm_cvtsi32_si128(28 - 4 * skipped - 16 * odd);
    const __m256i high =
        _mm256_sll_epi32(_mm256_load_si256((const __m256i *)(const void *)b), shift);
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(high, 28));
}

static void widen_codes(const char *b, enum panel_format format, int columns, int skipped, int k,
                        float *out)
{
    for (int pair = skipped; pair < skipped + k / 2; pair++, out += 2 * columns)
        for (int column = 0; column < columns; column += 8)
            UNROLLED_FOR (odd, 2) {
                __m256 codes =
                    format == PANELS_INT4
                        ? codes_of_eight(b + (pair / 4 * columns + column) * 4, pair % 4, odd)
                        : codes_of_bytes(b + (pair * columns + column) * 2, odd);
                _mm256_store_ps(out + odd * columns + column, codes);
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
        for (size_t i = 0; i < (size_t)k * (size_t)columns; i += 8)
            _mm256_store_ps(out + i, _mm256_cvtph_ps(_mm_load_si128(
                                         (const __m128i *)(const void *)(b + i * 2))));
        return;
    }
    for (int pair = 0; pair < k / 2; pair++, out += 2 * columns, b += 4 * columns) {
        for (int column = 0; column < columns; column += 8) {
            __m256i pairs = _mm256_load_si256((const __m256i *)(const void *)(b + 4 * column));
            _mm256_store_ps(out + column, even_of_pairs(pairs));
            _mm256_store_ps(out + columns + column, odd_of_pairs(pairs));
        }
    }
}

// 8 weights of k + `odd`, k even; `b` is that of the first column.
INLINE __m256 weights_8(const char *b, enum panel_format format, int columns, int vector, int odd)
{
    switch (format) {
    case PANELS_BF16: {
        __m256i pairs = _mm256_load_si256((const __m256i *)(const void *)(b + 32 * vector));
        return odd ? odd_of_pairs(pairs) : even_of_pairs(pairs);
    }
    case PANELS_F16:
        return _mm256_cvtph_ps(
            _mm_load_si128((const __m128i *)(const void *)(b + 2 * (columns * odd + 8 * vector))));
    case PANELS_F32:
    case PANELS_INT8: // which are always widened
    case PANELS_INT4:
        break;
    }
    return _mm256_load_ps((const float *)(const void *)(b + 4 * (columns * odd + 8 * vector)));
}

// ---- tiles

// sum += x * w, one rounding; in assembly, since compilers pick the forms that overwrite a factor
// and then copy.
INLINE void multiply_add(__m256 *sum, __m256 x, __m256 w)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(*sum) : "x"(x), "x"(w));
}

// The columns from `column` on.
INLINE void tile_begin(const struct tile *tile, int column, int rows, int vectors,
                       __m256 sum[ROWS][VECTORS])
{
    UNROLLED_FOR (r, rows)
        UNROLLED_FOR (v, vectors)
            sum[r][v] = tile->from ? _mm256_loadu_ps(tile->from + r * PANEL_WIDTH + column + 8 * v)
                                   : _mm256_setzero_ps();
}

INLINE void tile_end(const struct tile *tile, int column, int rows, int vectors,
                     __m256 sum[ROWS][VECTORS])
{
    for (int level = 0; level < tile->merges; level++)
        UNROLLED_FOR (r, rows)
            UNROLLED_FOR (v, vectors) {
                const float *below = tile->below - (size_t)level * tile->level + r * PANEL_WIDTH;
                sum[r][v] = _mm256_add_ps(_mm256_loadu_ps(below + column + 8 * v), sum[r][v]);
            }
    if (tile->bias)
        UNROLLED_FOR (r, rows)
            UNROLLED_FOR (v, vectors)
                sum[r][v] = _mm256_add_ps(sum[r][v], _mm256_loadu_ps(tile->bias + column + 8 * v));
    float *to =
        tile->to + column; // (once: a store might change *tile, for all that compilers know)
    const size_t stride = tile->to_stride;
    UNROLLED_FOR (r, rows)
        UNROLLED_FOR (v, vectors)
            _mm256_storeu_ps(to + (size_t)r * stride + 8 * v, sum[r][v]);
}

// `columns` of the panel, of which 8 * `vectors` from `column` on are computed here; the first part
// prefetches for all.
INLINE void part_of(const struct tile *tile, enum panel_format format, bool widened, int columns,
                    int column, int rows, int vectors)
{
    __m256 sum[ROWS][VECTORS];
    tile_begin(tile, column, rows, vectors, sum);
    const int k_bytes = columns * (format == PANELS_F32 ? 4 : 2);
    const float *a = tile->a;
    const char *b = tile->b + column * (format == PANELS_F16 ? 2 : 4), *next = tile->next;
    for (int k = 0; k < tile->k; k += 2) {
        UNROLLED_FOR (even, 2) { // the odd element first
            const int odd = 1 - even;
            __m256 factor[VECTORS > ROWS ? VECTORS : ROWS]; // the side that is kept, so that all
                                                            // fit into 16 registers
            if (vectors <= 3) {
                UNROLLED_FOR (v, vectors)
                    factor[v] = weights_8(b, format, columns, v, odd);
                UNROLLED_FOR (r, rows) {
                    __m256 x = _mm256_set1_ps(a[odd * rows + r]);
                    UNROLLED_FOR (v, vectors)
                        multiply_add(&sum[r][v], x, factor[v]);
                }
            } else {
                UNROLLED_FOR (r, rows)
                    factor[r] = _mm256_set1_ps(a[odd * rows + r]);
                UNROLLED_FOR (v, vectors) {
                    __m256 w = weights_8(b, format, columns, v, odd);
                    UNROLLED_FOR (r, rows)
                        multiply_add(&sum[r][v], factor[r], w);
                }
            }
        }
        a += 2 * rows;
        b += 2 * k_bytes;
        if (column == 0) {
            prefetch(next, widened ? 1 : 2 * k_bytes / 64);
            next += tile->step;
        }
    }
    tile_end(tile, column, rows, vectors, sum);
}

INLINE void tile_of(const struct tile *tile, enum panel_format format, bool widened, int columns,
                    int rows)
{
    if (rows <= 2 || columns == 16) {
        part_of(tile, format, widened, columns, 0, rows, columns / 8);
        return;
    }
    part_of(tile, format, widened, columns, 0, rows, columns / 16);
    part_of(tile, format, widened, columns, columns / 2, rows, columns / 16);
}

// ---- tiles of integers, always widened (docs/numerics.md section 14)

INLINE __m256 scales_8(const char *scales, enum source_type type, int column)
{
    switch (type) {
    case SOURCE_BF16:
        return _mm256_castsi256_ps(
            _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(
                                  (const __m128i *)(const void *)(scales + 2 * column))),
                              16));
    case SOURCE_F16:
        return _mm256_cvtph_ps(
            _mm_loadu_si128((const __m128i *)(const void *)(scales + 2 * column)));
    case SOURCE_F32:
        break;
    }
    return _mm256_loadu_ps((const float *)(const void *)scales + column);
}

INLINE __m256 zeros_8(const int8_t *zeros)
{
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)zeros)));
}

// A part of a group has ended, number `part` of the tile.
INLINE void end_part(const struct tile_groups *groups, size_t part, int column, int rows,
                     int vectors, __m256 sum[ROWS][VECTORS], __m256 all[ROWS][VECTORS])
{
    const char *scales = groups->scales + part * groups->scales_step;
    UNROLLED_FOR (v, vectors) {
        const __m256 scale = scales_8(scales, groups->type, column + 8 * v);
        if (groups->zeros) {
            const __m256 zero = zeros_8(groups->zeros + part * groups->zeros_step + column + 8 * v);
            UNROLLED_FOR (r, rows) {
                const float *inputs = groups->input_sums + part * groups->input_sums_step;
                sum[r][v] = _mm256_fnmadd_ps(zero, _mm256_set1_ps(inputs[r]), sum[r][v]);
            }
        }
        UNROLLED_FOR (r, rows)
            all[r][v] = _mm256_fmadd_ps(scale, sum[r][v], all[r][v]);
    }
}

INLINE void add_pairs(const float **a, const float **b, int columns, int rows, int vectors,
                      int pairs, __m256 sum[ROWS][VECTORS])
{
    for (; pairs > 0; pairs--, *a += 2 * rows, *b += 2 * columns)
        UNROLLED_FOR (even, 2) { // the odd element first
            const int odd = 1 - even;
            UNROLLED_FOR (v, vectors) {
                const __m256 codes = _mm256_load_ps(*b + columns * odd + 8 * v);
                UNROLLED_FOR (r, rows)
                    multiply_add(&sum[r][v], _mm256_set1_ps((*a)[odd * rows + r]), codes);
            }
        }
}

INLINE void integer_part_of(const struct tile *tile, int columns, int column, int rows, int vectors)
{
    const struct tile_groups *groups = &tile->groups;
    const float *a = tile->a, *b = (const float *)(const void *)tile->b + column;
    __m256 all[ROWS][VECTORS], sum[ROWS][VECTORS];
    tile_begin(tile, column, rows, vectors, all);
    UNROLLED_FOR (r, rows)
        UNROLLED_FOR (v, vectors)
            sum[r][v] = groups->rest
                            ? _mm256_loadu_ps(groups->rest + r * PANEL_WIDTH + column + 8 * v)
                            : _mm256_setzero_ps();
    int left = tile->k, k = groups->first;
    size_t part = 0;
    for (; k < left; left -= k, k = groups->columns) {
        add_pairs(&a, &b, columns, rows, vectors, k / 2, sum);
        end_part(groups, part++, column, rows, vectors, sum, all);
        UNROLLED_FOR (r, rows)
            UNROLLED_FOR (v, vectors)
                sum[r][v] = _mm256_setzero_ps();
    }
    add_pairs(&a, &b, columns, rows, vectors, left / 2, sum);
    if (groups->ends)
        end_part(groups, part++, column, rows, vectors, sum, all);
    else
        UNROLLED_FOR (r, rows)
            UNROLLED_FOR (v, vectors)
                _mm256_storeu_ps(groups->rest_to + r * PANEL_WIDTH + column + 8 * v, sum[r][v]);
    if (part > 0)
        tile_end(tile, column, rows, vectors, all);
}

INLINE void integer_tile(const struct tile *tile, int columns, int rows)
{
    if (rows <= 2 || columns == 16) {
        integer_part_of(tile, columns, 0, rows, columns / 8);
        return;
    }
    integer_part_of(tile, columns, 0, rows, columns / 16);
    integer_part_of(tile, columns, columns / 2, rows, columns / 16);
}

#define INTEGER_CASES(columns)                                                                     \
    case (columns) + 1:                                                                            \
        integer_tile(tile, columns, 1);                                                            \
        break;                                                                                     \
    case (columns) + 2:                                                                            \
        integer_tile(tile, columns, 2);                                                            \
        break;                                                                                     \
    case (columns) + 3:                                                                            \
        integer_tile(tile, columns, 3);                                                            \
        break;                                                                                     \
    case (columns) + 4:                                                                            \
        integer_tile(tile, columns, 4);                                                            \
        break

static void run_integer_tile(const struct tile *tile, enum panel_format format, bool widened)
{
    (void)format;
    assert(widened);
    switch (tile->columns + tile->rows) {
        INTEGER_CASES(16);
        INTEGER_CASES(32);
        INTEGER_CASES(48);
    }
}

#define TILE_CASES(format, widened, columns)                                                       \
    case (columns) + 1:                                                                            \
        tile_of(tile, format, widened, columns, 1);                                                \
        break;                                                                                     \
    case (columns) + 2:                                                                            \
        tile_of(tile, format, widened, columns, 2);                                                \
        break;                                                                                     \
    case (columns) + 3:                                                                            \
        tile_of(tile, format, widened, columns, 3);                                                \
        break;                                                                                     \
    case (columns) + 4:                                                                            \
        tile_of(tile, format, widened, columns, 4);                                                \
        break

#define TILE_SWITCH(format, widened)                                                               \
    switch (tile->columns + tile->rows) {                                                          \
        TILE_CASES(format, widened, 16);                                                           \
        TILE_CASES(format, widened, 32);                                                           \
        TILE_CASES(format, widened, 48);                                                           \
    }

#include "device/cpu/x86/tile_formats.h"

void matmul_avx2(const struct matmul *args)
{
    struct block_kernel kernel = {.rows = ROWS,
                                  .widen_rows = 9,
                                  .widen_int8 = 1,
                                  .widen_int4 = 1,
                                  .pack = pack,
                                  .widen = widen,
                                  .tile = run_tile,
                                  .activate_mul = activate_mul_avx2};
    kernel.block_k = args->m <= 16 ? 64 : 128; // measured
    // 3 and 4 rows read a block twice, half the columns each time: it has to stay in the first
    // cache meanwhile.
    kernel.stream_k = args->m <= 2 ? 0 : 64;
    kernel.few_rows = args->w->format == PANELS_F32 ? ROWS : 0;
    matmul_blocks(args, &kernel);
}
