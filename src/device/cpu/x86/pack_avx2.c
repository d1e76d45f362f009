// Packing weights with AVX2, as pack_avx512.c does: 16 rows x 8 dwords at a time, a dword being a
// pair of 16-bit numbers or one f32. Rows that do not fill a group of 16 are left to panels_pack().
#include <assert.h>
#include <immintrin.h>

#include "device/cpu/x86/unrolled.h"
#include "device/cpu/x86/x86.h"

enum {
    LANES = 16,
    DWORDS = 8,
    STEP = 16
}; // rows of a group; dwords of a square; squares before the next rows

// ---- numbers

INLINE __m256i bf16_of_floats(__m256 x) // in the low halves
{
    __m256i bits = _mm256_castps_si256(x), one = _mm256_set1_epi32(1);
    __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
    __m256i sign = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x8000));
    __m256i even = _mm256_and_si256(_mm256_srli_epi32(bits, 16), one);
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(even, _mm256_set1_epi32(0x7fff)));
    rounded = _mm256_srli_epi32(rounded, 16);
    __m256i nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f800000));
    __m256i denormal = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x00800000), magnitude);
    rounded = _mm256_blendv_epi8(rounded, _mm256_or_si256(sign, _mm256_set1_epi32(0x7fc0)), nan);
    return _mm256_blendv_epi8(rounded, sign, denormal);
}

INLINE __m128i f16_of_floats(__m256 x)
{
    __m128i rounded = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
    __m128i magnitude = _mm_and_si128(rounded, _mm_set1_epi16(0x7fff));
    __m128i nan = _mm_cmpgt_epi16(magnitude, _mm_set1_epi16(0x7c00));
    __m128i sign = _mm_and_si128(rounded, _mm_set1_epi16((short)0x8000));
    return _mm_blendv_epi8(rounded, _mm_or_si128(sign, _mm_set1_epi16(0x7e00)), nan);
}

INLINE __m128i low_halves(__m256i x)
{
    __m256i words =
        _mm256_packus_epi32(_mm256_and_si256(x, _mm256_set1_epi32(0xffff)), _mm256_setzero_si256());
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(words, 0x08));
}

INLINE __m256 even_floats(__m256i pairs, enum source_type type)
{
    return type == SOURCE_BF16 ? _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16))
                               : _mm256_cvtph_ps(low_halves(pairs));
}

INLINE __m256 odd_floats(__m256i pairs, enum source_type type)
{
    return type == SOURCE_BF16
               ? _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32((int)0xffff0000u)))
               : _mm256_cvtph_ps(low_halves(_mm256_srli_epi32(pairs, 16)));
}

// ---- one group of lanes

struct group {
    const char *source;  // of lane 0
    size_t source_bytes; // from a row to the next
    char *to;            // of lane 0, at the range's first column
    size_t pair_bytes;   // in the panel, from a pair of columns to the next
};

INLINE void store(char *to, __m256i x)
{
    _mm256_store_si256((__m256i *)(void *)to, x);
}

INLINE void store_halves(char *to, __m128i x)
{
    _mm_store_si128((__m128i *)(void *)to, x);
}

// Two columns of 8 rows, from lane `lane` on, into the panel's format.
INLINE void store_floats(const struct group *group, enum panel_format format, size_t pair, int lane,
                         __m256 even, __m256 odd)
{
    char *to = group->to + pair * group->pair_bytes + lane * (format == PANELS_F16 ? 2 : 4);
    char *second = to + group->pair_bytes / 2;
    switch (format) {
    case PANELS_BF16:
        store(to,
              _mm256_or_si256(_mm256_slli_epi32(bf16_of_floats(odd), 16), bf16_of_floats(even)));
        break;
    case PANELS_F16:
        store_halves(to, f16_of_floats(even));
        store_halves(second, f16_of_floats(odd));
        break;
    case PANELS_F32:
        store(to, _mm256_castps_si256(even));
        store(second, _mm256_castps_si256(odd));
        break;
    case PANELS_INT8: // panels_pack_codes()
    case PANELS_INT4:
        break;
    }
}

INLINE void store_pairs(const struct group *group, enum panel_format format, enum source_type type,
                        size_t pair, int lane, __m256i pairs)
{
    char *to = group->to + pair * group->pair_bytes;
    if (type == SOURCE_BF16 && format == PANELS_BF16) {
        store(to + 4 * lane, pairs);
    } else if (type == SOURCE_F16 && format == PANELS_F16) { // the bits as they are
        store_halves(to + 2 * lane, low_halves(pairs));
        store_halves(to + group->pair_bytes / 2 + 2 * lane,
                     low_halves(_mm256_srli_epi32(pairs, 16)));
    } else {
        store_floats(group, format, pair, lane, even_floats(pairs, type), odd_floats(pairs, type));
    }
}

INLINE void transpose_8x8(__m256i x[8])
{
    __m256i y[8];
    UNROLLED_FOR (i, 2) { // rows 4i to 4i + 3: y[4i + j] holds, in lane l, their dwords 4l + j
        __m256i *row = x + 4 * i;
        __m256i low01 = _mm256_unpacklo_epi32(row[0], row[1]),
                high01 = _mm256_unpackhi_epi32(row[0], row[1]);
        __m256i low23 = _mm256_unpacklo_epi32(row[2], row[3]),
                high23 = _mm256_unpackhi_epi32(row[2], row[3]);
        y[4 * i] = _mm256_unpacklo_epi64(low01, low23);
        y[4 * i + 1] = _mm256_unpackhi_epi64(low01, low23);
        y[4 * i + 2] = _mm256_unpacklo_epi64(high01, high23);
        y[4 * i + 3] = _mm256_unpackhi_epi64(high01, high23);
    }
    UNROLLED_FOR (j, 4) {
        x[j] = _mm256_permute2x128_si256(y[j], y[4 + j], 0x20);
        x[4 + j] = _mm256_permute2x128_si256(y[j], y[4 + j], 0x31);
    }
}

INLINE void load_square(const struct group *group, int lane, size_t at, __m256i columns,
                        __m256i x[8])
{
    UNROLLED_FOR (r, 8) {
        const char *from = group->source + (size_t)(lane + r) * group->source_bytes + 4 * at;
        if (at % LANES == 0)
            _mm_prefetch(from + 256, _MM_HINT_T0);
        x[r] = _mm256_maskload_epi32((const int *)(const void *)from, columns);
    }
    transpose_8x8(x);
}

// Dwords [at, at + 8) of 16 rows, `n` at most. Both halves of a line are written one after the
// other.
INLINE void pack_square(const struct group *group, enum panel_format format, enum source_type type,
                        size_t at, size_t n)
{
    const int most = n < DWORDS ? (int)n : DWORDS;
    const __m256i columns =
        _mm256_cmpgt_epi32(_mm256_set1_epi32(most), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256i x[8], y[8];
    load_square(group, 0, at, columns, x);
    load_square(group, 8, at, columns, y);
    if (type == SOURCE_F32) {
        for (int i = 0; i < most; i += 2) {
            size_t pair = (at + (size_t)i) / 2;
            store_floats(group, format, pair, 0, _mm256_castsi256_ps(x[i]),
                         _mm256_castsi256_ps(x[i + 1]));
            store_floats(group, format, pair, 8, _mm256_castsi256_ps(y[i]),
                         _mm256_castsi256_ps(y[i + 1]));
        }
    } else {
        for (int i = 0; i < most; i++) {
            store_pairs(group, format, type, at + (size_t)i, 0, x[i]);
            store_pairs(group, format, type, at + (size_t)i, 8, y[i]);
        }
    }
}

// All columns of the rows of one panel, group after group for each few cache lines of a row, so
// that both what is read and what is written are runs.
INLINE void pack_panel(const struct group *groups, int n_groups, enum panel_format format,
                       enum source_type type, size_t n_columns)
{
    const size_t n = type == SOURCE_F32 ? n_columns : n_columns / 2; // dwords; even with f32
    for (size_t begin = 0; begin < n; begin += DWORDS * STEP)
        for (int i = 0; i < n_groups; i++)
            for (size_t at = begin; at < n && at < begin + DWORDS * STEP; at += DWORDS)
                pack_square(&groups[i], format, type, at, n - at);
}

#include "device/cpu/x86/pack_cases.h"

void pack_avx2(const struct panels *w, int32_t row, int32_t n_rows, int32_t column,
               int32_t n_columns, const void *source, enum source_type type, size_t source_stride)
{
    assert(row >= 0 && n_rows >= 0 && row <= w->n - n_rows);
    assert(column >= 0 && n_columns >= 0 && column <= w->k - n_columns);
    assert(column % 2 == 0 && n_columns % 2 == 0);
    const int32_t row_end = row + n_rows;
    const size_t element = panel_element_bytes(w->format),
                 pair_element = w->format == PANELS_BF16 ? 2 * element : element;
    const size_t source_bytes = source_stride * (type == SOURCE_F32 ? 4 : 2);
    for (int32_t at = row; at < row_end;) {
        const int panel = at / PANEL_WIDTH;
        struct group groups[PANEL_WIDTH / LANES];
        int n_groups = 0;
        for (; at % LANES == 0 && at + LANES <= row_end && at / PANEL_WIDTH == panel; at += LANES) {
            struct group *group = &groups[n_groups++];
            group->source_bytes = source_bytes;
            group->source = (const char *)source + (size_t)(at - row) * source_bytes;
            group->pair_bytes = 2 * element * (size_t)panel_width(w, panel);
            group->to = panel_data(w, panel) + (size_t)(column / 2) * group->pair_bytes +
                        (size_t)(at % PANEL_WIDTH) * pair_element;
        }
        pack_panel_of(groups, n_groups, w->format, type, (size_t)n_columns);
        if (n_groups == 0) { // up to the next group, or the end
            const int32_t next = (at / LANES + 1) * LANES, end = next < row_end ? next : row_end;
            panels_pack(w, at, end - at, column, n_columns,
                        (const char *)source + (size_t)(at - row) * source_bytes, type,
                        source_stride);
            at = end;
        }
    }
}
