#include "device/cpu/kv_codes.h"
#include "device/cpu/x86/math_avx2.h"
#include "device/cpu/x86/x86.h"

// Half has more exponents than E4M3: the bits, moved, are 2^-8 of the number.
static inline __m256 floats_of_e4m3_8(__m128i codes)
{
    const __m128i words = _mm_cvtepu8_epi16(codes),
                  magnitude = _mm_and_si128(words, _mm_set1_epi16(0x7f)),
                  sign = _mm_slli_epi16(_mm_sub_epi16(words, magnitude), 8);
    const __m128i nan = _mm_cmpeq_epi16(magnitude, _mm_set1_epi16(0x7f));
    __m128i half = _mm_slli_epi16(magnitude, 7);
    half = _mm_blendv_epi8(half, _mm_set1_epi16(0x7e00), nan);
    return _mm256_mul_ps(_mm256_cvtph_ps(_mm_or_si128(half, sign)), _mm256_set1_ps(256));
}

static inline __m256 floats_of_integers_8(__m128i codes, const float *scales)
{
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)), _mm256_loadu_ps(scales));
}

void kv_expand_avx2(const struct kv_expansion *args)
{
    size_t i = 0;
    for (; i + 8 <= args->n; i += 8) {
        const __m128i codes = _mm_loadl_epi64((const __m128i *)(const void *)(args->codes + i));
        const __m256 x = args->kind == KV_E4M3
                             ? floats_of_e4m3_8(codes)
                             : floats_of_integers_8(codes, args->scales + i % args->period);
        if (args->ahead && i % 64 == 0)
            __builtin_prefetch(args->ahead + i, 0, 2);
        if (args->type == COMPUTE_F32)
            _mm256_storeu_ps((float *)args->out + i, x);
        else
            _mm_storeu_si128((__m128i *)(void *)((uint16_t *)args->out + i),
                             args->type == COMPUTE_BF16 ? bf16_8(x) : f16_8(x));
    }
    if (i == args->n)
        return;
    struct kv_expansion rest =
        *args; // fewer than 8: of the scales, what is left of the first period
    rest.codes += i;
    rest.n -= i;
    rest.scales += i % args->period;
    rest.out = (char *)args->out + i * (args->type == COMPUTE_F32 ? 4 : 2);
    reference_kv_expand(&rest);
}
