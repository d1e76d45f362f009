// Which path is answered by what, and the answers that need no request of the engine's.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "server/api_convert.h"
#include "server/json_writer.h"
#include "server/serve_state.h"

static struct colrow_gauges gauges_of(const struct serve_server *server)
{
    struct colrow_gauges gauges;
    colrow_get_gauges(server->engine, &gauges);
    return gauges;
}

// ---- small answers ----

static void answer_json_of(struct http_exchange *exchange, const struct api_fault *fault,
                           struct bytes *out)
{
    if (fault->status)
        http_answer_error(exchange, fault->status, fault->type,
                          fault->has_param ? fault->param : NULL, "%s", fault->message);
    else
        http_answer_json(exchange, 200, out->data, out->length);
    bytes_fini(out);
}

static void answer_version(struct http_exchange *exchange, void *owner)
{
    struct api_fault fault = {0};
    struct bytes out;
    (void)owner;
    bytes_init(&out);
    fault_of_status(&fault, bytes_format(&out, "{\"version\":\"%s\"}", colrow_version()));
    answer_json_of(exchange, &fault, &out);
}

static void answer_models(struct http_exchange *exchange, void *owner)
{
    const struct serve_server *server = owner;
    const char *name = http_exchange_request(exchange)->tail;
    struct api_fault fault = {0};
    struct bytes out;
    if (!serve_is_loaded(server,
                         exchange)) // scripts take the list of models for a sign of readiness
        return;
    bytes_init(&out);
    models_answer(&server->model, name && *name ? name : NULL, &out, &fault);
    answer_json_of(exchange, &fault, &out);
}

static void answer_tokenizer_info(struct http_exchange *exchange, void *owner)
{
    const struct serve_server *server = owner;
    struct api_fault fault = {0};
    struct bytes out;
    bytes_init(&out);
    tokenizer_info_answer(&server->model, &out, &fault);
    answer_json_of(exchange, &fault, &out);
}

// "/v1/models/" is a mistake that Starlette forgives.
static void answer_redirect(struct http_exchange *exchange, void *owner)
{
    const struct serve_server *server = owner;
    const char *root = server->options->http.root_path,
               *path = http_exchange_request(exchange)->path;
    char location[512];
    size_t n = strlen(path);
    int length = snprintf(location, sizeof location, "%s%.*s", root ? root : "",
                          (int)(n > 1 ? n - 1 : n), path);
    if (length < 0 || (size_t)length >= sizeof location) {
        http_answer_error(exchange, 404, NULL, NULL, "no such path");
        return;
    }
    http_answer_field(exchange, "Location", location);
    http_answer(exchange, 307, NULL, NULL, 0);
}

// ---- metrics ----

void serve_measure(struct serve_server *server)
{
    struct metrics *metrics = &server->metrics;
    struct colrow_statistics now;
    colrow_get_statistics(server->engine, &now);
    const struct colrow_statistics *seen = &server->seen;
    uint64_t steps = now.steps - seen->steps;
    uint64_t tokens =
        now.prefill_tokens + now.decode_tokens - seen->prefill_tokens - seen->decode_tokens;
    for (uint64_t i = 0; i < steps; i++)
        metric_observe(metrics, METRIC_ITERATION_TOKENS_TOTAL, (double)tokens / (double)steps);
    server->seen = now;
}

static void refresh(struct serve_server *server)
{
    struct metrics *metrics = &server->metrics;
    const struct colrow_statistics *seen = &server->seen;
    struct colrow_gauges gauges = gauges_of(server);
    double used = gauges.kv_pages > 0 ? (double)gauges.kv_pages_used / (double)gauges.kv_pages : 0;
    enum { CAPACITY, CACHED_LABEL, COMPUTED_LABEL, DEVICE_LABEL = 0, HOST_LABEL = 3 };
    metric_set(metrics, METRIC_NUM_REQUESTS_RUNNING, 0, gauges.running_sequences);
    metric_set(metrics, METRIC_NUM_REQUESTS_WAITING, 0, gauges.waiting_sequences);
    metric_set(metrics, METRIC_NUM_REQUESTS_WAITING_BY_REASON, CAPACITY, gauges.waiting_sequences);
    metric_set(metrics, METRIC_KV_CACHE_USAGE_PERC, 0, used);
    metric_set(metrics, METRIC_GPU_CACHE_USAGE_PERC, 0, used);
    metric_set(metrics, METRIC_NUM_PREEMPTIONS_TOTAL, 0, (double)seen->preemptions);
    metric_set(metrics, METRIC_PROMPT_TOKENS_TOTAL, 0, (double)seen->prompt_tokens);
    metric_set(metrics, METRIC_PROMPT_TOKENS_BY_SOURCE_TOTAL, CACHED_LABEL,
               (double)seen->cached_prompt_tokens);
    metric_set(metrics, METRIC_PROMPT_TOKENS_BY_SOURCE_TOTAL, COMPUTED_LABEL,
               (double)(seen->prompt_tokens - seen->cached_prompt_tokens));
    metric_set(metrics, METRIC_PROMPT_TOKENS_CACHED_TOTAL, 0, (double)seen->cached_prompt_tokens);
    double local = (double)(seen->prefix_cache_hits - seen->prefix_cache_host_hits);
    metric_set(metrics, METRIC_PROMPT_TOKENS_CACHED_BY_SOURCE_TOTAL, DEVICE_LABEL, local);
    metric_set(metrics, METRIC_PROMPT_TOKENS_CACHED_BY_SOURCE_TOTAL, HOST_LABEL,
               (double)seen->prefix_cache_host_hits);
    if (seen->kv_pages_offloaded) // as vLLM's connectors: asked for what is not in the first pool
        metric_set(metrics, METRIC_EXTERNAL_PREFIX_CACHE_QUERIES_TOTAL, 0,
                   (double)seen->prefix_cache_queries - local);
    metric_set(metrics, METRIC_EXTERNAL_PREFIX_CACHE_HITS_TOTAL, 0,
               (double)seen->prefix_cache_host_hits);
    static const enum metric queries[] = {METRIC_PREFIX_CACHE_QUERIES_TOTAL,
                                          METRIC_GPU_PREFIX_CACHE_QUERIES_TOTAL};
    static const enum metric hits[] = {METRIC_PREFIX_CACHE_HITS_TOTAL,
                                       METRIC_GPU_PREFIX_CACHE_HITS_TOTAL};
    for (int i = 0; i < 2; i++) {
        metric_set(metrics, queries[i], 0, (double)seen->prefix_cache_queries);
        metric_set(metrics, hits[i], 0, local);
    }
    metric_set(metrics, METRIC_GENERATION_TOKENS_TOTAL, 0, (double)seen->generated_tokens);
}

static enum status write_cache_config(const struct serve_server *server, struct bytes *out)
{
    struct colrow_info info;
    colrow_get_info(server->engine, &info);
    int64_t tokens = info.kv_pages * info.kv_page_tokens;
    TRY(metrics_write_head(out, "vllm:cache_config_info", "gauge",
                           "Information of the LLMEngine CacheConfig"));
    return bytes_format(out,
                        "vllm:cache_config_info{block_size=\"%lld\",cache_dtype=\"%s\","
                        "enable_prefix_caching=\"%s\",engine=\"0\","
                        "gpu_memory_utilization=\"%g\",kv_cache_size_tokens=\"%lld\","
                        "num_gpu_blocks=\"%lld\"} 1.0\n",
                        (long long)info.kv_page_tokens, info.kv_cache_dtype,
                        info.prefix_caching ? "True" : "False", server->options->memory_utilization,
                        (long long)tokens, (long long)info.kv_pages);
}

static double seconds_of_step(const struct colrow_rank_statistics *rank)
{
    return rank->step_seconds;
}
static double seconds_of_reduce(const struct colrow_rank_statistics *rank)
{
    return rank->all_reduce_seconds;
}
static double seconds_of_wait(const struct colrow_rank_statistics *rank)
{
    return rank->wait_seconds;
}
static double seconds_between_stages(const struct colrow_rank_statistics *rank)
{
    return rank->stage_seconds;
}
static double bytes_of_reduce(const struct colrow_rank_statistics *rank)
{
    return (double)rank->bytes_sent;
}

static enum status write_per_rank(const struct serve_server *server, int n_ranks, struct bytes *out)
{
    static const struct {
        const char *name, *help;
        double (*value)(const struct colrow_rank_statistics *rank);
    } families[] = {
        {"colrow_rank_step_seconds_total", "Time of a rank in forward passes.", seconds_of_step},
        {"colrow_rank_wait_seconds_total",
         "Time of a rank in all-reduces waiting for its peers: the one that waits least is the one "
         "that others wait for.",
         seconds_of_wait},
        {"colrow_allreduce_seconds_total", "Time of a rank in all-reduces, waiting included.",
         seconds_of_reduce},
        {"colrow_allreduce_bytes_total", "Bytes that a rank sent to its peers.", bytes_of_reduce},
        {"colrow_rank_stage_seconds_total",
         "Time of a rank in receiving and sending the stream between pipeline stages, waiting "
         "included: a stage that waits least is the one that the others wait for.",
         seconds_between_stages},
    };
    struct colrow_rank_statistics rank;
    char labels[64];
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        TRY(metrics_write_head(out, families[f].name, "counter", families[f].help));
        for (int r = 0; r < n_ranks; r++) {
            snprintf(labels, sizeof labels, "rank=\"%d\"", r);
            if (colrow_get_rank_statistics(server->engine, r, &rank) == 0)
                TRY(metrics_write_sample(out, families[f].name, labels, families[f].value(&rank)));
        }
    }
    return OK;
}

// Who compares ranks finds one that has stayed behind, and where.
static enum status write_progress(const struct serve_server *server, int n_ranks, struct bytes *out)
{
    static const char step[] = "colrow_rank_last_step",
                      collective[] = "colrow_rank_last_collective";
    struct colrow_rank_statistics rank;
    char labels[192];
    TRY(metrics_write_head(out, step, "gauge", "Number of the last step that a rank finished."));
    for (int r = 0; r < n_ranks; r++) {
        snprintf(labels, sizeof labels, "rank=\"%d\"", r);
        if (colrow_get_rank_statistics(server->engine, r, &rank) == 0)
            TRY(metrics_write_sample(out, step, labels, (double)rank.last_step));
    }
    TRY(metrics_write_head(out, collective, "gauge",
                           "Collectives that a rank has begun since it started; the labels say "
                           "which the last one was."));
    for (int r = 0; r < n_ranks; r++) {
        if (colrow_get_rank_statistics(server->engine, r, &rank) != 0)
            continue;
        snprintf(labels, sizeof labels, "layer=\"%d\",operation=\"%s\",part=\"%s\",rank=\"%d\"",
                 rank.last_layer, rank.last_collective, rank.last_part, r);
        TRY(metrics_write_sample(out, collective, labels, (double)rank.collectives));
    }
    return OK;
}

static enum status write_memory(const struct serve_server *server, int n_ranks, struct bytes *out)
{
    static const char name[] = "colrow_rank_memory_bytes";
    TRY(metrics_write_head(out, name, "gauge", "Memory of a rank by what it is for."));
    for (int r = 0; r < n_ranks; r++) {
        struct colrow_rank_statistics rank;
        if (colrow_get_rank_statistics(server->engine, r, &rank) != 0)
            continue;
        const struct {
            const char *kind;
            uint64_t bytes;
        } kinds[] = {
            {"weights", rank.weight_bytes},
            {"kv", rank.kv_bytes},
            {"kv_offload", rank.host_kv_bytes},
            {"scratch", rank.scratch_bytes},
            {"resident_peak", rank.resident_peak_bytes},
        };
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            char labels[64];
            snprintf(labels, sizeof labels, "kind=\"%s\",rank=\"%d\"", kinds[k].kind, r);
            TRY(metrics_write_sample(out, name, labels, (double)kinds[k].bytes));
        }
    }
    return OK;
}

static enum status write_server(const struct serve_server *server, struct bytes *out)
{
    struct http_gauges http;
    struct colrow_gauges gauges = gauges_of(server);
    struct colrow_statistics now;
    struct colrow_info info;
    char why[STATUS_MESSAGE_MAX];
    colrow_get_info(server->engine, &info);
    http_server_gauges(server->http, &http);
    colrow_get_statistics(server->engine, &now);
    const struct {
        const char *name, *type, *help;
        double value;
    } values[] = {
        {"colrow_ready", "gauge", "1 while GET /health is 200.",
         serve_condition(server, why, sizeof why) == SERVE_READY},
        {"colrow_loaded_bytes", "gauge", "Bytes of the weights that the ranks have read.",
         (double)gauges.bytes_loaded},
        {"colrow_kv_pages_usable", "gauge",
         "KV pages that have memory; more get it as they are needed.",
         (double)gauges.kv_pages_usable},
        {"colrow_steps_total", "counter", "Steps of the engine.", (double)server->seen.steps},
        {"colrow_engine_overhead_seconds_total", "counter",
         "Time of steps that no rank spent in its forward pass.", server->seen.overhead_seconds},
        {"colrow_seconds_since_step", "gauge",
         "Since the last step of the ranks; idle ones do one every --canary-interval.",
         gauges.seconds_since_step},
        {"colrow_step_overdue", "gauge",
         "1 when a step is under way for half of the time after which it ends the ranks.",
         gauges.step_overdue},
        {"colrow_rank_restarts_total", "counter", "How often the ranks were started again.",
         gauges.restarts},
        {"colrow_nodes", "gauge", "Machines of the group (--nnodes).", gauges.nodes},
        {"colrow_nodes_serving", "gauge",
         "Machines that have ranks now: fewer than colrow_nodes after --degrade.",
         gauges.nodes_serving},
        {"colrow_tensor_parallel_size", "gauge", "Ranks of a stage, now.",
         info.tensor_parallel_size},
        {"colrow_pipeline_parallel_size", "gauge", "Stages, now.", info.pipeline_parallel_size},
        {"colrow_replayed_tokens_total", "counter",
         "Tokens computed once more because ranks were lost.", (double)now.replayed_tokens},
        {"colrow_requests_given_up_total", "counter",
         "Requests that failed because ranks were lost with them again and again.",
         (double)now.requests_given_up},
        {"colrow_paused_sequences", "gauge",
         "Sequences that wait for clients that read slowly; neither running nor waiting.",
         gauges.paused_sequences},
        {"colrow_http_connections", "gauge", "Open connections.", http.connections},
        {"colrow_http_buffered_bytes", "gauge", "Bytes buffered for all connections.",
         (double)http.buffered_bytes},
        {"colrow_http_streams_paused", "gauge", "Streams whose client reads slowly.",
         http.streams_paused},
        {"colrow_http_requests_total", "counter", "Requests read.", (double)http.requests},
        {"colrow_http_refused_total", "counter", "Connections refused for want of room.",
         (double)http.refused},
        {"colrow_http_dropped_slow_total", "counter", "Connections cut off for reading too slowly.",
         (double)http.dropped_slow},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        TRY(metrics_write_head(out, values[i].name, values[i].type, values[i].help));
        TRY(metrics_write_sample(out, values[i].name, "", values[i].value));
    }
    return OK;
}

// How long the loss of ranks was felt.
static enum status write_recovery(const struct serve_server *server, struct bytes *out)
{
    struct colrow_statistics now;
    colrow_get_statistics(server->engine, &now);
    TRY(metrics_write_head(out, "colrow_recovery_seconds", "summary",
                           "From the loss of ranks until the next step was complete."));
    TRY(metrics_write_sample(out, "colrow_recovery_seconds_sum", "", now.recovery_seconds));
    TRY(metrics_write_sample(out, "colrow_recovery_seconds_count", "", (double)now.recoveries));
    TRY(metrics_write_head(out, "colrow_last_recovery_seconds", "gauge",
                           "Of the last one: until the ranks were loaded, and for the step after "
                           "that."));
    double load = now.last_recovery_load_seconds;
    TRY(metrics_write_sample(out, "colrow_last_recovery_seconds", "part=\"load\"", load));
    return metrics_write_sample(out, "colrow_last_recovery_seconds", "part=\"replay\"",
                                now.last_recovery_seconds - load);
}

static enum status write_metrics(struct serve_server *server, struct bytes *out)
{
    struct colrow_info info;
    colrow_get_info(server->engine, &info);
    refresh(server);
    TRY(metrics_write(&server->metrics, out));
    TRY(write_cache_config(server, out));
    TRY(write_server(server, out));
    TRY(write_recovery(server, out));
    TRY(write_per_rank(server, info.n_ranks, out));
    TRY(serve_write_expert_metrics(server, info.n_ranks, out));
    TRY(serve_write_draft_metrics(server, &info, out));
    TRY(write_progress(server, info.n_ranks, out));
    return write_memory(server, info.n_ranks, out);
}

static void answer_metrics(struct http_exchange *exchange, void *owner)
{
    struct serve_server *server = owner;
    struct bytes out;
    bytes_init(&out);
    if (write_metrics(server, &out) == OK)
        http_answer(exchange, 200, "text/plain; version=1.0.0; charset=utf-8", out.data,
                    out.length);
    else
        http_answer_error(exchange, 503, NULL, NULL, "%s", status_message());
    bytes_fini(&out);
}

// ---- the table ----

static const struct serve_endpoint endpoints[] = {
    {"/v1/completions", NULL, API_COMPLETION, completion_request_read, &completion_form},
    {"/v1/chat/completions", NULL, API_CHAT, chat_request_read, &chat_form},
    {"/v1/messages", NULL, API_MESSAGES, messages_request_read, &messages_form},
    {"/v1/messages/count_tokens", count_tokens_answer, API_MESSAGES, NULL, NULL},
    {"/v1/responses", NULL, API_RESPONSES, responses_request_read, &responses_form},
    {"/tokenize", tokenize_answer, API_CHAT, NULL, NULL},
    {"/detokenize", detokenize_answer, API_CHAT, NULL, NULL},
};
enum { N_ENDPOINTS = sizeof endpoints / sizeof *endpoints };

enum status serve_routes(struct serve_server *server)
{
    static const struct {
        const char *path;
        enum http_method method;
        unsigned flags;
        http_handler *handler;
    } routes[] = {
        {"/health", HTTP_METHOD_GET, HTTP_ROUTE_ALWAYS, serve_answer_health},
        {"/ping", HTTP_METHOD_GET, HTTP_ROUTE_ALWAYS, serve_answer_health},
        {"/ping", HTTP_METHOD_POST, HTTP_ROUTE_ALWAYS, serve_answer_health},
        {"/version", HTTP_METHOD_GET, HTTP_ROUTE_ALWAYS, answer_version},
        {"/load", HTTP_METHOD_GET, HTTP_ROUTE_ALWAYS, serve_answer_load},
        {"/metrics", HTTP_METHOD_GET, HTTP_ROUTE_ALWAYS, answer_metrics},
        {"/metrics", HTTP_METHOD_POST, HTTP_ROUTE_ALWAYS, answer_metrics},
        {"/metrics/", HTTP_METHOD_GET, HTTP_ROUTE_ALWAYS, answer_metrics},
        {"/v1/models", HTTP_METHOD_GET, HTTP_ROUTE_ALWAYS, answer_models},
        {"/v1/models/{tail}", HTTP_METHOD_GET, HTTP_ROUTE_ALWAYS, answer_models},
        {"/v1/models/", HTTP_METHOD_GET, 0, answer_redirect},
        {"/v1/completions/", HTTP_METHOD_POST, 0, answer_redirect},
        {"/v1/chat/completions/", HTTP_METHOD_POST, 0, answer_redirect},
    };
    static struct serve_binding bindings[N_ENDPOINTS]; // one server in a process
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        TRY(http_server_route(server->http, routes[i].method, routes[i].path, routes[i].flags,
                              routes[i].handler, server));
    if (server->options->tokenizer_info)
        TRY(http_server_route(server->http, HTTP_METHOD_GET, "/tokenizer_info", 0,
                              answer_tokenizer_info, server));
    for (int i = 0; i < N_ENDPOINTS; i++) {
        bindings[i] = (struct serve_binding){server, &endpoints[i]};
        TRY(http_server_route(server->http, HTTP_METHOD_POST, endpoints[i].path, 0, serve_job_begin,
                              &bindings[i]));
    }
    return OK;
}
