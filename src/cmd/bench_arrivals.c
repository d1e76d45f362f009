#include "cmd/bench_arrivals.h"

#include <math.h>
#include <stdlib.h>

static uint64_t dice_next(struct bench_dice *dice) // splitmix64
{
    uint64_t x = dice->state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

// (0, 1)
static double bench_dice_uniform(struct bench_dice *dice)
{
    return ((double)(dice_next(dice) >> 12) + 0.5) / (double)(UINT64_C(1) << 52);
}

int bench_dice_between(struct bench_dice *dice, int least, int most)
{
    return least + (int)(dice_next(dice) % (uint64_t)(most - least + 1));
}

static double dice_normal(struct bench_dice *dice)
{
    double radius = sqrt(-2 * log(bench_dice_uniform(dice)));
    return radius * cos(2 * 3.14159265358979323846 * bench_dice_uniform(dice));
}

// Marsaglia and Tsang, A simple method for generating gamma variables (2000).
// Gamma-distributed with mean 1: shape 1 is a Poisson process' gap, below is bursty, above even.
static double bench_dice_gap(struct bench_dice *dice, double shape)
{
    double boost = 1, k = shape;
    if (k < 1) {
        boost = pow(bench_dice_uniform(dice), 1 / k);
        k += 1;
    }
    double d = k - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = dice_normal(dice), v = 1 + c * x;
        if (v <= 0)
            continue;
        v = v * v * v;
        if (log(bench_dice_uniform(dice)) < 0.5 * x * x + d - d * v + d * log(v))
            return boost * d * v / shape;
    }
}

void bench_arrivals(struct bench_dice *dice, double rate, double burstiness, int n, double *out)
{
    double now = 0;
    for (int i = 0; i < n; i++)
        out[i] = now += isinf(rate) ? 0 : bench_dice_gap(dice, burstiness) / rate;
    for (int i = 0; i < n && now > 0; i++)
        out[i] *= n / rate / now;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// linear between neighbours
static double bench_percentile(const double *sorted, int n, double percent)
{
    if (n == 0)
        return 0;
    double at = percent / 100 * (n - 1);
    int below = (int)at, above = below + 1 < n ? below + 1 : below;
    return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

void bench_summarize(double *values, int n, struct bench_figures *out)
{
    double sum = 0, squares = 0;
    *out = (struct bench_figures){0};
    if (n == 0)
        return;
    qsort(values, (size_t)n, sizeof *values, by_value);
    for (int i = 0; i < n; i++)
        sum += values[i];
    out->mean = sum / n;
    for (int i = 0; i < n; i++)
        squares += (values[i] - out->mean) * (values[i] - out->mean);
    out->deviation = sqrt(squares / n);
    out->median = bench_percentile(values, n, 50);
    out->p99 = bench_percentile(values, n, 99);
    out->most = values[n - 1];
}
