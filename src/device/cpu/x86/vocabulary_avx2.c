#include <math.h>

#include "device/cpu/lanes.h"
#include "device/cpu/reference.h"
#include "device/cpu/x86/math_avx2.h"
#include "device/cpu/x86/x86.h"

static float largest_of(const float *x, int n)
{
    __m256 best = _mm256_set1_ps(-INFINITY), other = best;
    int i = 0;
    for (; i + 16 <= n; i += 16) { // max(x, best) is best where x is NaN
        best = _mm256_max_ps(_mm256_loadu_ps(x + i), best);
        other = _mm256_max_ps(_mm256_loadu_ps(x + i + 8), other);
    }
    float lanes[8], largest;
    _mm256_storeu_ps(lanes, _mm256_max_ps(best, other));
    reference_argmax(x + i, n - i, &largest); // -inf where nothing is left
    for (int lane = 0; lane < 8; lane++)
        largest = lanes[lane] > largest ? lanes[lane] : largest;
    return largest;
}

// First the value, then its first place: two passes over logits in the cache cost less than
// carrying indices.
int argmax_avx2(const float *x, int n, float *largest)
{
    float value = largest_of(x, n);
    *largest = value;
    if (value == -INFINITY)
        return 0;
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 equal = _mm256_cmp_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(value), _CMP_EQ_OQ);
        int bits = _mm256_movemask_ps(equal);
        if (bits) {
            i += __builtin_ctz((unsigned)bits);
            break;
        }
    }
    while (i < n && !(x[i] == value))
        i++;
    *largest = x[i]; // of equals with other bits (zeros of both signs) the first
    return i;
}

float exp_sum_avx2(const float *x, float shift, int n, float *out)
{
    __m256 low = _mm256_setzero_ps(), high = low;
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        __m256 a = exp_8(_mm256_sub_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(shift)));
        __m256 b = exp_8(_mm256_sub_ps(_mm256_loadu_ps(x + i + 8), _mm256_set1_ps(shift)));
        _mm256_storeu_ps(out + i, a);
        _mm256_storeu_ps(out + i + 8, b);
        low = _mm256_add_ps(low, a);
        high = _mm256_add_ps(high, b);
    }
    float lanes[LANES];
    _mm256_storeu_ps(lanes, low);
    _mm256_storeu_ps(lanes + 8, high);
    for (int j = 0; i + j < n; j++) {
        out[i + j] = number_exp(x[i + j] - shift);
        lanes[j] += out[i + j];
    }
    return fold_lanes(lanes);
}

// A whole block; the sum of its weights.
static inline uint64_t weigh_block(const struct weighing *args, int begin)
{
    const __m256 one = _mm256_set1_ps(1);
    __m256i sum = _mm256_setzero_si256();
    for (int i = begin; i < begin + WEIGHING_BLOCK; i += 8) {
        __m256 score = _mm256_mul_ps(_mm256_loadu_ps(args->x + i), _mm256_set1_ps(args->factor));
        __m256 e = exp_8(_mm256_sub_ps(score, _mm256_set1_ps(args->shift)));
        __m256 scaled =
            _mm256_add_ps(_mm256_mul_ps(e, _mm256_set1_ps(0x1p30f)), _mm256_set1_ps(0.5f));
        __m256i weights = _mm256_and_si256(_mm256_cvttps_epi32(scaled),
                                           _mm256_castps_si256(_mm256_cmp_ps(e, one, _CMP_LE_OQ)));
        sum = _mm256_add_epi64(sum, _mm256_and_si256(weights, _mm256_set1_epi64x(0xffffffff)));
        sum = _mm256_add_epi64(sum, _mm256_srli_epi64(weights, 32));
        if (args->weights)
            _mm256_storeu_si256((__m256i *)(void *)(args->weights + i), weights);
        if (args->scores)
            _mm256_storeu_ps(args->scores + i, score);
    }
    uint64_t lanes[4];
    _mm256_storeu_si256((__m256i *)(void *)lanes, sum);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

void weigh_avx2(const struct weighing *args)
{
    int whole = args->n / WEIGHING_BLOCK * WEIGHING_BLOCK;
    for (int begin = 0; begin < whole; begin += WEIGHING_BLOCK)
        args->sums[begin / WEIGHING_BLOCK] = weigh_block(args, begin);
    struct weighing rest = *args;
    rest.x += whole;
    rest.n -= whole;
    rest.sums += whole / WEIGHING_BLOCK;
    rest.weights = args->weights ? args->weights + whole : NULL;
    rest.scores = args->scores ? args->scores + whole : NULL;
    reference_weigh(&rest);
}

void tops_avx2(const float *x, int n, float *out)
{
    for (int i = 0; i < n; i += WEIGHING_BLOCK)
        out[i / WEIGHING_BLOCK] =
            largest_of(x + i, n - i < WEIGHING_BLOCK ? n - i : WEIGHING_BLOCK);
}
