// The time to the first token of prompts that begin with a prefix for the first time, and of those
// that repeat it: what a prefix cache is worth, within one run.
#ifndef COLROW_CMD_BENCH_REPEATS_H
#define COLROW_CMD_BENCH_REPEATS_H

#include <jansson.h>

#include "base/status.h"
#include "cmd/bench_client.h"

struct bench_repeats {
    int n_first, n_repeated;      // calls that were answered
    double first_ms, repeated_ms; // medians
    double ratio;                 // repeated over first
};

// Call i has prefix i % n_prefixes.
enum status bench_repeats_measure(const struct bench_call *calls, int n, int n_prefixes,
                                  struct bench_repeats *out) STATUS_MUST_USE;
// Adds its figures.
void bench_repeats_json(const struct bench_repeats *repeats, json_t *root);

#endif
