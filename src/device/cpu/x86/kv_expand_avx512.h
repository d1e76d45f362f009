// Codes of the KV cache to numbers, for the file of AVX-512 that includes this: with its BF16
// instructions where it has them.
#ifndef COLROW_DEVICE_CPU_X86_KV_EXPAND_AVX512_H
#define COLROW_DEVICE_CPU_X86_KV_EXPAND_AVX512_H

#include "device/cpu/kv_codes.h"
#include "device/cpu/x86/math_avx512.h"
#include "device/cpu/x86/unrolled.h"

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
    for (size_t i = 0; i < (size_t)(KV_PAGE_TOKENS * args->dim); i += 32) {
        const __m256i codes = _mm256_loadu_si256((const __m256i *)(const void *)(args->codes + i));
        fetch_codes(args->ahead, i);
        _mm512_storeu_si512((bf16 *)args->out + i, bf16_of_e4m3_32(codes));
    }
}

static inline void expand_e4m3(const struct kv_expansion *args)
{
    for (size_t i = 0; i < (size_t)(KV_PAGE_TOKENS * args->dim); i += 16) {
        const __m128i codes = _mm_loadu_si128((const __m128i *)(const void *)(args->codes + i));
        const __m512 x = floats_of_e4m3_16(codes);
        fetch_codes(args->ahead, i);
        if (args->type == COMPUTE_F32)
            _mm512_storeu_ps((float *)args->out + i, x);
        else
            _mm256_storeu_si256((__m256i *)(void *)((f16 *)args->out + i), f16_16(x));
    }
}

static inline __m512 scaled_16(__m128i codes, __m512 scales)
{
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)), scales);
}

static inline void store_16(void *out, size_t i, __mmask16 mask, __m512 x, enum compute_type type)
{
    if (type == COMPUTE_F32)
        _mm512_mask_storeu_ps((float *)out + i, mask, x);
    else
        _mm256_mask_storeu_epi16((uint16_t *)out + i, mask,
                                 type == COMPUTE_BF16 ? bf16_16(x) : f16_16(x));
}

// Two vectors of bf16.
static inline __m512i bf16_32(__m512 low, __m512 high)
{
#ifdef __AVX512BF16__
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
#else
    return _mm512_inserti64x4(_mm512_castsi256_si512(bf16_16(low)), bf16_16(high), 1);
#endif
}

// Numbers [i, i + n) of the page, whose scales repeat: `count` vectors, a power of two.
INLINE void expand_run(const struct kv_expansion *args, enum compute_type type, size_t i, size_t n,
                       const __m512 *scales, size_t count)
{
    const size_t end = i + n;
    size_t v = 0;
    for (; type == COMPUTE_BF16 && i + 32 <= end; i += 32, v = (v + 2) & (count - 1)) {
        const uint8_t *codes = args->codes + i;
        const __m512 low = scaled_16(_mm_loadu_si128((const __m128i *)(const void *)codes),
                                     scales[v]),
                     high = scaled_16(_mm_loadu_si128((const __m128i *)(const void *)(codes + 16)),
                                      scales[(v + 1) & (count - 1)]);
        fetch_codes(args->ahead, i);
        _mm512_storeu_si512((bf16 *)args->out + i, bf16_32(low, high));
    }
    for (; i < end; i += 16, v = (v + 1) & (count - 1)) {
        const __mmask16 mask = end - i >= 16 ? (__mmask16)0xffff : mask_of(end - i);
        fetch_codes(args->ahead, i);
        store_16(args->out, i, mask,
                 scaled_16(_mm_maskz_loadu_epi8(mask, args->codes + i), scales[v]), type);
    }
}

enum { KEY_VECTORS = KV_PAGE_TOKENS / 16 };

INLINE void expand_integer_keys(const struct kv_expansion *args, enum compute_type type)
{
    const size_t n = (size_t)(KV_PAGE_TOKENS * args->dim);
    const __m512i low = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7),
                  high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    __m512 scales[2 * KEY_VECTORS];
    for (int j = 0; j < KEY_VECTORS; j++) {
        const __m256i words =
            _mm256_loadu_si256((const __m256i *)(const void *)(args->scales + 16 * j));
        const __m512 s = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
        if (type == COMPUTE_BF16) {
            scales[2 * j] = _mm512_permutexvar_ps(low, s);
            scales[2 * j + 1] = _mm512_permutexvar_ps(high, s);
        } else
            scales[j] = s;
    }
    expand_run(args, type, 0, n, scales, type == COMPUTE_BF16 ? 2 * KEY_VECTORS : KEY_VECTORS);
}

INLINE void expand_integer_values(const struct kv_expansion *args, enum compute_type type)
{
    const size_t each = type == COMPUTE_BF16 ? 2 : 1, dim = (size_t)args->dim;
    for (size_t j = 0; j < KV_PAGE_TOKENS; j += each) {
        const __m512 even = _mm512_set1_ps(float_of_bf16(args->scales[j])),
                     odd = _mm512_set1_ps(float_of_bf16(args->scales[j + each - 1])),
                     scales = _mm512_mask_blend_ps(0xaaaa, even, odd);
        expand_run(args, type, j * dim, each * dim, &scales, 1);
    }
}

INLINE void expand_integers(const struct kv_expansion *args, enum compute_type type)
{
    if (args->of_values)
        expand_integer_values(args, type);
    else
        expand_integer_keys(args, type);
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
