#include <immintrin.h>

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
