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

void kv_write_avx512(const struct kv_view *kv, int64_t position, int n_tokens, const float *k,
                     const float *v, size_t stride)
{
    kv_write_rows(kv, position, n_tokens, k, v, stride, convert);
}
