#include <immintrin.h>

#include "device/peak_loops.h"

void peak_read_avx2(const char *data, size_t bytes)
{
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (const char *end = data + bytes; data < end; data += 128) {
        a = _mm256_xor_si256(a, _mm256_load_si256((const __m256i *)(const void *)data));
        b = _mm256_xor_si256(b, _mm256_load_si256((const __m256i *)(const void *)(data + 32)));
        c = _mm256_xor_si256(c, _mm256_load_si256((const __m256i *)(const void *)(data + 64)));
        d = _mm256_xor_si256(d, _mm256_load_si256((const __m256i *)(const void *)(data + 96)));
    }
    a = _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
    __asm__ volatile("" : : "x"(a));
}

double peak_fma_avx2(long rounds)
{
    __m256 half = _mm256_set1_ps(0.5f), one = _mm256_set1_ps(1.0f);
#define DECLARE(i) __m256 c##i = _mm256_setzero_ps();
#define STEP(i) c##i = _mm256_fmadd_ps(c##i, half, one);
#define KEEP(i) __asm__ volatile("" : "+x"(c##i));
    PEAK_CHAINS(DECLARE)
    for (long i = 0; i < rounds; i++) {
        PEAK_CHAINS(STEP)
        PEAK_CHAINS(KEEP)
    }
    return (double)rounds * PEAK_CHAIN_COUNT * 16;
}
