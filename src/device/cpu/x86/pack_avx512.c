// Packing weights with AVX-512: 16 rows x 16 dwords are transposed in registers, a dword being a
// pair of 16-bit numbers or one f32, and written as whole cache lines: ordinary stores, since the
// system zeroes new pages right before, which leaves their lines in a cache (measured with both).
#include <assert.h>
#include <immintrin.h>

#include "device/cpu/x86/unrolled.h"
#include "device/cpu/x86/x86.h"

enum {
    LANES = 16,
    STEP = 8
}; // rows of a group; how many 64-byte pieces of a row before the next rows

// ---- numbers

INLINE __m512i high_halves(void)
{
    return _mm512_set1_epi32((int)0xffff0000u);
}

INLINE __m512i bf16_of_floats(__m512 x) // in the low halves
{
    __m512i bits = _mm512_castps_si512(x), one = _mm512_set1_epi32(1);
    __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
    __m512i sign = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(0x8000));
    __m512i even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff)));
    rounded = _mm512_srli_epi32(rounded, 16);
    __mmask16 nan = _mm512_cmpgt_epu32_mask(magnitude, _mm512_set1_epi32(0x7f800000));
    __mmask16 denormal = _mm512_cmplt_epu32_mask(magnitude, _mm512_set1_epi32(0x00800000));
    rounded = _mm512_mask_or_epi32(rounded, nan, sign, _mm512_set1_epi32(0x7fc0));
    return _mm512_mask_mov_epi32(rounded, denormal, sign);
}

INLINE __m256i f16_of_floats(__m512 x)
{
    __m256i rounded = _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    __m256i sign = _mm256_and_si256(rounded, _mm256_set1_epi16((short)0x8000));
    return _mm256_mask_mov_epi16(rounded, nan, _mm256_or_si256(sign, _mm256_set1_epi16(0x7e00)));
}

INLINE __m512 even_floats(__m512i pairs, enum source_type type)
{
    return type == SOURCE_BF16 ? _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16))
                               : _mm512_cvtph_ps(_mm512_cvtepi32_epi16(pairs));
}

INLINE __m512 odd_floats(__m512i pairs, enum source_type type)
{
    return type == SOURCE_BF16
               ? _mm512_castsi512_ps(_mm512_and_si512(pairs, high_halves()))
               : _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(pairs, 16)));
}

// ---- one group of lanes

// Where 16 rows of a panel go, and which of them are there.
struct group {
    const char *source;  // of lane 0 (which may lie before the first row that is there)
    size_t source_bytes; // from a row to the next
    char *to;            // of lane 0, at the range's first column
    size_t pair_bytes;   // in the panel, from a pair of columns to the next
    __mmask16 lanes;
};

// Two columns of 16 rows, into the panel's format.
INLINE void store_floats(const struct group *group, enum panel_format format, size_t pair,
                         __m512 even, __m512 odd)
{
    char *to = group->to + pair * group->pair_bytes, *second = to + group->pair_bytes / 2;
    switch (format) {
    case PANELS_BF16: {
        __m512i pairs =
            _mm512_or_si512(_mm512_slli_epi32(bf16_of_floats(odd), 16), bf16_of_floats(even));
        _mm512_mask_storeu_epi32(to, group->lanes, pairs);
        break;
    }
    case PANELS_F16:
        _mm256_mask_storeu_epi16(to, group->lanes, f16_of_floats(even));
        _mm256_mask_storeu_epi16(second, group->lanes, f16_of_floats(odd));
        break;
    case PANELS_F32:
        _mm512_mask_storeu_epi32(to, group->lanes, _mm512_castps_si512(even));
        _mm512_mask_storeu_epi32(second, group->lanes, _mm512_castps_si512(odd));
        break;
    case PANELS_INT8: // panels_pack_codes()
    case PANELS_INT4:
        break;
    }
}

INLINE void store_pairs(const struct group *group, enum panel_format format, enum source_type type,
                        size_t pair, __m512i pairs)
{
    char *to = group->to + pair * group->pair_bytes;
    if (type == SOURCE_BF16 && format == PANELS_BF16) {
        _mm512_mask_storeu_epi32(to, group->lanes, pairs);
    } else if (type == SOURCE_F16 && format == PANELS_F16) { // the bits as they are
        __m256i even = _mm512_cvtepi32_epi16(pairs),
                odd = _mm512_cvtepi32_epi16(_mm512_srli_epi32(pairs, 16));
        _mm256_mask_storeu_epi16(to, group->lanes, even);
        _mm256_mask_storeu_epi16(to + group->pair_bytes / 2, group->lanes, odd);
    } else {
        store_floats(group, format, pair, even_floats(pairs, type), odd_floats(pairs, type));
    }
}

INLINE void transpose_4x4_lanes(__m512i x[16], int a, int b, int c, int d)
{
    __m512i low0 = _mm512_shuffle_i32x4(x[a], x[b], 0x44),
            high0 = _mm512_shuffle_i32x4(x[a], x[b], 0xee);
    __m512i low1 = _mm512_shuffle_i32x4(x[c], x[d], 0x44),
            high1 = _mm512_shuffle_i32x4(x[c], x[d], 0xee);
    x[a] = _mm512_shuffle_i32x4(low0, low1, 0x88);
    x[b] = _mm512_shuffle_i32x4(low0, low1, 0xdd);
    x[c] = _mm512_shuffle_i32x4(high0, high1, 0x88);
    x[d] = _mm512_shuffle_i32x4(high0, high1, 0xdd);
}

INLINE void transpose_16x16(__m512i x[16])
{
    __m512i y[16];
    UNROLLED_FOR (i, 4) { // rows 4i to 4i + 3: y[4i + j] holds, in lane l, their dwords 4l + j
        __m512i *row = x + 4 * i;
        __m512i low01 = _mm512_unpacklo_epi32(row[0], row[1]),
                high01 = _mm512_unpackhi_epi32(row[0], row[1]);
        __m512i low23 = _mm512_unpacklo_epi32(row[2], row[3]),
                high23 = _mm512_unpackhi_epi32(row[2], row[3]);
        y[4 * i] = _mm512_unpacklo_epi64(low01, low23);
        y[4 * i + 1] = _mm512_unpackhi_epi64(low01, low23);
        y[4 * i + 2] = _mm512_unpacklo_epi64(high01, high23);
        y[4 * i + 3] = _mm512_unpackhi_epi64(high01, high23);
    }
    UNROLLED_FOR (j, 4) {
        transpose_4x4_lanes(y, j, 4 + j, 8 + j,
                            12 + j); // y[4l + j] is now dword 4l + j of all rows
    }
    UNROLLED_FOR (i, 16)
        x[i] = y[i];
}

// Dwords [at, at + 16) of the group's rows, `n` at most.
INLINE void pack_square(const struct group *group, enum panel_format format, enum source_type type,
                        size_t at, size_t n)
{
    const __mmask16 columns = n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1);
    __m512i x[16];
    UNROLLED_FOR (lane, 16) {
        const char *from = group->source + (size_t)lane * group->source_bytes + 4 * at;
        _mm_prefetch(from + 256, _MM_HINT_T0);
        x[lane] = group->lanes >> lane & 1 ? _mm512_maskz_loadu_epi32(columns, from)
                                           : _mm512_setzero_si512();
    }
    transpose_16x16(x);
    if (type == SOURCE_F32) {
        for (size_t i = 0; i < 16 && i < n; i += 2)
            store_floats(group, format, (at + i) / 2, _mm512_castsi512_ps(x[i]),
                         _mm512_castsi512_ps(x[i + 1]));
    } else {
        for (size_t i = 0; i < 16 && i < n; i++)
            store_pairs(group, format, type, at + i, x[i]);
    }
}

// All columns of the rows of one panel, group after group for each few cache lines of a row, so
// that both what is read and what is written are runs.
INLINE void pack_panel(const struct group *groups, int n_groups, enum panel_format format,
                       enum source_type type, size_t n_columns)
{
    const size_t n = type == SOURCE_F32 ? n_columns : n_columns / 2; // dwords; even with f32
    for (size_t begin = 0; begin < n; begin += LANES * STEP)
        for (int i = 0; i < n_groups; i++)
            for (size_t at = begin; at < n && at < begin + LANES * STEP; at += LANES)
                pack_square(&groups[i], format, type, at, n - at);
}

#include "device/cpu/x86/pack_cases.h"

void pack_avx512(const struct panels *w, int32_t row, int32_t n_rows, int32_t column,
                 int32_t n_columns, const void *source, enum source_type type, size_t source_stride)
{
    assert(row >= 0 && n_rows >= 0 && row <= w->n - n_rows);
    assert(column >= 0 && n_columns >= 0 && column <= w->k - n_columns);
    assert(column % 2 == 0 && n_columns % 2 == 0);
    const int32_t row_end = row + n_rows;
    const size_t element = panel_element_bytes(w->format),
                 pair_element = w->format == PANELS_BF16 ? 2 * element : element;
    const size_t source_bytes = source_stride * (type == SOURCE_F32 ? 4 : 2);
    for (int panel = row / PANEL_WIDTH; panel * PANEL_WIDTH < row_end; panel++) {
        struct group groups[PANEL_WIDTH / LANES];
        int n_groups = 0;
        for (int32_t first = panel * PANEL_WIDTH; first < (panel + 1) * PANEL_WIDTH;
             first += LANES) {
            const int32_t begin = first > row ? first : row,
                          end = first + LANES < row_end ? first + LANES : row_end;
            if (begin >= end)
                continue;
            struct group *group = &groups[n_groups++];
            group->lanes = (__mmask16)((1u << (end - first)) - (1u << (begin - first)));
            group->source_bytes = source_bytes;
            group->source =
                (const char *)source + (ptrdiff_t)(first - row) * (ptrdiff_t)source_bytes;
            group->pair_bytes = 2 * element * (size_t)panel_width(w, panel);
            group->to = panel_data(w, panel) + (size_t)(column / 2) * group->pair_bytes +
                        (size_t)(first % PANEL_WIDTH) * pair_element;
        }
        pack_panel_of(groups, n_groups, w->format, type, (size_t)n_columns);
    }
}
