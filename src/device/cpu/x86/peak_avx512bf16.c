#include <immintrin.h>

#include "device/peak_loops.h"

#define DECLARE(i) __m512 c##i = _mm512_setzero_ps();
#define KEEP(i) __asm__ volatile("" : "+v"(c##i));

double peak_bf16_avx512bf16(long rounds)
{
    __m512bh a = (__m512bh)_mm512_set1_epi32(0x3f803f80),
             b = (__m512bh)_mm512_set1_epi32(0x00003f80);
#define STEP(i) c##i = _mm512_dpbf16_ps(c##i, a, b);
    PEAK_CHAINS(DECLARE)
    for (long i = 0; i < rounds; i++) {
        PEAK_CHAINS(STEP)
        PEAK_CHAINS(KEEP)
    }
    return (double)rounds * PEAK_CHAIN_COUNT * 64;
}

// Every CPU with avx512bf16 has VNNI.
__attribute__((target("avx512vnni"))) double peak_int8_avx512bf16(long rounds)
{
    __m512i a = _mm512_set1_epi8(1), b = a;
#define DECLARE_INT(i) __m512i c##i = _mm512_setzero_si512();
#define STEP_INT(i) c##i = _mm512_dpbusd_epi32(c##i, a, b);
    PEAK_CHAINS(DECLARE_INT)
    for (long i = 0; i < rounds; i++) {
        PEAK_CHAINS(STEP_INT)
        PEAK_CHAINS(KEEP)
    }
    return (double)rounds * PEAK_CHAIN_COUNT * 128;
}
