// The families, as a vLLM 0.32 shows them.
#include "server/metrics.h"

const struct metric_family metric_families[N_METRICS] = {
    [METRIC_ESTIMATED_FLOPS_PER_GPU_TOTAL] =
        {
            .name = "vllm:estimated_flops_per_gpu_total",
            .help = "Estimated number of floating point operations per GPU (for Model "
                    "Flops Utilization calculations).",
            .type = METRIC_COUNTER,
        },
    [METRIC_ESTIMATED_READ_BYTES_PER_GPU_TOTAL] =
        {
            .name = "vllm:estimated_read_bytes_per_gpu_total",
            .help = "Estimated number of bytes read from memory per GPU (for Model Flops "
                    "Utilization calculations).",
            .type = METRIC_COUNTER,
        },
    [METRIC_ESTIMATED_WRITE_BYTES_PER_GPU_TOTAL] =
        {
            .name = "vllm:estimated_write_bytes_per_gpu_total",
            .help = "Estimated number of bytes written to memory per GPU (for Model Flops "
                    "Utilization calculations).",
            .type = METRIC_COUNTER,
        },
    [METRIC_NUM_REQUESTS_RUNNING] =
        {
            .name = "vllm:num_requests_running",
            .help = "Number of requests in model execution batches.",
            .type = METRIC_GAUGE,
        },
    [METRIC_NUM_REQUESTS_WAITING] =
        {
            .name = "vllm:num_requests_waiting",
            .help = "Number of requests waiting to be processed.",
            .type = METRIC_GAUGE,
        },
    [METRIC_NUM_REQUESTS_WAITING_BY_REASON] =
        {
            .name = "vllm:num_requests_waiting_by_reason",
            .help = "Number of waiting requests by reason. Reason labels: 'capacity' = "
                    "waiting for scheduling capacity; 'deferred' = deferred by transient "
                    "constraints (LoRA budget, KV transfer, blocked status). Sum of all "
                    "reasons equals vllm:num_requests_waiting.",
            .type = METRIC_GAUGE,
            .label = "reason",
            .label_values = {"capacity", "deferred"},
        },
    [METRIC_ENGINE_SLEEP_STATE] =
        {
            .name = "vllm:engine_sleep_state",
            .help = "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 "
                    "means engine is awake; weights_offloaded = 1 means sleep level 1; "
                    "discard_all = 1 means sleep level 2.",
            .type = METRIC_GAUGE,
            .label = "sleep_state",
            .label_values = {"awake", "weights_offloaded", "discard_all"},
        },
    [METRIC_KV_CACHE_USAGE_PERC] =
        {
            .name = "vllm:kv_cache_usage_perc",
            .help = "KV-cache usage. 1 means 100 percent usage.",
            .type = METRIC_GAUGE,
        },
    [METRIC_PREFIX_CACHE_QUERIES_TOTAL] =
        {
            .name = "vllm:prefix_cache_queries_total",
            .help = "Prefix cache queries, in terms of number of queried tokens.",
            .type = METRIC_COUNTER,
        },
    [METRIC_PREFIX_CACHE_HITS_TOTAL] =
        {
            .name = "vllm:prefix_cache_hits_total",
            .help = "Prefix cache hits, in terms of number of cached tokens.",
            .type = METRIC_COUNTER,
        },
    [METRIC_EXTERNAL_PREFIX_CACHE_QUERIES_TOTAL] =
        {
            .name = "vllm:external_prefix_cache_queries_total",
            .help = "External prefix cache queries from KV connector cross-instance cache "
                    "sharing, in terms of number of queried tokens.",
            .type = METRIC_COUNTER,
        },
    [METRIC_EXTERNAL_PREFIX_CACHE_HITS_TOTAL] =
        {
            .name = "vllm:external_prefix_cache_hits_total",
            .help = "External prefix cache hits from KV connector cross-instance cache "
                    "sharing, in terms of number of cached tokens.",
            .type = METRIC_COUNTER,
        },
    [METRIC_MM_CACHE_QUERIES_TOTAL] =
        {
            .name = "vllm:mm_cache_queries_total",
            .help = "Multi-modal cache queries, in terms of number of queried items.",
            .type = METRIC_COUNTER,
        },
    [METRIC_MM_CACHE_HITS_TOTAL] =
        {
            .name = "vllm:mm_cache_hits_total",
            .help = "Multi-modal cache hits, in terms of number of cached items.",
            .type = METRIC_COUNTER,
        },
    [METRIC_NUM_PREEMPTIONS_TOTAL] =
        {
            .name = "vllm:num_preemptions_total",
            .help = "Cumulative number of preemption from the engine.",
            .type = METRIC_COUNTER,
        },
    [METRIC_PROMPT_TOKENS_TOTAL] =
        {
            .name = "vllm:prompt_tokens_total",
            .help = "Number of prefill tokens processed.",
            .type = METRIC_COUNTER,
        },
    [METRIC_PROMPT_TOKENS_BY_SOURCE_TOTAL] =
        {
            .name = "vllm:prompt_tokens_by_source_total",
            .help = "Number of prompt tokens by source.",
            .type = METRIC_COUNTER,
            .label = "source",
            .label_values = {"external_kv_transfer", "local_cache_hit", "local_compute"},
        },
    [METRIC_PROMPT_TOKENS_CACHED_TOTAL] =
        {
            .name = "vllm:prompt_tokens_cached_total",
            .help = "Number of cached prompt tokens (local + external).",
            .type = METRIC_COUNTER,
        },
    [METRIC_PROMPT_TOKENS_CACHED_BY_SOURCE_TOTAL] =
        {
            .name = "vllm:prompt_tokens_cached_by_source_total",
            .help = "Prefix-cache hit tokens by the cache tier that supplied them: device "
                    "(local HBM), host (offloaded to DRAM), disk, p2p (transferred from "
                    "another vLLM instance) or external_unspecified. Counted at "
                    "admission; sums to vllm:prefix_cache_hits + "
                    "vllm:external_prefix_cache_hits.",
            .type = METRIC_COUNTER,
            .label = "source",
            .label_values = {"device", "disk", "external_unspecified", "host", "p2p"},
        },
    [METRIC_GENERATION_TOKENS_TOTAL] =
        {
            .name = "vllm:generation_tokens_total",
            .help = "Number of generation tokens processed.",
            .type = METRIC_COUNTER,
        },
    [METRIC_REQUEST_SUCCESS_TOTAL] =
        {
            .name = "vllm:request_success_total",
            .help = "Count of successfully processed requests.",
            .type = METRIC_COUNTER,
            .label = "finished_reason",
            .label_values = {"abort", "error", "length", "repetition", "stop"},
        },
    [METRIC_ADMISSION_REJECTIONS_TOTAL] =
        {
            .name = "vllm:admission_rejections_total",
            .help = "Number of admission attempts rejected by a queue limit, by reason.",
            .type = METRIC_COUNTER,
            .label = "reason",
            .label_values = {"max_num_queued_reqs", "max_num_queued_tokens"},
            .no_engine = true,
        },
    [METRIC_REQUEST_PROMPT_TOKENS] =
        {
            .name = "vllm:request_prompt_tokens",
            .help = "Number of prefill tokens processed.",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_LENGTH,
        },
    [METRIC_REQUEST_GENERATION_TOKENS] =
        {
            .name = "vllm:request_generation_tokens",
            .help = "Number of generation tokens processed.",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_LENGTH,
        },
    [METRIC_ITERATION_TOKENS_TOTAL] =
        {
            .name = "vllm:iteration_tokens_total",
            .help = "Histogram of number of tokens per engine_step.",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_ITERATION,
        },
    [METRIC_REQUEST_MAX_NUM_GENERATION_TOKENS] =
        {
            .name = "vllm:request_max_num_generation_tokens",
            .help = "Histogram of maximum number of requested generation tokens.",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_LENGTH,
        },
    [METRIC_REQUEST_PARAMS_N] =
        {
            .name = "vllm:request_params_n",
            .help = "Histogram of the n request parameter.",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_N,
        },
    [METRIC_REQUEST_PARAMS_MAX_TOKENS] =
        {
            .name = "vllm:request_params_max_tokens",
            .help = "Histogram of the max_tokens request parameter.",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_LENGTH,
        },
    [METRIC_TIME_TO_FIRST_TOKEN_SECONDS] =
        {
            .name = "vllm:time_to_first_token_seconds",
            .help = "Histogram of time to first token in seconds.",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_FIRST_TOKEN,
        },
    [METRIC_INTER_TOKEN_LATENCY_SECONDS] =
        {
            .name = "vllm:inter_token_latency_seconds",
            .help = "Histogram of inter-token latency in seconds.",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_TOKEN,
        },
    [METRIC_REQUEST_TIME_PER_OUTPUT_TOKEN_SECONDS] =
        {
            .name = "vllm:request_time_per_output_token_seconds",
            .help = "Histogram of time_per_output_token_seconds per request.",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_TOKEN,
        },
    [METRIC_E2E_REQUEST_LATENCY_SECONDS] =
        {
            .name = "vllm:e2e_request_latency_seconds",
            .help = "Histogram of e2e request latency in seconds.",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_REQUEST,
        },
    [METRIC_REQUEST_QUEUE_TIME_SECONDS] =
        {
            .name = "vllm:request_queue_time_seconds",
            .help = "Histogram of time spent in WAITING phase for request.",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_REQUEST,
        },
    [METRIC_REQUEST_INFERENCE_TIME_SECONDS] =
        {
            .name = "vllm:request_inference_time_seconds",
            .help = "Histogram of time spent in RUNNING phase for request.",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_REQUEST,
        },
    [METRIC_REQUEST_PREFILL_TIME_SECONDS] =
        {
            .name = "vllm:request_prefill_time_seconds",
            .help = "Histogram of time spent in PREFILL phase for request.",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_REQUEST,
        },
    [METRIC_REQUEST_DECODE_TIME_SECONDS] =
        {
            .name = "vllm:request_decode_time_seconds",
            .help = "Histogram of time spent in DECODE phase for request.",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_REQUEST,
        },
    [METRIC_REQUEST_NUM_PREEMPTIONS] =
        {
            .name = "vllm:request_num_preemptions",
            .help = "Histogram of the number of times a request was preempted.",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_PREEMPTIONS,
        },
    [METRIC_REQUEST_PREFILL_KV_COMPUTED_TOKENS] =
        {
            .name = "vllm:request_prefill_kv_computed_tokens",
            .help = "Histogram of new KV tokens computed during prefill (excluding cached "
                    "tokens).",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_LENGTH,
        },
    [METRIC_GPU_CACHE_USAGE_PERC] =
        {
            .name = "vllm:gpu_cache_usage_perc",
            .help = "KV-cache usage, under the name of older versions.",
            .type = METRIC_GAUGE,
        },
    [METRIC_GPU_PREFIX_CACHE_QUERIES_TOTAL] =
        {
            .name = "vllm:gpu_prefix_cache_queries_total",
            .help = "Prefix cache queries, under the name of older versions.",
            .type = METRIC_COUNTER,
        },
    [METRIC_GPU_PREFIX_CACHE_HITS_TOTAL] =
        {
            .name = "vllm:gpu_prefix_cache_hits_total",
            .help = "Prefix cache hits, under the name of older versions.",
            .type = METRIC_COUNTER,
        },
    [METRIC_TIME_PER_OUTPUT_TOKEN_SECONDS] =
        {
            .name = "vllm:time_per_output_token_seconds",
            .help = "Inter-token latency, under the name of older versions.",
            .type = METRIC_HISTOGRAM,
            .buckets = BUCKETS_TOKEN,
        },
};
