// Codes of the KV cache to numbers, for the file of AVX-512 that includes this: with its BF16
// instructions where it has them.
#ifndef COLROW_DEVICE_CPU_X86_KV_EXPAND_AVX512_H
#define COLROW_DEVICE_CPU_X86_KV_EXPAND_AVX512_H

#include "device/cpu/kv_codes.h"
#include "device/cpu/x86/math_avx512.h"

static inline void fetch_codes(const char *ahead, size_t i)
{
    if (ahead && i % 64 == 0)
        __builtin_prefetch(ahead + i, 0, 2);
}

// Half has more exponents than E4M3: the bits, moved, are 2^-8 of the number.
static inline __m512 floats_of_e4m3_16(__m128i codes)
{
    const __m256i words = _mm256_cvtepu8_epi16(codes),
                  magnitude = _mm256_and_si256(words, _mm256_set1_epi16(0x7f)),
                  sign = _mm256_slli_epi16(_mm256_sub_epi16(words, magnitude), 8);
    __m256i half = _mm256_slli_epi16(magnitude, 7);
    half = _mm256_mask_mov_epi16(half, _mm256_cmpeq_epi16_mask(magnitude, _mm256_set1_epi16(0x7f)),
                                 _mm256_set1_epi16(0x7e00));
    return _mm512_mul_ps(_mm512_cvtph_ps(_mm256_or_si256(half, sign)), _mm512_set1_ps(256));
}

// The same 32 as bf16: what is below 2^-6 from a table.
static inline __m512i bf16_of_e4m3_32(__m256i codes)
{
    static const _Alignas(64)
        uint16_t small[32] = {0, 0x3b00, 0x3b80, 0x3bc0, 0x3c00, 0x3c20, 0x3c40, 0x3c60};
    const __m512i words = _mm512_cvtepu8_epi16(codes),
                  magnitude = _mm512_and_si512(words, _mm512_set1_epi16(0x7f)),
                  sign = _mm512_slli_epi16(_mm512_sub_epi16(words, magnitude), 8);
    __m512i out = _mm512_add_epi16(_mm512_slli_epi16(magnitude, 4), _mm512_set1_epi16(120 << 7));
    out =
        _mm512_mask_permutexvar_epi16(out, _mm512_cmplt_epu16_mask(magnitude, _mm512_set1_epi16(8)),
                                      magnitude, _mm512_load_si512(small));
    out = _mm512_mask_mov_epi16(out, _mm512_cmpeq_epi16_mask(magnitude, _mm512_set1_epi16(0x7f)),
                                _mm512_set1_epi16(0x7fc0));
    return _mm512_or_si512(out, sign);
}

static inline void expand_e4m3_to_bf16(const struct kv_expansion *args)
{
    for (size_t i = 0; i < args->n; i += 32) {
        const size_t left = args->n - i;
        const __mmask32 mask = left >= 32 ? 0xffffffff : (__mmask32)((1u << left) - 1);
        fetch_codes(args->ahead, i);
        _mm512_mask_storeu_epi16((bf16 *)args->out + i, mask,
                                 bf16_of_e4m3_32(_mm256_maskz_loadu_epi8(mask, args->codes + i)));
    }
}

static inline void expand_e4m3(const struct kv_expansion *args)
{
    for (size_t i = 0; i < args->n; i += 16) {
        const size_t left = args->n - i;
        const __mmask16 mask = left >= 16 ? (__mmask16)0xffff : mask_of(left);
        const __m512 x = floats_of_e4m3_16(_mm_maskz_loadu_epi8(mask, args->codes + i));
        fetch_codes(args->ahead, i);
        if (args->type == COMPUTE_F32)
            _mm512_mask_storeu_ps((float *)args->out + i, mask, x);
        else
            _mm256_mask_storeu_epi16((f16 *)args->out + i, mask, f16_16(x));
    }
}

static inline void expand_integers(const struct kv_expansion *args, enum compute_type type)
{
    size_t at = 0; // of the scale
    for (size_t i = 0; i < args->n; i += 16) {
        const size_t left = args->n - i;
        const __mmask16 mask = left >= 16 ? (__mmask16)0xffff : mask_of(left);
        const __m512i codes = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, args->codes + i));
        const __m512 x =
            _mm512_mul_ps(_mm512_cvtepi32_ps(codes), _mm512_load_ps(args->scales + at));
        at = at + 16 == args->period ? 0 : at + 16;
        fetch_codes(args->ahead, i);
        if (type == COMPUTE_F32)
            _mm512_mask_storeu_ps((float *)args->out + i, mask, x);
        else
            _mm256_mask_storeu_epi16((uint16_t *)args->out + i, mask,
                                     type == COMPUTE_BF16 ? bf16_16(x) : f16_16(x));
    }
}

static inline void expand_codes(const struct kv_expansion *args)
{
    if (args->kind == KV_E4M3 && args->type == COMPUTE_BF16)
        expand_e4m3_to_bf16(args);
    else if (args->kind == KV_E4M3)
        expand_e4m3(args);
    else if (args->type == COMPUTE_BF16)
        expand_integers(args, COMPUTE_BF16);
    else
        expand_integers(args, args->type);
}

#endif
