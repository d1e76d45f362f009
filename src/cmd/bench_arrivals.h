// When requests arrive and how long they are, drawn from a seed.
#ifndef COLROW_CMD_BENCH_ARRIVALS_H
#define COLROW_CMD_BENCH_ARRIVALS_H

#include <stdint.h>

#include "base/status.h"

struct bench_dice {
    uint64_t state;
};
double bench_dice_uniform(struct bench_dice *dice); // (0, 1)
int bench_dice_between(struct bench_dice *dice, int least, int most);
// Gamma-distributed with mean 1: shape 1 is a Poisson process' gap, below is bursty, above even.
double bench_dice_gap(struct bench_dice *dice, double shape);

// Arrival times in seconds of `n` requests at `rate` a second; as vLLM does, stretched so that the
// last comes at n / rate.
void bench_arrivals(struct bench_dice *dice, double rate, double burstiness, int n, double *out);

// Mean, standard deviation and percentiles of figures.
struct bench_figures {
    double mean, median, deviation, most;
    double p99;
};
// Sorts `values`.
void bench_summarize(double *values, int n, struct bench_figures *out);
double bench_percentile(const double *sorted, int n, double percent); // linear between neighbours

#endif
