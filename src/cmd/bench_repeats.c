#include "cmd/bench_repeats.h"

#include <stdlib.h>

#include "base/memory.h"
#include "cmd/bench_workload.h"

static double median_of(const struct bench_call *calls, int begin, int end, double *times, int *n)
{
    *n = 0;
    for (int i = begin; i < end; i++)
        if (calls[i].good)
            times[(*n)++] = (double)(calls[i].first_ns - calls[i].begun_ns) * 1e-6;
    return median(times, *n);
}

enum status bench_repeats_measure(const struct bench_call *calls, int n, int n_prefixes,
                                  struct bench_repeats *out)
{
    double *times = NULL;
    int n_first = n < n_prefixes ? n : n_prefixes;
    *out = (struct bench_repeats){0};
    TRY(memory_new((size_t)n, sizeof *times, "times", &times));
    out->first_ms = median_of(calls, 0, n_first, times, &out->n_first);
    out->repeated_ms = median_of(calls, n_first, n, times, &out->n_repeated);
    out->ratio = out->n_first && out->n_repeated ? out->repeated_ms / out->first_ms : 0;
    free(times);
    return OK;
}

void bench_repeats_json(const struct bench_repeats *repeats, json_t *root)
{
    json_object_set_new(root, "median_ttft_first_use_ms", json_real(repeats->first_ms));
    json_object_set_new(root, "median_ttft_repeated_ms", json_real(repeats->repeated_ms));
    json_object_set_new(root, "ttft_repeated_over_first_use", json_real(repeats->ratio));
}
