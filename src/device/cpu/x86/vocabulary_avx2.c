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
