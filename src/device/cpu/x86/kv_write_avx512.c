#include "device/cpu/kv_codes.h"
#include "device/cpu/kv_rows.h"
#include "device/cpu/x86/math_avx512.h"
#include "device/cpu/x86/x86.h"

static inline void convert(const float *x, int n, enum compute_type type, void *out)
{
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = n - i >= 16 ? (__mmask16)0xffff : mask_of((size_t)(n - i));
        __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
        if (type == COMPUTE_F32)
            _mm512_mask_storeu_ps((float *)out + i, mask, v);
        else
            _mm256_mask_storeu_epi16((uint16_t *)out + i, mask,
                                     type == COMPUTE_BF16 ? bf16_16(v) : f16_16(v));
    }
}

static inline __m512i e4m3_16(__m512 x)
{
    const __m512i bits = _mm512_castps_si512(x),
                  sign = _mm512_and_si512(_mm512_srli_epi32(bits, 24), _mm512_set1_epi32(0x80)),
                  a = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff)),
                  odd = _mm512_and_si512(_mm512_srli_epi32(a, 20), _mm512_set1_epi32(1));
    __m512i code = _mm512_add_epi32(_mm512_add_epi32(a, _mm512_set1_epi32(0x7ffff)), odd);
    code = _mm512_sub_epi32(_mm512_srli_epi32(code, 20), _mm512_set1_epi32(120 << 3));
    const __m512 small = _mm512_mul_ps(_mm512_castsi512_ps(a), _mm512_set1_ps(512));
    code = _mm512_mask_cvtps_epi32(
        code, _mm512_cmplt_epu32_mask(a, _mm512_set1_epi32(E4M3_NORMAL_BITS)), small);
    code = _mm512_mask_mov_epi32(code, _mm512_cmpge_epu32_mask(a, _mm512_set1_epi32(E4M3_MAX_BITS)),
                                 _mm512_set1_epi32(0x7e));
    code = _mm512_mask_mov_epi32(code, _mm512_cmpgt_epu32_mask(a, _mm512_set1_epi32(0x7f800000)),
                                 _mm512_set1_epi32(0x7f));
    return _mm512_or_si512(code, sign);
}

static bf16 encode_row(const float *x, int n, enum kv_codes codes, uint8_t *out)
{
    __m512i largest = _mm512_setzero_si512();
    bf16 scale = 0;
    float s = 1;
    if (codes == KV_INT8) {
        for (int i = 0; i < n; i += 16) {
            const __mmask16 mask = n - i >= 16 ? (__mmask16)0xffff : mask_of((size_t)(n - i));
            const __m512i bits = _mm512_maskz_loadu_epi32(mask, x + i);
            largest =
                _mm512_max_epu32(largest, _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff)));
        }
        const uint32_t bits = _mm512_reduce_max_epu32(largest);
        scale = bits < 0x7f800000 ? bf16_of_float(float_of_bits(bits) / 127) : 0x7fc0;
        s = float_of_bf16(scale);
        if (!(s > 0)) {
            memset(out, 0, (size_t)n);
            return scale;
        }
    }
    for (int i = 0; i < n; i += 16) {
        const __mmask16 mask = n - i >= 16 ? (__mmask16)0xffff : mask_of((size_t)(n - i));
        const __m512 row = _mm512_maskz_loadu_ps(mask, x + i);
        const __m512i words = codes == KV_INT8
                                  ? _mm512_cvtps_epi32(_mm512_div_ps(row, _mm512_set1_ps(s)))
                                  : e4m3_16(row);
        _mm512_mask_cvtepi32_storeu_epi8(out + i, mask, words);
    }
    return scale;
}

void kv_write_avx512(const struct kv_view *kv, int64_t position, int n_tokens, const float *k,
                     const float *v, size_t stride)
{
    if (kv->codes != KV_PLAIN)
        kv_write_codes(kv, position, n_tokens, k, v, stride, encode_row);
    else
        kv_write_rows(kv, position, n_tokens, k, v, stride, convert);
}
