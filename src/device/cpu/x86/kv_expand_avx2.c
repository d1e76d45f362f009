#include "device/cpu/kv_codes.h"
#include "device/cpu/x86/math_avx2.h"
#include "device/cpu/x86/unrolled.h"
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

INLINE void store_8(const struct kv_expansion *args, size_t i, __m256 x)
{
    if (args->type == COMPUTE_F32)
        _mm256_storeu_ps((float *)args->out + i, x);
    else
        _mm_storeu_si128((__m128i *)(void *)((uint16_t *)args->out + i),
                         args->type == COMPUTE_BF16 ? bf16_8(x) : f16_8(x));
}

// Numbers [i, i + n) of the page, whose scales repeat: `count` vectors, a power of two.
INLINE void expand_run(const struct kv_expansion *args, size_t i, size_t n, const __m256 *scales,
                       size_t count)
{
    const size_t end = i + n;
    for (size_t v = 0; i < end; i += 8, v = (v + 1) & (count - 1)) {
        const size_t left = end - i < 8 ? end - i : 8;
        uint8_t few[8] = {0};
        const uint8_t *codes = args->codes + i;
        if (left < 8)
            codes = memcpy(few, codes, left);
        const __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)codes);
        const __m256 x =
            args->kind == KV_E4M3
                ? floats_of_e4m3_8(bytes)
                : _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), scales[v]);
        if (args->ahead && i % 64 == 0)
            __builtin_prefetch(args->ahead + i, 0, 2);
        if (left == 8) {
            store_8(args, i, x);
            continue;
        }
        const size_t item = args->type == COMPUTE_F32 ? 4 : 2;
        float numbers[8];
        struct kv_expansion rest = *args;
        rest.out = numbers;
        store_8(&rest, 0, x);
        memcpy((char *)args->out + i * item, numbers, left * item);
    }
}

static __m256 scales_8(const bf16 *scales)
{
    const __m128i words = _mm_loadu_si128((const __m128i *)(const void *)scales);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
}

static void expand_integer_keys(const struct kv_expansion *args)
{
    const bool pairs = args->type == COMPUTE_BF16;
    const size_t n = (size_t)(KV_PAGE_TOKENS * args->dim);
    __m256 scales[2 * KV_PAGE_TOKENS / 8];
    for (int j = 0; j < KV_PAGE_TOKENS / 8; j++) {
        const __m256 s = scales_8(args->scales + 8 * j);
        if (!pairs) {
            scales[j] = s;
            continue;
        }
        const __m256i low = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3),
                      high = _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7);
        scales[2 * j] = _mm256_permutevar8x32_ps(s, low);
        scales[2 * j + 1] = _mm256_permutevar8x32_ps(s, high);
    }
    expand_run(args, 0, n, scales, (pairs ? 2 : 1) * KV_PAGE_TOKENS / 8);
}

static void expand_integer_values(const struct kv_expansion *args)
{
    const size_t each = args->type == COMPUTE_BF16 ? 2 : 1, row = each * (size_t)args->dim;
    for (size_t j = 0; j < KV_PAGE_TOKENS; j += each) {
        const __m256 even = _mm256_set1_ps(float_of_bf16(args->scales[j])),
                     odd = _mm256_set1_ps(float_of_bf16(args->scales[j + each - 1])),
                     scales = _mm256_blend_ps(even, odd, 0xaa);
        expand_run(args, j * (size_t)args->dim, row, &scales, 1);
    }
}

void kv_expand_avx2(const struct kv_expansion *args)
{
    if (args->kind == KV_E4M3)
        expand_run(args, 0, (size_t)(KV_PAGE_TOKENS * args->dim), NULL, 1);
    else if (args->of_values)
        expand_integer_values(args);
    else
        expand_integer_keys(args);
}
