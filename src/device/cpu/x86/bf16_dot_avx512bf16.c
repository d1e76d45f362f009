// Whether vdpbf16ps is right and fast here. The contract's pair order is that of this instruction;
// a CPU that rounds or flushes otherwise must not use it.
#include <immintrin.h>

#include "base/clock.h"
#include "device/cpu/x86/unrolled.h"
#include "device/cpu/x86/x86.h"

static __m512i random_bits(__m512i *state) // xorshift, one stream per lane
{
    __m512i x = *state;
    x = _mm512_xor_si512(x, _mm512_slli_epi64(x, 13));
    x = _mm512_xor_si512(x, _mm512_srli_epi64(x, 7));
    x = _mm512_xor_si512(x, _mm512_slli_epi64(x, 17));
    *state = x;
    return x;
}

// Pairs of bf16 whose exponents crowd around `bias`, so that sums cancel, overflow and go denormal.
static __m512i random_pairs(__m512i *state, uint32_t bias)
{
    __m512i bits = random_bits(state), exponent = random_bits(state);
    exponent = _mm512_and_si512(exponent, _mm512_set1_epi16(0x0780));
    exponent = _mm512_add_epi16(exponent, _mm512_set1_epi16((short)(bias << 7)));
    return _mm512_ternarylogic_epi32(_mm512_set1_epi16((short)0x807f), bits, exponent, 0xca);
}

static __m512 odd(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000u)));
}

static __m512 even(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}

bool x86_bf16_dot_is_exact(void)
{
    static const uint32_t bias[] = {0, 40, 56, 60, 120, 180, 239};
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); // FTZ and DAZ, as number_mode_set()
    __m512i state = _mm512_add_epi64(_mm512_set1_epi64(0x1e3779b97f4a7c15),
                                     _mm512_setr_epi64(1, 2, 3, 4, 5, 6, 7, 8));
    __mmask16 differs = 0;
    for (int chain = 0; chain < 256; chain++) {
        __m512 dot = _mm512_setzero_ps(), fma = _mm512_setzero_ps();
        for (int i = 0; i < 16; i++) {
            __m512i x = random_pairs(&state, bias[chain % 7]),
                    y = random_pairs(&state, bias[chain / 7 % 7]);
            dot = _mm512_dpbf16_ps(dot, (__m512bh)x, (__m512bh)y);
            fma = _mm512_fmadd_ps(odd(x), odd(y), fma);
            fma = _mm512_fmadd_ps(even(x), even(y), fma);
            __mmask16 number = _mm512_cmp_ps_mask(fma, fma, _CMP_ORD_Q);
            __mmask16 number_too = _mm512_cmp_ps_mask(dot, dot, _CMP_ORD_Q);
            __mmask16 bits =
                _mm512_cmpneq_epi32_mask(_mm512_castps_si512(dot), _mm512_castps_si512(fma));
            differs |= (__mmask16)((number ^ number_too) | (number & bits));
        }
    }
    _mm_setcsr(mode);
    return differs == 0;
}

enum { SUMS = 12, ROUNDS = 150 };

static int64_t dot_ns(void)
{
    __m512 sum[SUMS];
    __m512i x = _mm512_set1_epi32(0x3f803f80);
    UNROLLED_FOR (i, SUMS)
        sum[i] = _mm512_setzero_ps();
    int64_t begin = clock_ns();
    for (int round = 0; round < ROUNDS; round++)
        UNROLLED_FOR (i, SUMS) {
            sum[i] = _mm512_dpbf16_ps(sum[i], (__m512bh)x, (__m512bh)x);
            __asm__ volatile("" : "+v"(sum[i]));
        }
    return clock_ns() - begin;
}

static int64_t fma_ns(void) // as many multiplications and additions
{
    __m512 sum[SUMS];
    __m512 x = _mm512_set1_ps(1);
    UNROLLED_FOR (i, SUMS)
        sum[i] = _mm512_setzero_ps();
    int64_t begin = clock_ns();
    for (int round = 0; round < 2 * ROUNDS; round++)
        UNROLLED_FOR (i, SUMS) {
            sum[i] = _mm512_fmadd_ps(x, x, sum[i]);
            __asm__ volatile("" : "+v"(sum[i]));
        }
    return clock_ns() - begin;
}

bool x86_bf16_dot_is_fast(void)
{
    int64_t dot = INT64_MAX, fma = INT64_MAX;
    for (int i = 0; i < 20; i++) { // the shortest of some: about 50 microseconds together
        int64_t now = dot_ns();
        dot = now < dot ? now : dot;
        now = fma_ns();
        fma = now < fma ? now : fma;
    }
    return dot < fma;
}
