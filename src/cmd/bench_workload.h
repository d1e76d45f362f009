// What the engine benchmarks share: synthetic requests through the public API, and figures beside
// the machine's limits.
#ifndef COLROW_CMD_BENCH_WORKLOAD_H
#define COLROW_CMD_BENCH_WORKLOAD_H

#include <colrow/colrow.h>
#include <jansson.h>
#include <stdio.h>

#include "base/status.h"
#include "device/peak.h"
#include "model/plan.h"

// `n` prompts of `input_len` random tokens, each answered with `output_len` tokens, greedily, to
// the end.
struct workload {
    int n, input_len, output_len;
    uint64_t seed;
};
struct workload_result {
    double seconds, first_token_seconds; // of the whole; until the first token of the first request
    double prefill_seconds, decode_seconds; // of the steps with and without prompt tokens
    uint64_t prefill_tokens, decode_tokens, decode_steps;
    double step_seconds, all_reduce_seconds, wait_seconds; // mean over ranks
    double read_bytes; // bytes/s: read bandwidth measured right before and after, the mean; 0
                       // without a reader
    bool flipped; // the two differ by more than a tenth: the machine changed its mode meanwhile
};
// `reader` may be NULL.
enum status workload_run(struct colrow_engine *engine, const struct workload *workload,
                         struct peak_reader *reader, struct workload_result *out) STATUS_MUST_USE;

// What one token costs at least.
struct model_cost {
    double layer_flops, head_flops; // multiply-adds of the layers; of lm_head, for rows with logits
    double weight_bytes;            // read once a step: layers and lm_head
    double kv_bytes_per_token;      // read for each older token
};
// By the plan of one rank. `batch`: sequences that decode at a time; of experts they read as many
// as they are expected to touch.
enum status model_cost(const struct plan *plan, int batch, struct model_cost *out) STATUS_MUST_USE;

double median(double *values, int n); // sorts
double percentile(const double *sorted, int n, double percent);

// "2 cores: read 30.1 GB/s, products 428 GFLOP/s (bf16 dot 214, f32 FMA 428), int8 850 GOP/s"
void print_limits(FILE *file, int n_cores, const struct peak *peak);
json_t *limits_json(int n_cores, const struct peak *peak);

#endif
