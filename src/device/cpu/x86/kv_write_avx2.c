#include "device/cpu/kv_codes.h"
#include "device/cpu/kv_rows.h"
#include "device/cpu/x86/math_avx2.h"
#include "device/cpu/x86/x86.h"

static inline void convert(const float *x, int n, enum compute_type type, void *out)
{
    if (type == COMPUTE_F32) {
        memcpy(out, x, (size_t)n * sizeof *x);
        return;
    }
    uint16_t *halves = out;
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        _mm_storeu_si128((__m128i *)(void *)(halves + i),
                         type == COMPUTE_BF16 ? bf16_8(v) : f16_8(v));
    }
    for (; i < n; i++)
        halves[i] = type == COMPUTE_BF16 ? bf16_of_float(x[i]) : f16_of_float(x[i]);
}

void kv_write_avx2(const struct kv_view *kv, int64_t position, int n_tokens, const float *k,
                   const float *v, size_t stride)
{
    if (kv->codes != KV_PLAIN)
        kv_write_codes(kv, position, n_tokens, k, v, stride, reference_kv_encode);
    else
        kv_write_rows(kv, position, n_tokens, k, v, stride, convert);
}
