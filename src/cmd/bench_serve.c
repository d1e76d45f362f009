// `colrow bench serve`: drives a server of the OpenAI API, any server, and prints what `vllm bench
// serve` prints.
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/output.h"
#include "base/progress.h"
#include "cmd/bench_arrivals.h"
#include "cmd/bench_client.h"
#include "cmd/bench_repeats.h"
#include "cmd/commands.h"
#include "cmd/interrupt.h"
#include "cmd/json_output.h"

enum { BENCH_LEN_MAX = 1 << 20, BENCH_PROMPTS_MAX = 1000000, LOWEST_ID = 10 };

struct bench_serve {
    // flags
    const char *base_url, *host, *endpoint, *backend, *model, *dataset, *api_key, *result_file;
    int port, n_prompts, n_warmups, max_concurrency;
    double request_rate, burstiness, temperature, timeout_s, range_ratio;
    uint64_t seed;
    int input_len, output_len, random_prefix_len;
    int prefix_len, suffix_len, n_prefixes, prefix_output_len;
    int vocabulary;
    bool no_ignore_eos, json, quiet;
    // the run
    uv_loop_t loop;
    uv_timer_t arrival;
    struct bench_target target;
    char url[512], host_text[256], model_text[512];
    struct bench_dice dice;
    struct bench_call *calls; // [n_prompts], warm-ups are others
    double *arrivals;         // [n_prompts] seconds
    int *input_lens;          // [n_prompts] tokens asked for
    int n_arrived, n_started, n_running, n_finished, most_running;
    int64_t begun_ns, ended_ns;
    struct progress bar;
};

static bool repeats_prefixes(const struct bench_serve *b)
{
    return strcmp(b->dataset, "prefix_repetition") == 0;
}

static bool is_chat(const struct bench_serve *b)
{
    return strcmp(b->backend, "openai-chat") == 0;
}

// ---- prompts ----

// Token ids for completions; words for chat, where only text can be sent: about a token each.
static enum status append_piece(struct bench_serve *b, struct bench_dice *dice, int n, bool first,
                                struct bytes *out)
{
    static const char *const words[] = {"time",   "people", "way",  "water", "day",  "part",
                                        "number", "sound",  "work", "place", "year", "name"};
    for (int i = 0; i < n; i++) {
        const char *gap = first && i == 0 ? "" : is_chat(b) ? " " : ",";
        if (is_chat(b))
            TRY(bytes_format(out, "%s%s", gap, words[bench_dice_between(dice, 0, 11)]));
        else
            TRY(bytes_format(out, "%s%d", gap,
                             bench_dice_between(dice, LOWEST_ID, b->vocabulary - 1)));
    }
    return OK;
}

static int length_around(struct bench_serve *b, int length)
{
    int least = (int)floor(length * (1 - b->range_ratio));
    int most = (int)ceil(length * (1 + b->range_ratio));
    return bench_dice_between(&b->dice, least < 1 ? 1 : least, most);
}

// A prefix is drawn from its own seed, so that it is the same in every prompt that has it.
static enum status append_prompt(struct bench_serve *b, int which, int *input, int *output,
                                 struct bytes *out)
{
    bool repeats = repeats_prefixes(b);
    int prefix = repeats ? b->prefix_len : b->random_prefix_len;
    int rest = repeats ? b->suffix_len : length_around(b, b->input_len);
    uint64_t group = repeats ? (uint64_t)(which % b->n_prefixes) : 0;
    struct bench_dice shared = {b->seed * 1000003 + group};
    *output = repeats ? b->prefix_output_len : length_around(b, b->output_len);
    *input = prefix + rest;
    TRY(append_piece(b, &shared, prefix, true, out));
    return append_piece(b, &b->dice, rest, prefix == 0, out);
}

static enum status make_call(struct bench_serve *b, int which, struct bench_call *call, int *input)
{
    struct bytes body;
    int output = 0;
    bytes_init(&body);
    json_t *model = json_foreign(b->model);
    char *name = model ? json_dumps(model, JSON_ENCODE_ANY) : NULL;
    enum status status = name ? OK : fail_memory(0, "the model's name");
    if (status == OK)
        status = bytes_format(&body, "{\"model\":%s,%s", name,
                              is_chat(b) ? "\"messages\":[{\"role\":\"user\",\"content\":\""
                                         : "\"prompt\":[");
    if (status == OK)
        status = append_prompt(b, which, input, &output, &body);
    if (status == OK)
        status = bytes_format(&body,
                              "%s,\"max_tokens\":%d,\"temperature\":%g,\"stream\":true,"
                              "\"stream_options\":{\"include_usage\":true}%s}",
                              is_chat(b) ? "\"}]" : "]", output, b->temperature,
                              b->no_ignore_eos ? "" : ",\"ignore_eos\":true");
    free(name);
    json_decref(model);
    if (status != OK) {
        bytes_fini(&body);
        return status;
    }
    call->path = b->endpoint;
    call->stream = true;
    call->body = body.data;
    return OK;
}

// ---- running ----

static void start_more(struct bench_serve *b);

static void call_finished(struct bench_call *call, void *owner)
{
    struct bench_serve *b = owner;
    (void)call;
    b->n_running--;
    b->n_finished++;
    progress_set(&b->bar, b->n_finished);
    if (b->n_finished == b->n_prompts || interrupt_seen())
        b->ended_ns = clock_ns();
    if (interrupt_seen())
        uv_stop(&b->loop);
    else
        start_more(b);
}

static void start_more(struct bench_serve *b)
{
    while (b->n_started < b->n_arrived &&
           (b->max_concurrency == 0 || b->n_running < b->max_concurrency)) {
        struct bench_call *call = &b->calls[b->n_started++];
        b->n_running++;
        b->most_running = b->n_running > b->most_running ? b->n_running : b->most_running;
        bench_call_begin(&b->loop, &b->target, call, (int)(b->timeout_s * 1e3), call_finished, b);
    }
}

static void call_arrives(uv_timer_t *timer)
{
    struct bench_serve *b = timer->data;
    double now = (double)(clock_ns() - b->begun_ns) * 1e-9;
    while (b->n_arrived < b->n_prompts && b->arrivals[b->n_arrived] <= now)
        b->n_arrived++;
    start_more(b);
    if (b->n_arrived < b->n_prompts) {
        double wait = (b->arrivals[b->n_arrived] - now) * 1e3;
        uv_timer_start(timer, call_arrives, wait < 1 ? 1 : (uint64_t)wait, 0);
    }
}

static enum status run_calls(struct bench_serve *b)
{
    bench_arrivals(&b->dice, b->request_rate, b->burstiness, b->n_prompts, b->arrivals);
    for (int i = 0; i < b->n_prompts; i++)
        TRY(make_call(b, i, &b->calls[i], &b->input_lens[i]));
    if (!b->quiet && !b->json)
        progress_begin(&b->bar, "requests", b->n_prompts);
    uv_timer_init(&b->loop, &b->arrival);
    b->arrival.data = b;
    b->begun_ns = clock_ns();
    call_arrives(&b->arrival);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    progress_end(&b->bar);
    uv_close((uv_handle_t *)&b->arrival, NULL);
    return interrupt_check();
}

static void alone_finished(struct bench_call *call, void *owner)
{
    (void)call;
    (void)owner;
}

// One call by itself, good or an error that names the server.
static enum status call_alone(struct bench_serve *b, struct bench_call *call)
{
    bench_call_begin(&b->loop, &b->target, call, (int)(b->timeout_s * 1e3), alone_finished, NULL);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    return call->good ? OK : fail(ERR_IO, "%s%s: %s", b->url, call->path, call->error);
}

// Without --model: the first one that the server has.
static enum status ask_model(struct bench_serve *b)
{
    struct bench_call call = {.path = "/v1/models"};
    json_t *root = NULL;
    if (b->model)
        return OK;
    enum status status = call_alone(b, &call);
    if (status == OK) {
        root = json_loadb(call.text.data ? call.text.data : "", call.text.length, 0, NULL);
        const char *id = json_string_value(
            json_object_get(json_array_get(json_object_get(root, "data"), 0), "id"));
        size_t length = id ? strlen(id) : sizeof b->model_text;
        if (length < sizeof b->model_text)
            b->model = memcpy(b->model_text, id, length + 1);
        else
            status = fail(ERR_IO, "%s/v1/models names no model; name one with --model", b->url);
    }
    json_decref(root);
    bench_call_fini(&call);
    return status;
}

static enum status warm_up(struct bench_serve *b)
{
    enum status status = OK;
    for (int i = 0; i < b->n_warmups && status == OK; i++) {
        struct bench_call call = {0};
        int input;
        status = make_call(b, i, &call, &input);
        if (status == OK)
            status = call_alone(b, &call);
        bench_call_fini(&call);
    }
    return status;
}

// ---- results ----

enum bench_metric { METRIC_TTFT, METRIC_TPOT, METRIC_ITL, METRIC_E2EL, BENCH_METRICS };
static const char *const metric_names[BENCH_METRICS] = {"ttft", "tpot", "itl", "e2el"};

struct bench_results {
    int good, failed;
    double seconds, input_tokens, output_tokens, peak_tokens;
    struct bench_figures figures[BENCH_METRICS]; // ms
    struct bench_repeats repeats;                // of prefixes, where there are some
};

static int tokens_of(const struct bench_call *call)
{
    return call->completion_tokens >= 0 ? call->completion_tokens : call->n_pieces;
}

static size_t gather_outcomes(const struct bench_serve *b, enum bench_metric metric, double *out)
{
    size_t n = 0;
    for (int i = 0; i < b->n_prompts; i++) {
        const struct bench_call *call = &b->calls[i];
        int tokens = tokens_of(call);
        if (!call->good)
            continue;
        double first = (double)(call->first_ns - call->begun_ns) * 1e-6;
        double all = (double)(call->ended_ns - call->begun_ns) * 1e-6;
        switch (metric) {
        case METRIC_TTFT:
            out[n++] = first;
            break;
        case METRIC_TPOT:
            if (tokens > 1)
                out[n++] = (all - first) / (tokens - 1);
            break;
        case METRIC_ITL:
            for (size_t k = 0; k < call->n_gaps; k++)
                out[n++] = (double)call->gaps_ns[k] * 1e-6;
            break;
        case METRIC_E2EL:
            out[n++] = all;
            break;
        case BENCH_METRICS:
            break;
        }
    }
    return n;
}

// Pieces in the busiest second.
static enum status peak_of(const struct bench_serve *b, double *out)
{
    int *seconds = NULL;
    size_t n = (size_t)((b->ended_ns - b->begun_ns) / 1000000000) + 2;
    *out = 0;
    TRY(memory_new(n, sizeof *seconds, "seconds", &seconds));
    for (int i = 0; i < b->n_prompts; i++) {
        const struct bench_call *call = &b->calls[i];
        int64_t at = call->first_ns - b->begun_ns;
        for (size_t k = 0; k <= call->n_gaps && call->good; k++) {
            int count = ++seconds[(size_t)(at / 1000000000) % n];
            *out = count > *out ? count : *out;
            at += k < call->n_gaps ? call->gaps_ns[k] : 0;
        }
    }
    free(seconds);
    return OK;
}

static enum status sum_up_outcomes(const struct bench_serve *b, struct bench_results *r)
{
    double *values = NULL;
    size_t most = (size_t)b->n_prompts;
    *r = (struct bench_results){.seconds = (double)(b->ended_ns - b->begun_ns) * 1e-9};
    for (int i = 0; i < b->n_prompts; i++) {
        const struct bench_call *call = &b->calls[i];
        most += call->n_gaps;
        r->good += call->good;
        r->failed += !call->good;
        if (!call->good)
            continue;
        r->input_tokens += call->prompt_tokens >= 0 ? call->prompt_tokens : b->input_lens[i];
        r->output_tokens += tokens_of(call);
    }
    TRY(memory_new(most, sizeof *values, "times", &values));
    for (int m = 0; m < BENCH_METRICS; m++)
        bench_summarize(values, (int)gather_outcomes(b, (enum bench_metric)m, values),
                        &r->figures[m]);
    free(values);
    if (repeats_prefixes(b))
        TRY(bench_repeats_measure(b->calls, b->n_prompts, b->n_prefixes, &r->repeats));
    return peak_of(b, &r->peak_tokens);
}

static void print_line(const char *name, double value, int digits)
{
    output_print("%-40s %-10.*f\n", name, digits, value);
}

static void print_heading(const char *text, char fill)
{
    enum { WIDTH = 50 };
    char filler[WIDTH];
    int n = (int)strlen(text), left = (WIDTH - n) / 2;
    memset(filler, fill, WIDTH);
    output_print("%.*s%s%.*s\n", left, filler, text, WIDTH - n - left, filler);
}

// Line by line what `vllm bench serve` prints, so that scripts that read it read this.
static void print_serve_results(const struct bench_serve *b, const struct bench_results *r)
{
    static const char *const titles[BENCH_METRICS][2] = {
        {"Time to First Token", "TTFT"},
        {"Time per Output Token (excl. 1st token)", "TPOT"},
        {"Inter-token Latency", "ITL"},
        {"End-to-end Latency", "E2EL"},
    };
    print_heading(" Serving Benchmark Result ", '=');
    print_line("Successful requests:", r->good, 0);
    print_line("Failed requests:", r->failed, 0);
    if (b->max_concurrency)
        print_line("Maximum request concurrency:", b->max_concurrency, 0);
    if (!isinf(b->request_rate))
        print_line("Request rate configured (RPS):", b->request_rate, 2);
    print_line("Benchmark duration (s):", r->seconds, 2);
    print_line("Total input tokens:", r->input_tokens, 0);
    print_line("Total generated tokens:", r->output_tokens, 0);
    print_line("Request throughput (req/s):", r->good / r->seconds, 2);
    print_line("Output token throughput (tok/s):", r->output_tokens / r->seconds, 2);
    print_line("Peak output token throughput (tok/s):", r->peak_tokens, 2);
    print_line("Peak concurrent requests:", b->most_running, 2);
    print_line("Total token throughput (tok/s):", (r->input_tokens + r->output_tokens) / r->seconds,
               2);
    for (int m = 0; m < BENCH_METRICS; m++) {
        char name[64];
        const struct bench_figures *f = &r->figures[m];
        print_heading(titles[m][0], '-');
        snprintf(name, sizeof name, "Mean %s (ms):", titles[m][1]);
        print_line(name, f->mean, 2);
        snprintf(name, sizeof name, "Median %s (ms):", titles[m][1]);
        print_line(name, f->median, 2);
        snprintf(name, sizeof name, "P99 %s (ms):", titles[m][1]);
        print_line(name, f->p99, 2);
    }
    if (repeats_prefixes(b)) {
        print_heading("Repeated Prefixes", '-');
        print_line("Median TTFT, first use (ms):", r->repeats.first_ms, 2);
        print_line("Median TTFT, repeated (ms):", r->repeats.repeated_ms, 2);
        print_line("Repeated over first use:", r->repeats.ratio, 3);
    }
    print_heading("", '=');
}

static json_t *results_json(const struct bench_serve *b, const struct bench_results *r)
{
    json_t *root =
        json_pack("{s:s, s:o, s:i, s:i, s:i, s:f, s:I, s:I, s:f, s:f, s:f, s:f, s:i}", "backend",
                  b->backend, "model_id", json_foreign(b->model), "num_prompts", b->n_prompts,
                  "completed", r->good, "failed", r->failed, "duration", r->seconds,
                  "total_input_tokens", (json_int_t)r->input_tokens, "total_output_tokens",
                  (json_int_t)r->output_tokens, "request_throughput", r->good / r->seconds,
                  "output_throughput", r->output_tokens / r->seconds, "total_token_throughput",
                  (r->input_tokens + r->output_tokens) / r->seconds, "max_output_tokens_per_s",
                  r->peak_tokens, "max_concurrent_requests", b->most_running);
    json_object_set_new(root, "request_rate",
                        isinf(b->request_rate) ? json_string("inf") : json_real(b->request_rate));
    json_object_set_new(root, "burstiness", json_real(b->burstiness));
    json_object_set_new(root, "max_concurrency",
                        b->max_concurrency ? json_integer(b->max_concurrency) : json_null());
    if (repeats_prefixes(b))
        bench_repeats_json(&r->repeats, root);
    for (int m = 0; m < BENCH_METRICS && root; m++) {
        const struct bench_figures *f = &r->figures[m];
        const struct {
            const char *what;
            double value;
        } rows[] = {
            {"mean", f->mean}, {"median", f->median}, {"std", f->deviation}, {"p99", f->p99}};
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            char key[32];
            snprintf(key, sizeof key, "%s_%s_ms", rows[i].what, metric_names[m]);
            json_object_set_new(root, key, json_real(rows[i].value));
        }
    }
    return root;
}

// The first failure of each kind would be many lines; the first one says most.
static void show_failure(const struct bench_serve *b)
{
    for (int i = 0; i < b->n_prompts; i++)
        if (b->calls[i].done && !b->calls[i].good) {
            fprintf(stderr, "request %d failed: %s\n", i, b->calls[i].error);
            return;
        }
}

// ---- the command ----

static enum status check_flags(struct bench_serve *b)
{
    if (strcmp(b->backend, "openai") != 0 && strcmp(b->backend, "vllm") != 0 && !is_chat(b))
        return fail(ERR_USAGE, "flag --backend is \"%s\"; expected openai, vllm or openai-chat",
                    b->backend);
    if (strcmp(b->dataset, "random") != 0 && strcmp(b->dataset, "prefix_repetition") != 0)
        return fail(ERR_USAGE,
                    "flag --dataset-name is \"%s\"; expected random or prefix_repetition",
                    b->dataset);
    if (!b->endpoint)
        b->endpoint = is_chat(b) ? "/v1/chat/completions" : "/v1/completions";
    if (!b->api_key)
        b->api_key = getenv("OPENAI_API_KEY");
    for (const char *c = b->api_key; c && *c; c++)
        if ((unsigned char)*c <= 0x20 || *c == 0x7f)
            return fail(ERR_USAGE, "the API key holds a blank or a control character");
    for (const char *c = b->endpoint; *c; c++)
        if ((unsigned char)*c <= 0x20 || *c == 0x7f)
            return fail(ERR_USAGE, "flag --endpoint holds a blank or a control character");
    if (b->base_url)
        snprintf(b->url, sizeof b->url, "%s", b->base_url);
    else
        snprintf(b->url, sizeof b->url, "http://%s:%d", b->host, b->port);
    const char *path;
    b->target.api_key = b->api_key;
    TRY(bench_target_parse(b->url, &b->target, b->host_text, &path));
    if (*path && strcmp(path, "/") != 0)
        return fail(ERR_USAGE,
                    "flag --base-url is \"%s\"; expected no path there, but in --endpoint", b->url);
    return OK;
}

static enum status run_bench_serve(struct bench_serve *b)
{
    struct bench_results results;
    size_t n = (size_t)b->n_prompts;
    TRY(check_flags(b));
    TRY(memory_new(n, sizeof *b->calls, "requests", &b->calls));
    TRY(memory_new(n, sizeof *b->arrivals, "arrivals", &b->arrivals));
    TRY(memory_new(n, sizeof *b->input_lens, "lengths", &b->input_lens));
    interrupts_catch();
    TRY(ask_model(b));
    TRY(warm_up(b));
    TRY(run_calls(b));
    TRY(sum_up_outcomes(b, &results));
    if (b->result_file)
        TRY(json_write(results_json(b, &results), JSON_FIGURES, b->result_file));
    if (b->json)
        TRY(json_write(results_json(b, &results), JSON_FIGURES, NULL));
    else
        print_serve_results(b, &results);
    if (results.failed) {
        show_failure(b);
        return fail(ERR_IO, "%d of %d requests failed", results.failed, b->n_prompts);
    }
    return OK;
}

static int bench_serve_main(int argc, char **argv);
#define AT(field) offsetof(struct bench_serve, field)
static const struct flag bench_serve_flags[] = {
    {FLAG_TEXT, "--base-url", NULL, AT(base_url), 0, 0, "URL",
     "the server, http://HOST:PORT (default: --host and --port)"},
    {FLAG_TEXT, "--host", NULL, AT(host), 0, 0, "NAME", "default 127.0.0.1"},
    {FLAG_INT, "--port", NULL, AT(port), 1, 65535, "N", "default 8000"},
    {FLAG_TEXT, "--backend", "--endpoint-type", AT(backend), 0, 0, "KIND",
     "openai (completions, prompts as token ids; also vllm) or openai-chat (words)"},
    {FLAG_TEXT, "--endpoint", NULL, AT(endpoint), 0, 0, "PATH",
     "default /v1/completions or /v1/chat/completions"},
    {FLAG_TEXT, "--model", NULL, AT(model), 0, 0, "NAME", "default: the server's first"},
    {FLAG_TEXT, "--api-key", NULL, AT(api_key), 0, 0, "KEY", "default: OPENAI_API_KEY"},
    {FLAG_INT, "--num-prompts", NULL, AT(n_prompts), 1, BENCH_PROMPTS_MAX, "N",
     "requests (default 1000)"},
    {FLAG_INT, "--num-warmups", NULL, AT(n_warmups), 0, 10000, "N",
     "requests before, one by one, which do not count (default 0)"},
    {FLAG_INT, "--max-concurrency", NULL, AT(max_concurrency), 1, 100000, "N",
     "at once at most: with --request-rate inf a closed loop"},
    {FLAG_NUMBER, "--request-rate", NULL, AT(request_rate), 1e-3, INFINITY, "R",
     "arrivals a second (default inf: all at the start)"},
    {FLAG_NUMBER, "--burstiness", NULL, AT(burstiness), 1e-2, 1e4, "B",
     "1: Poisson (default); below: bursts; above: evenly"},
    {FLAG_TEXT, "--dataset-name", NULL, AT(dataset), 0, 0, "NAME", "random or prefix_repetition"},
    {FLAG_INT, "--random-input-len", "--input-len", AT(input_len), 1, BENCH_LEN_MAX, "N",
     "tokens of a prompt (default 1024)"},
    {FLAG_INT, "--random-output-len", "--output-len", AT(output_len), 1, BENCH_LEN_MAX, "N",
     "tokens of an answer (default 128)"},
    {FLAG_NUMBER, "--random-range-ratio", NULL, AT(range_ratio), 0, 0.999, "R",
     "both lengths drawn evenly within 1 - R to 1 + R of that (default 0)"},
    {FLAG_INT, "--random-prefix-len", NULL, AT(random_prefix_len), 0, BENCH_LEN_MAX, "N",
     "tokens in front that all prompts share (default 0)"},
    {FLAG_INT, "--prefix-repetition-prefix-len", NULL, AT(prefix_len), 0, BENCH_LEN_MAX, "N",
     "default 256"},
    {FLAG_INT, "--prefix-repetition-suffix-len", NULL, AT(suffix_len), 1, BENCH_LEN_MAX, "N",
     "default 256"},
    {FLAG_INT, "--prefix-repetition-num-prefixes", NULL, AT(n_prefixes), 1, BENCH_PROMPTS_MAX, "N",
     "default 10"},
    {FLAG_INT, "--prefix-repetition-output-len", NULL, AT(prefix_output_len), 1, BENCH_LEN_MAX, "N",
     "default 128"},
    {FLAG_INT, "--vocab-size", NULL, AT(vocabulary), LOWEST_ID + 1, 1 << 24, "N",
     "token ids are drawn below it (default 256: any model has these)"},
    {FLAG_NUMBER, "--temperature", NULL, AT(temperature), 0, 10, "T", "default 0"},
    {FLAG_ON, "--stop-at-eos", NULL, AT(no_ignore_eos), 0, 0, NULL,
     "let answers end early (default: ignore_eos)"},
    {FLAG_NUMBER, "--request-timeout", NULL, AT(timeout_s), 0.1, 1e6, "SECONDS",
     "after which a request has failed (default 600)"},
    {FLAG_UINT64, "--seed", NULL, AT(seed), 0, 0, "N", "of lengths, prompts and arrivals"},
    {FLAG_TEXT, "--result-filename", NULL, AT(result_file), 0, 0, "FILE", "figures as JSON, too"},
    {FLAG_ON, "--json", NULL, AT(json), 0, 0, NULL, "figures as JSON instead of the table"},
    {FLAG_ON, "--quiet", "-q", AT(quiet), 0, 0, NULL, "no progress bar"},
};
const struct command command_bench_serve = {
    .name = "bench serve",
    .brief = "a server of the OpenAI API under load: throughput, TTFT, TPOT, ITL, E2EL",
    .summary = "Sends streaming requests to a server, colrow's or any other, and prints what\n"
               "`vllm bench serve` prints, under the same flags.",
    .examples =
        "  colrow bench serve --port 8000 --num-prompts 64 --max-concurrency 8\n"
        "  colrow bench serve --base-url http://127.0.0.1:8000 --request-rate 2 --random-input-len "
        "256 --random-range-ratio 0.5\n"
        "  colrow bench serve --dataset-name prefix_repetition --prefix-repetition-prefix-len 1024",
    .sections = {FLAG_SECTION(bench_serve_flags, 0)},
    .run = bench_serve_main,
};

static int bench_serve_main(int argc, char **argv)
{
    struct bench_serve b = {
        .host = "127.0.0.1",
        .port = 8000,
        .backend = "openai",
        .dataset = "random",
        .n_prompts = 1000,
        .request_rate = INFINITY,
        .burstiness = 1,
        .timeout_s = 600,
        .input_len = 1024,
        .output_len = 128,
        .prefix_len = 256,
        .suffix_len = 256,
        .n_prefixes = 10,
        .prefix_output_len = 128,
        .vocabulary = 256,
    };
    bool helped;
    int n_positional;
    uv_loop_init(&b.loop);
    enum status status =
        flags_parse(&command_bench_serve, &b, argc, argv, NULL, 0, &n_positional, &helped);
    b.dice.state = b.seed;
    if (status == OK && !helped)
        status = run_bench_serve(&b);
    uv_run(&b.loop, UV_RUN_NOWAIT);
    for (int i = 0; i < b.n_prompts && b.calls && !b.n_running; i++)
        bench_call_fini(&b.calls[i]);
    if (!b.n_running) { // else calls still hold them: the process ends anyway
        uv_run(&b.loop, UV_RUN_DEFAULT);
        uv_loop_close(&b.loop);
        free(b.calls);
    }
    free(b.arrivals);
    free(b.input_lens);
    return status == OK ? 0 : flags_failed(status);
}
