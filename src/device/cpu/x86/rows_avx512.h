// Packing a product's rows with AVX-512: up to 8 rows side by side, so that one place after the
// other feeds broadcasts.
#ifndef COLROW_DEVICE_CPU_X86_ROWS_AVX512_H
#define COLROW_DEVICE_CPU_X86_ROWS_AVX512_H

#include <immintrin.h>
#include <stdint.h>

// 8 rows x 16 dwords in, out[i] holds the 8 rows of dword 4 * (2 * (i / 4)) + i % 4 and of the
// dword 4 further.
static inline void transpose_8x16(__m512i row[8], __m512i out[8])
{
    __m512i u[8];
#pragma GCC unroll 8
    for (int half = 0; half < 8;
         half += 4) { // rows 0-3, 4-7: in each 128-bit lane a 4 x 4 transpose
        __m512i a = _mm512_unpacklo_epi32(row[half], row[half + 1]);
        __m512i b = _mm512_unpackhi_epi32(row[half], row[half + 1]);
        __m512i c = _mm512_unpacklo_epi32(row[half + 2], row[half + 3]);
        __m512i d = _mm512_unpackhi_epi32(row[half + 2], row[half + 3]);
        u[half] = _mm512_unpacklo_epi64(a, c);
        u[half + 1] = _mm512_unpackhi_epi64(a, c);
        u[half + 2] = _mm512_unpacklo_epi64(b, d);
        u[half + 3] = _mm512_unpackhi_epi64(b, d);
    }
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        out[i] = _mm512_permutex2var_epi64(u[i], low, u[4 + i]);
        out[4 + i] = _mm512_permutex2var_epi64(u[i], high, u[4 + i]);
    }
}

// Loads dwords [at, at + 16) of `rows` rows; what lies past `n` or past the rows is zero and not
// touched.
static inline void load_rows(const char *a, size_t stride_bytes, int rows, int at, int n,
                             __m512i out[8])
{
    int rest = n - at;
    __mmask16 mask = rest >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << rest) - 1);
#pragma GCC unroll 8
    for (int r = 0; r < 8; r++) {
        out[r] = _mm512_setzero_si512();
        if (r < rows)
            out[r] = _mm512_maskz_loadu_epi32(mask, a + (size_t)r * stride_bytes + (size_t)at * 4);
    }
}

// [n][rows] dwords from `rows` rows of n dwords.
static inline void pack_dwords(const char *a, size_t stride_bytes, int rows, int n, uint32_t *out)
{
    const __mmask8 mask = (__mmask8)((1u << rows) - 1);
    for (int at = 0; at < n; at += 16) {
        __m512i in[8], transposed[8];
        load_rows(a, stride_bytes, rows, at, n, in);
        transpose_8x16(in, transposed);
        for (int i = 0; i < 16 && at + i < n; i++) {
            __m512i two = transposed[i / 8 * 4 + i % 4];
            __m256i one =
                i % 8 < 4 ? _mm512_castsi512_si256(two) : _mm512_extracti64x4_epi64(two, 1);
            _mm256_mask_storeu_epi32(out + (size_t)(at + i) * (size_t)rows, mask, one);
        }
    }
}

#endif
