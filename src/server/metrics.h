// Prometheus metrics under vLLM 0.32's names, types, labels and buckets, so that its dashboards and
// gateways read them. All of it belongs to the loop's thread.
#ifndef COLROW_SERVER_METRICS_H
#define COLROW_SERVER_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum metric {
    METRIC_ESTIMATED_FLOPS_PER_GPU_TOTAL,
    METRIC_ESTIMATED_READ_BYTES_PER_GPU_TOTAL,
    METRIC_ESTIMATED_WRITE_BYTES_PER_GPU_TOTAL,
    METRIC_NUM_REQUESTS_RUNNING,
    METRIC_NUM_REQUESTS_WAITING,
    METRIC_NUM_REQUESTS_WAITING_BY_REASON,
    METRIC_ENGINE_SLEEP_STATE,
    METRIC_KV_CACHE_USAGE_PERC,
    METRIC_PREFIX_CACHE_QUERIES_TOTAL,
    METRIC_PREFIX_CACHE_HITS_TOTAL,
    METRIC_EXTERNAL_PREFIX_CACHE_QUERIES_TOTAL,
    METRIC_EXTERNAL_PREFIX_CACHE_HITS_TOTAL,
    METRIC_MM_CACHE_QUERIES_TOTAL,
    METRIC_MM_CACHE_HITS_TOTAL,
    METRIC_NUM_PREEMPTIONS_TOTAL,
    METRIC_PROMPT_TOKENS_TOTAL,
    METRIC_PROMPT_TOKENS_BY_SOURCE_TOTAL,
    METRIC_PROMPT_TOKENS_CACHED_TOTAL,
    METRIC_PROMPT_TOKENS_CACHED_BY_SOURCE_TOTAL,
    METRIC_GENERATION_TOKENS_TOTAL,
    METRIC_REQUEST_SUCCESS_TOTAL,
    METRIC_ADMISSION_REJECTIONS_TOTAL,
    METRIC_REQUEST_PROMPT_TOKENS,
    METRIC_REQUEST_GENERATION_TOKENS,
    METRIC_ITERATION_TOKENS_TOTAL,
    METRIC_REQUEST_MAX_NUM_GENERATION_TOKENS,
    METRIC_REQUEST_PARAMS_N,
    METRIC_REQUEST_PARAMS_MAX_TOKENS,
    METRIC_TIME_TO_FIRST_TOKEN_SECONDS,
    METRIC_INTER_TOKEN_LATENCY_SECONDS,
    METRIC_REQUEST_TIME_PER_OUTPUT_TOKEN_SECONDS,
    METRIC_E2E_REQUEST_LATENCY_SECONDS,
    METRIC_REQUEST_QUEUE_TIME_SECONDS,
    METRIC_REQUEST_INFERENCE_TIME_SECONDS,
    METRIC_REQUEST_PREFILL_TIME_SECONDS,
    METRIC_REQUEST_DECODE_TIME_SECONDS,
    METRIC_REQUEST_NUM_PREEMPTIONS,
    METRIC_REQUEST_PREFILL_KV_COMPUTED_TOKENS,
    METRIC_GPU_CACHE_USAGE_PERC,
    METRIC_GPU_PREFIX_CACHE_QUERIES_TOTAL,
    METRIC_GPU_PREFIX_CACHE_HITS_TOTAL,
    METRIC_TIME_PER_OUTPUT_TOKEN_SECONDS,
    N_METRICS
};

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
enum metric_buckets {
    BUCKETS_NONE,
    BUCKETS_LENGTH, // 1, 2, 5, 10, ... up to the context
    BUCKETS_ITERATION,
    BUCKETS_N,
    BUCKETS_FIRST_TOKEN,
    BUCKETS_TOKEN,
    BUCKETS_REQUEST,
    BUCKETS_PREEMPTIONS,
};
enum { METRIC_VALUES_MAX = 5, METRIC_BUCKETS_MAX = 40 };

struct metric_family {
    const char *name, *help;
    enum metric_type type;
    const char *label; // beside engine and model_name, or NULL
    const char *label_values[METRIC_VALUES_MAX];
    enum metric_buckets buckets;
    bool no_engine; // it has no label "engine"
};
extern const struct metric_family metric_families[N_METRICS];

struct metric_histogram {
    uint64_t counts[METRIC_BUCKETS_MAX]; // not cumulative; the last one is +Inf
    double sum;
};

struct metrics {
    char *model; // as a label's value, escaped; heap
    int64_t max_model_len;
    double values[N_METRICS][METRIC_VALUES_MAX];
    struct metric_histogram histograms[N_METRICS];
};

enum status metrics_init(struct metrics *metrics, const char *model,
                         int64_t max_model_len) STATUS_MUST_USE;
void metrics_fini(struct metrics *metrics);

void metric_set(struct metrics *metrics, enum metric metric, int label, double value);
void metric_add(struct metrics *metrics, enum metric metric, int label, double value);
void metric_observe(struct metrics *metrics, enum metric metric, double value);

// Appends all families as Prometheus' text.
enum status metrics_write(const struct metrics *metrics, struct bytes *out) STATUS_MUST_USE;
// One more family, of the caller's own: its head, then samples with labels such as rank="0".
enum status metrics_write_head(struct bytes *out, const char *name, const char *type,
                               const char *help) STATUS_MUST_USE;
enum status metrics_write_sample(struct bytes *out, const char *name, const char *labels,
                                 double value) STATUS_MUST_USE;

#endif
