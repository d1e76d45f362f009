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
