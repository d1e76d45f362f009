#include <math.h>

#include "device/cpu/x86/math_avx512.h"
#include "device/cpu/x86/x86.h"

static inline __mmask16 mask_at(int i, int n)
{
    return n - i >= 16 ? (__mmask16)0xffff : mask_of((size_t)(n - i));
}

static float largest_of(const float *x, int n)
{
    const __m512 low = _mm512_set1_ps(-INFINITY);
    __m512 best = low, other = low;
    int i = 0;
    for (; i + 32 <= n; i += 32) { // max(x, best) is best where x is NaN
        best = _mm512_max_ps(_mm512_loadu_ps(x + i), best);
        other = _mm512_max_ps(_mm512_loadu_ps(x + i + 16), other);
    }
    for (; i < n; i += 16)
        best = _mm512_max_ps(_mm512_mask_loadu_ps(low, mask_at(i, n), x + i), best);
    return _mm512_reduce_max_ps(_mm512_max_ps(best, other));
}

// First the value, then its first place: two passes over logits in the cache cost less than
// carrying indices.
int argmax_avx512(const float *x, int n, float *largest)
{
    const __m512 value = _mm512_set1_ps(*largest = largest_of(x, n));
    if (*largest == -INFINITY)
        return 0;
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = mask_at(i, n);
        unsigned equal =
            _mm512_mask_cmp_ps_mask(mask, _mm512_maskz_loadu_ps(mask, x + i), value, _CMP_EQ_OQ);
        if (equal) {
            i += __builtin_ctz(equal);
            *largest = x[i]; // of equals with other bits (zeros of both signs) the first
            return i;
        }
    }
    return 0;
}

float exp_sum_avx512(const float *x, float shift, int n, float *out)
{
    __m512 lanes = _mm512_setzero_ps();
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = mask_at(i, n);
        __m512 y = exp_16(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), _mm512_set1_ps(shift)));
        _mm512_mask_storeu_ps(out + i, mask, y);
        lanes = _mm512_mask_add_ps(lanes, mask, lanes, y);
    }
    return fold_16(lanes);
}

// One block; the sum of its weights.
static inline uint64_t weigh_block(const struct weighing *args, int begin)
{
    const __m512 low = _mm512_set1_ps(-INFINITY), one = _mm512_set1_ps(1);
    __m512i sum = _mm512_setzero_si512();
    for (int i = begin; i < begin + WEIGHING_BLOCK; i += 16) {
        __mmask16 mask = i < args->n ? mask_at(i, args->n) : 0;
        __m512 score = _mm512_mask_mul_ps(low, mask, _mm512_maskz_loadu_ps(mask, args->x + i),
                                          _mm512_set1_ps(args->factor));
        __m512 e = exp_16(_mm512_sub_ps(score, _mm512_set1_ps(args->shift)));
        __m512 scaled =
            _mm512_add_ps(_mm512_mul_ps(e, _mm512_set1_ps(0x1p30f)), _mm512_set1_ps(0.5f));
        __m512i weights = _mm512_maskz_cvttps_epi32(_mm512_cmp_ps_mask(e, one, _CMP_LE_OQ), scaled);
        sum = _mm512_add_epi64(sum, _mm512_and_si512(weights, _mm512_set1_epi64(0xffffffff)));
        sum = _mm512_add_epi64(sum, _mm512_srli_epi64(weights, 32));
        if (args->weights)
            _mm512_storeu_si512(args->weights + i, weights);
        if (args->scores)
            _mm512_storeu_ps(args->scores + i, score);
    }
    return (uint64_t)_mm512_reduce_add_epi64(sum);
}

void weigh_avx512(const struct weighing *args)
{
    for (int begin = 0; begin < args->n; begin += WEIGHING_BLOCK)
        args->sums[begin / WEIGHING_BLOCK] = weigh_block(args, begin);
}

void tops_avx512(const float *x, int n, float *out)
{
    for (int i = 0; i < n; i += WEIGHING_BLOCK)
        out[i / WEIGHING_BLOCK] =
            largest_of(x + i, n - i < WEIGHING_BLOCK ? n - i : WEIGHING_BLOCK);
}
