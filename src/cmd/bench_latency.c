// `colrow bench latency` and `colrow bench throughput`: fields of `vllm bench`, and the ratio to
// the machine's limits.
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/file_writer.h"
#include "base/output.h"
#include "base/text_table.h"
#include "cmd/bench_workload.h"
#include "cmd/commands.h"
#include "cmd/engine_flags.h"
#include "cmd/json_output.h"
#include "device/device.h"

enum { ITERATIONS_MAX = 1000 };

struct bench {
    struct engine_flags engine;
    struct workload workload;
    int warmup, iterations, cores;
    const char *output_json;
    bool json, no_limits;
    struct peak_reader *reader;
    struct peak peak;
    struct model_cost cost;
    struct colrow_info info;
};

// As the engine computes and caches.
static enum status find_cost(struct bench *b, const struct model_config *config)
{
    const bool exact = strcmp(b->info.dtype, "float32") == 0,
               half = strcmp(b->info.dtype, "float16") == 0;
    enum kv_cache cache = KV_CACHE_AUTO; // also of names that are the compute type's
    (void)kv_cache_from_name(b->info.kv_cache_dtype, &cache);
    const struct plan_options options = {.n_ranks = 1,
                                         .compute = exact  ? COMPUTE_F32
                                                    : half ? COMPUTE_F16
                                                           : COMPUTE_BF16,
                                         .kv_cache = cache};
    struct plan *plan;
    TRY(plan_compile(config, &options, &plan));
    enum status status = model_cost(plan, b->workload.n, &b->cost);
    plan_free(plan);
    return status;
}

static enum status open_bench_engine(struct bench *b, const char *model, struct colrow_engine **out)
{
    struct model_config config;
    if (b->output_json)
        TRY(file_writer_check(b->output_json));
    TRY(engine_flags_model(&b->engine, &model));
    TRY(model_config_read(model, &config));
    if (!b->no_limits) {
        b->cores = device_cpu_count();
        TRY(peak_measure(b->cores, 0.1, &b->peak));
        TRY(peak_reader_new(b->cores, &b->reader));
    }
    struct colrow_options *options = &b->engine.options;
    int64_t needed = (int64_t)b->workload.input_len + b->workload.output_len;
    if (options->max_model_len == 0 && needed <= config.max_position_embeddings)
        options->max_model_len = needed;
    TRY(engine_flags_open(&b->engine, model, out));
    colrow_get_info(*out, &b->info);
    return find_cost(b, &config);
}

// Multiply-adds of a prefill: every token through the layers, each prompt's last one through
// lm_head.
static double prefill_ratio(const struct bench *b, const struct workload_result *r)
{
    double flops =
        (double)r->prefill_tokens * b->cost.layer_flops + b->workload.n * b->cost.head_flops;
    double peak = strcmp(b->info.product_order, "tiles") == 0 ? peak_tiles_flops(&b->peak)
                                                              : peak_product_flops(&b->peak);
    return r->prefill_seconds > 0 ? flops / r->prefill_seconds / peak : 0;
}

// Bytes of a decode step: all weights once, each sequence's keys and values.
static double decode_ratio(const struct bench *b, const struct workload_result *r)
{
    double context = b->workload.input_len + b->workload.output_len / 2.0;
    double bytes = b->cost.weight_bytes + b->workload.n * context * b->cost.kv_bytes_per_token;
    return r->decode_seconds > 0 && r->read_bytes > 0
               ? bytes * (double)r->decode_steps / r->decode_seconds / r->read_bytes
               : 0;
}

struct series {
    double latency[ITERATIONS_MAX], prefill[ITERATIONS_MAX], decode[ITERATIONS_MAX],
        bandwidth[ITERATIONS_MAX];
    double prefill_part[ITERATIONS_MAX], decode_part[ITERATIONS_MAX];
    bool flipped[ITERATIONS_MAX]; // the bandwidth changed meanwhile
    int n, n_flipped;
    int n_decode; // decode figures that count: of the steady runs, or of all where none was steady
};

// Decode figures of runs during which the bandwidth flipped have no limit to stand beside.
static void keep_steady(struct series *s)
{
    const bool all = s->n_flipped == s->n;
    for (int i = 0; i < s->n; i++) {
        if (s->flipped[i] && !all)
            continue;
        s->decode[s->n_decode] = s->decode[i];
        s->decode_part[s->n_decode] = s->decode_part[i];
        s->bandwidth[s->n_decode++] = s->bandwidth[i];
    }
}

static enum status measure_series(struct bench *b, struct colrow_engine *engine, struct series *s)
{
    for (int i = 0; i < b->warmup + b->iterations; i++) {
        struct workload_result r;
        b->workload.seed = (uint64_t)i + 1;
        TRY(workload_run(engine, &b->workload, b->reader, &r));
        if (i < b->warmup)
            continue;
        s->latency[s->n] = r.seconds;
        s->prefill[s->n] = r.prefill_seconds > 0 ? (double)r.prefill_tokens / r.prefill_seconds : 0;
        s->prefill_part[s->n] = b->no_limits ? 0 : prefill_ratio(b, &r);
        s->decode[s->n] = r.decode_seconds > 0 ? (double)r.decode_tokens / r.decode_seconds : 0;
        s->decode_part[s->n] = decode_ratio(b, &r);
        s->bandwidth[s->n] = r.read_bytes;
        s->flipped[s->n] = r.flipped;
        s->n_flipped += r.flipped;
        s->n++;
    }
    keep_steady(s);
    return OK;
}

static enum status report(struct bench *b, struct series *s)
{
    static const int percents[] = {10, 25, 50, 75, 90, 99};
    double sum = 0;
    json_t *latencies = json_array(), *percentiles = json_object();
    for (int i = 0; i < s->n; i++) {
        sum += s->latency[i];
        json_array_append_new(latencies, json_real(s->latency[i]));
    }
    median(s->latency, s->n);
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        char name[8];
        snprintf(name, sizeof name, "%d", percents[i]);
        json_object_set_new(percentiles, name,
                            json_real(percentile(s->latency, s->n, percents[i])));
    }
    double prefill = median(s->prefill, s->n), decode = median(s->decode, s->n_decode);
    double prefill_part = median(s->prefill_part, s->n),
           decode_part = median(s->decode_part, s->n_decode);
    double bandwidth = median(s->bandwidth, s->n_decode);
    json_t *root = json_pack(
        "{s:f, s:o, s:o, s:i, s:i, s:i, s:i, s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:i, s:o}",
        "avg_latency", sum / s->n, "latencies", latencies, "percentiles", percentiles,
        "tensor_parallel_size", b->info.tensor_parallel_size, "batch_size", b->workload.n,
        "input_len", b->workload.input_len, "output_len", b->workload.output_len, "dtype",
        b->info.dtype, "isa", b->info.isa, "product_order", b->info.product_order,
        "prefill_tokens_per_second", prefill, "prefill_of_peak", prefill_part,
        "decode_tokens_per_second", decode, "decode_of_bandwidth", decode_part,
        "read_bytes_per_second", bandwidth, "runs_dropped", s->n_flipped, "limits",
        limits_json(b->cores, &b->peak));
    if (b->json || b->output_json) {
        TRY(json_write(root, JSON_FIGURES, b->output_json));
        if (b->json)
            return OK;
    } else {
        json_decref(root);
    }
    if (!b->no_limits)
        print_limits(output(), b->cores, &b->peak);
    output_print("%d x (%d in, %d out), TP=%d x %d thread%s, %s, %s, %s: median of %d\n\n",
                 b->workload.n, b->workload.input_len, b->workload.output_len,
                 b->info.tensor_parallel_size, b->info.threads_per_rank,
                 b->info.threads_per_rank == 1 ? "" : "s", b->info.dtype, b->info.isa,
                 b->info.product_order, s->n);
    output_print("  latency  %9.3f s\n", s->latency[s->n / 2]);
    output_print("  prefill  %9.1f tok/s   %.3f of the product peak", prefill, prefill_part);
    if (b->peak.fed_flops > 0 && strcmp(b->info.product_order, "pairs") == 0)
        output_print(", %.3f of FMA with operands from L1",
                     prefill_part * peak_product_flops(&b->peak) / b->peak.fed_flops);
    output_print("\n");
    if (b->workload.output_len == 1)
        return OK;
    output_print(
        "  decode   %9.2f tok/s   %.3f of the read bandwidth of the same minute (%.1f GB/s)\n",
        decode, decode_part, bandwidth / 1e9);
    if (s->n_flipped)
        output_print("  the read bandwidth changed by more than a tenth during %d of %d runs: %s\n",
                     s->n_flipped, s->n,
                     s->n_flipped < s->n ? "left out of decode" : "take the ratio with care");
    return OK;
}

static enum status run_latency(struct bench *b, const char *model)
{
    struct colrow_engine *engine = NULL;
    struct series *series = NULL;
    enum status status = memory_new(1, sizeof *series, "figures", &series);
    if (status == OK)
        status = open_bench_engine(b, model, &engine);
    if (status == OK)
        status = measure_series(b, engine, series);
    if (status == OK)
        status = report(b, series);
    colrow_close(engine);
    peak_reader_free(b->reader);
    free(series);
    return status;
}

static int bench_latency_main(int argc, char **argv);
#define AT(field) offsetof(struct bench, field)
static const struct flag bench_latency_flags[] = {
    {FLAG_INT, "--batch-size", NULL, AT(workload.n), 1, 4096, "N",
     "requests side by side (default 8)"},
    {FLAG_INT, "--input-len", NULL, AT(workload.input_len), 1, 1e6, "N",
     "prompt tokens (default 32)"},
    {FLAG_INT, "--output-len", NULL, AT(workload.output_len), 1, 1e6, "N",
     "new tokens (default 128)"},
    {FLAG_INT, "--num-iters", NULL, AT(iterations), 1, ITERATIONS_MAX, "N",
     "measured runs (default 5)"},
    {FLAG_INT, "--num-iters-warmup", NULL, AT(warmup), 0, 1000, "N", "runs before (default 1)"},
    {FLAG_TEXT, "--output-json", NULL, AT(output_json), 0, 0, "FILE",
     "write the figures there as well"},
    {FLAG_ON, "--no-limits", NULL, AT(no_limits), 0, 0, NULL, "do not measure the machine"},
    {FLAG_ON, "--json", NULL, AT(json), 0, 0, NULL, "for machines"},
};
const struct command command_bench_latency = {
    .name = "bench latency",
    .brief = "one batch of requests, as `vllm bench latency`",
    .positional = "MODEL",
    .summary = "Times one batch of random prompts from submission to the last token, through "
               "the engine that requests\n"
               "use. Read bandwidth is measured right before and after each run.",
    .examples = "  colrow bench latency /tmp/llama-1b -tp 2 --batch-size 1 --input-len 512 "
                "--output-len 64",
    .sections = {FLAG_SECTION(bench_latency_flags, 0),
                 {engine_flag_rows, ENGINE_FLAGS, offsetof(struct bench, engine)}},
    .run = bench_latency_main,
};

static int bench_latency_main(int argc, char **argv)
{
    struct bench b = {
        .workload = {.n = 8, .input_len = 32, .output_len = 128}, .warmup = 1, .iterations = 5};
    bool helped;
    int n_positional;
    const char *model = NULL;
    engine_flags_init_to_measure(&b.engine);
    enum status status =
        flags_parse(&command_bench_latency, &b, argc, argv, &model, 1, &n_positional, &helped);
    if (status == OK && !helped)
        status = model ? run_latency(&b, model)
                       : fail(ERR_USAGE, "no model: colrow bench latency MODEL");
    return status == OK ? 0 : flags_failed(status);
}

static enum status run_throughput(struct bench *b, const char *model)
{
    struct colrow_engine *engine = NULL;
    struct workload_result r;
    enum status status = open_bench_engine(b, model, &engine);
    if (status == OK)
        status = workload_run(engine, &b->workload, b->reader, &r);
    if (status == OK) {
        double tokens = (double)b->workload.n * (b->workload.input_len + b->workload.output_len);
        json_t *root =
            json_pack("{s:s, s:s, s:s, s:f, s:i, s:f, s:f, s:f, s:o}", "dtype", b->info.dtype,
                      "isa", b->info.isa, "product_order", b->info.product_order, "elapsed_time",
                      r.seconds, "num_requests", b->workload.n, "total_num_tokens", tokens,
                      "requests_per_second", b->workload.n / r.seconds, "tokens_per_second",
                      tokens / r.seconds, "limits", limits_json(b->cores, &b->peak));
        if (b->json || b->output_json)
            status = json_write(root, JSON_FIGURES, b->output_json);
        else
            json_decref(root);
        if (!b->json) {
            print_limits(output(), b->cores, &b->peak);
            output_print("Throughput: %.2f requests/s, %.2f total tokens/s, %.2f output tokens/s\n",
                         b->workload.n / r.seconds, tokens / r.seconds,
                         (double)b->workload.n * b->workload.output_len / r.seconds);
        }
    }
    colrow_close(engine);
    peak_reader_free(b->reader);
    return status;
}

static int bench_throughput_main(int argc, char **argv);
static const struct flag bench_throughput_flags[] = {
    {FLAG_INT, "--num-prompts", NULL, AT(workload.n), 1, 65536, "N", "requests (default 64)"},
    {FLAG_INT, "--input-len", NULL, AT(workload.input_len), 1, 1e6, "N",
     "prompt tokens (default 128)"},
    {FLAG_INT, "--output-len", NULL, AT(workload.output_len), 1, 1e6, "N",
     "new tokens (default 64)"},
    {FLAG_TEXT, "--output-json", NULL, AT(output_json), 0, 0, "FILE",
     "write the figures there as well"},
    {FLAG_ON, "--json", NULL, AT(json), 0, 0, NULL, "for machines"},
};
const struct command command_bench_throughput = {
    .name = "bench throughput",
    .brief = "many requests at once, as `vllm bench throughput`",
    .positional = "MODEL",
    .summary = "Submits all requests at once and times until the last one is done.",
    .examples = "  colrow bench throughput models/demo -tp 2 --num-prompts 200",
    .sections = {FLAG_SECTION(bench_throughput_flags, 0),
                 {engine_flag_rows, ENGINE_FLAGS, offsetof(struct bench, engine)}},
    .run = bench_throughput_main,
};

static int bench_throughput_main(int argc, char **argv)
{
    struct bench b = {.workload = {.n = 64, .input_len = 128, .output_len = 64, .seed = 1}};
    bool helped;
    int n_positional;
    const char *model = NULL;
    engine_flags_init_to_measure(&b.engine);
    enum status status =
        flags_parse(&command_bench_throughput, &b, argc, argv, &model, 1, &n_positional, &helped);
    if (status == OK && !helped)
        status = model ? run_throughput(&b, model)
                       : fail(ERR_USAGE, "no model: colrow bench throughput MODEL");
    return status == OK ? 0 : flags_failed(status);
}
