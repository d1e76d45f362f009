#include <immintrin.h>

#include "device/cpu/x86/unrolled.h"
#include "device/peak_loops.h"

void peak_read_avx512(const char *data, size_t bytes)
{
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (const char *end = data + bytes; data < end; data += 256) {
        a = _mm512_xor_si512(a, _mm512_load_si512(data));
        b = _mm512_xor_si512(b, _mm512_load_si512(data + 64));
        c = _mm512_xor_si512(c, _mm512_load_si512(data + 128));
        d = _mm512_xor_si512(d, _mm512_load_si512(data + 192));
    }
    a = _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d));
    __asm__ volatile("" : : "v"(a));
}

double peak_fma_avx512(long rounds)
{
    __m512 half = _mm512_set1_ps(0.5f), one = _mm512_set1_ps(1.0f);
#define DECLARE(i) __m512 c##i = _mm512_setzero_ps();
#define STEP(i) c##i = _mm512_fmadd_ps(c##i, half, one);
#define KEEP(i) __asm__ volatile("" : "+v"(c##i));
    PEAK_CHAINS(DECLARE)
    for (long i = 0; i < rounds; i++) {
        PEAK_CHAINS(STEP)
        PEAK_CHAINS(KEEP)
    }
    return (double)rounds * PEAK_CHAIN_COUNT * 32;
}

double peak_fma_fed_avx512(long rounds)
{
    enum { K = 64, ROWS = 8, VECTORS = 3 };
    _Alignas(64) float weights[K][VECTORS][16], factors[K][ROWS];
    __m512 sum[ROWS][VECTORS];
    for (int k = 0; k < K; k++) {
        for (int i = 0; i < VECTORS * 16; i++)
            weights[k][i / 16][i % 16] = 0.01f * (float)(i + 1);
        for (int i = 0; i < ROWS; i++)
            factors[k][i] = 0.25f - (float)(i % 2) / 2;
    }
    UNROLLED_FOR (r, ROWS)
        UNROLLED_FOR (v, VECTORS)
            sum[r][v] = _mm512_setzero_ps();
    for (long i = 0; i < rounds; i++) {
        const int k = (int)(i % K);
        __m512 w[VECTORS];
        UNROLLED_FOR (v, VECTORS)
            w[v] = _mm512_load_ps(weights[k][v]);
        UNROLLED_FOR (r, ROWS) {
            const __m512 x = _mm512_set1_ps(factors[k][r]);
            UNROLLED_FOR (v, VECTORS)
                __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(sum[r][v]) : "v"(x), "v"(w[v]));
        }
    }
    return (double)rounds * ROWS * VECTORS * 32;
}
