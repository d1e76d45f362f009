#include <math.h>

#include "device/cpu/lanes.h"
#include "device/cpu/reference.h"

int reference_argmax(const float *x, int n, float *largest)
{
    int best = 0;
    float value = -INFINITY;
    for (int i = 0; i < n; i++)
        if (x[i] > value) { // false for NaN
            value = x[i];
            best = i;
        }
    *largest = value > -INFINITY
                   ? x[best]
                   : value; // the bits as they stand: `value` may be a flushed denormal
    return best;
}

float reference_exp_sum(const float *x, float shift, int n, float *out)
{
    float lanes[LANES] = {0};
    for (int i = 0; i < n; i++) {
        out[i] = number_exp(x[i] - shift);
        lanes[i % LANES] += out[i];
    }
    return fold_lanes(lanes);
}

void reference_weigh(const struct weighing *args)
{
    for (int begin = 0; begin < args->n; begin += WEIGHING_BLOCK) {
        uint64_t sum = 0;
        for (int i = begin; i < begin + WEIGHING_BLOCK; i++) {
            float score = i < args->n ? args->x[i] * args->factor : -INFINITY;
            float e = number_exp(score - args->shift);
            uint32_t weight = e <= 1 ? (uint32_t)(e * 0x1p30f + 0.5f) : 0;
            sum += weight;
            if (args->weights)
                args->weights[i] = weight;
            if (args->scores)
                args->scores[i] = score;
        }
        args->sums[begin / WEIGHING_BLOCK] = sum;
    }
}

void reference_tops(const float *x, int n, float *out)
{
    for (int i = 0; i < n; i += WEIGHING_BLOCK)
        reference_argmax(x + i, n - i < WEIGHING_BLOCK ? n - i : WEIGHING_BLOCK,
                         &out[i / WEIGHING_BLOCK]);
}
