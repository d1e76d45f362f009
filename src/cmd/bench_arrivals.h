// When requests arrive and how long they are, drawn from a seed.
#ifndef COLROW_CMD_BENCH_ARRIVALS_H
#define COLROW_CMD_BENCH_ARRIVALS_H

#include <stdint.h>

#include "base/status.h"

struct bench_dice {
    uint64_t state;
};
int bench_dice_between(struct bench_dice *dice, int least, int most);

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

#endif
