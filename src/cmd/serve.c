// `colrow serve`: an OpenAI-compatible server, with vLLM's flags.
#include "cmd/commands.h"

#include <colrow/colrow.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "cmd/engine_flags.h"
#include "cmd/interrupt.h"
#include "server/serve.h"

enum { KEY_FILE_BYTES_MAX = 1 << 20 };

struct serve {
    struct engine_flags engine;
    struct serve_options options;
    const char *model, *keys_file, *log_format;
    const char *origins, *methods, *headers; // JSON lists, as vLLM takes them
    struct flag_texts names, keys_given;
    int block_size;
    bool no_prompt_logprobs, no_log, ignored;

    struct bytes file; // of keys
    const char **keys; // [n_keys]; point into argv, the environment or `file`
    size_t keys_capacity;
    int n_keys;
    json_t *origins_list, *methods_list, *headers_list;
    const char **lists[3];
};

// ---- keys and lists ----

static enum status add_key(struct serve *s, const char *key)
{
    if (!*key)
        return fail(ERR_USAGE, "an API key is empty");
    if (s->n_keys == HTTP_KEYS_MAX)
        return fail(ERR_USAGE, "more than %d API keys are given", HTTP_KEYS_MAX);
    TRY(memory_grow(&s->keys, &s->keys_capacity, (size_t)s->n_keys + 1, sizeof *s->keys,
                    "API keys"));
    s->keys[s->n_keys++] = key;
    return OK;
}

static enum status collect_keys(struct serve *s)
{
    const char *of_environment = getenv("VLLM_API_KEY");
    for (int i = 0; i < s->keys_given.n; i++)
        TRY(add_key(s, s->keys_given.items[i]));
    if (s->keys_given.n == 0 && !s->keys_file && of_environment && *of_environment)
        TRY(add_key(s, of_environment));
    if (s->keys_file) {
        TRY(file_read(s->keys_file, KEY_FILE_BYTES_MAX, &s->file));
        char *rest = s->file.data;
        for (char *line; (line = strsep(&rest, "\r\n"));)
            if (*line && *line != '#')
                TRY(add_key(s, line));
        if (s->n_keys == 0)
            return fail(ERR_USAGE, "%s holds no API key; expected one a line", s->keys_file);
    }
    s->options.http.api_keys = s->keys;
    s->options.http.n_api_keys = s->n_keys;
    return OK;
}

// '["http://app.example"]' -> texts that point into the JSON, which `*owner` keeps.
static enum status text_list(const char *flag, const char *text, json_t **owner, const char ***list,
                             int *n)
{
    json_t *parsed;
    if (json_parse(flag, text, strlen(text), &parsed) != OK)
        return status_recode(ERR_USAGE);
    *owner = parsed;
    size_t size = json_array_size(parsed);
    TRY(memory_new(size + 1, sizeof **list, flag, list));
    for (size_t i = 0; i < size; i++) {
        (*list)[i] = json_string_value(json_array_get(parsed, i));
        if (!(*list)[i])
            return fail(ERR_USAGE, "flag %s: item %zu is %s; expected a string", flag, i,
                        json_show(json_array_get(parsed, i)));
    }
    *n = (int)size;
    return json_is_array(parsed)
               ? OK
               : fail(ERR_USAGE, "flag %s is %s; expected a JSON list, such as '[\"*\"]'", flag,
                      json_show(parsed));
}

static enum status collect_cors(struct serve *s)
{
    struct http_options *http = &s->options.http;
    if (s->origins) {
        TRY(text_list("--allowed-origins", s->origins, &s->origins_list, &s->lists[0],
                      &http->n_allowed_origins));
        http->allowed_origins = s->lists[0];
    }
    if (s->methods) {
        TRY(text_list("--allowed-methods", s->methods, &s->methods_list, &s->lists[1],
                      &http->n_allowed_methods));
        http->allowed_methods = s->lists[1];
    }
    if (s->headers) {
        TRY(text_list("--allowed-headers", s->headers, &s->headers_list, &s->lists[2],
                      &http->n_allowed_headers));
        http->allowed_headers = s->lists[2];
    }
    return OK;
}

// ---- the command ----

static const struct flag serve_flags[] = {
    {.kind = FLAG_HEADING, .help = "server"},
    {FLAG_TEXT, "--model", NULL, offsetof(struct serve, model), 0, 0, "DIR",
     "the model's folder, instead of MODEL"},
    {FLAG_TEXTS, "--served-model-name", NULL, offsetof(struct serve, names), 0, 0, "NAME",
     "the model's name in requests and answers; may be repeated (default: the folder)"},
    {FLAG_TEXT, "--host", NULL, offsetof(struct serve, options.http.host), 0, 0, "ADDRESS",
     "where to listen (default 127.0.0.1; with a key: everywhere)"},
    {FLAG_INT, "--port", NULL, offsetof(struct serve, options.http.port), 0, 65535, "N",
     "0: any free one, which the start line names (default 8000)"},
    {FLAG_TEXT, "--uds", NULL, offsetof(struct serve, options.http.uds), 0, 0, "PATH",
     "a UNIX socket instead of address and port"},
    {FLAG_TEXT, "--root-path", NULL, offsetof(struct serve, options.http.root_path), 0, 0, "PATH",
     "in front of every path, where a proxy leaves it there"},
    {FLAG_TEXTS, "--api-key", NULL, offsetof(struct serve, keys_given), 0, 0, "KEY",
     "opens /v1; may be repeated (default: VLLM_API_KEY, else open to all)"},
    {FLAG_TEXT, "--api-key-file", NULL, offsetof(struct serve, keys_file), 0, 0, "FILE",
     "API keys, one a line"},
    {FLAG_TEXT, "--allowed-origins", NULL, offsetof(struct serve, origins), 0, 0, "LIST",
     "CORS: origins as a JSON list, e.g. '[\"https://app.example\"]' (default: none)"},
    {FLAG_TEXT, "--allowed-methods", NULL, offsetof(struct serve, methods), 0, 0, "LIST",
     "CORS: methods as a JSON list (default '[\"*\"]')"},
    {FLAG_TEXT, "--allowed-headers", NULL, offsetof(struct serve, headers), 0, 0, "LIST",
     "CORS: header fields as a JSON list (default '[\"*\"]')"},
    {FLAG_ON, "--allow-credentials", NULL, offsetof(struct serve, options.http.allow_credentials),
     0, 0, NULL, "CORS: with credentials"},
    {FLAG_TEXT, "--ssl-certfile", NULL, offsetof(struct serve, options.http.ssl_certfile), 0, 0,
     "FILE", "TLS: the certificate, PEM"},
    {FLAG_TEXT, "--ssl-keyfile", NULL, offsetof(struct serve, options.http.ssl_keyfile), 0, 0,
     "FILE", "TLS: its key, PEM"},
    {FLAG_TEXT, "--ssl-ca-certs", NULL, offsetof(struct serve, options.http.ssl_ca_certs), 0, 0,
     "FILE", "TLS: who signs certificates of clients, PEM"},
    {FLAG_INT, "--ssl-cert-reqs", NULL, offsetof(struct serve, options.http.ssl_cert_reqs), 0, 2,
     "N", "TLS: certificates of clients: 0 none, 1 optional, 2 required (default 0)"},
    {FLAG_BYTES, "--max-request-bytes", NULL, offsetof(struct serve, options.http.body_bytes_max),
     1024, 1 << 30, "BYTES", "of a request's body (default 8MiB)"},
    {FLAG_INT, "--max-connections", NULL, offsetof(struct serve, options.http.connections_max), 1,
     1 << 20, "N", "open at a time (default 8192)"},
    {FLAG_INT, "--max-num-queued-requests", "--max-num-queued-reqs",
     offsetof(struct serve, options.max_num_queued_requests), 0, 1 << 30, "N",
     "without a first token yet; beyond: status 429; 0: any number (default 4096)"},
    {FLAG_INT64, "--max-num-queued-tokens", NULL,
     offsetof(struct serve, options.max_num_queued_tokens), 0, 1e15, "N",
     "of their prompts; beyond: status 429; 0: any number (default 0)"},
    {FLAG_NUMBER, "--shutdown-timeout", NULL, offsetof(struct serve, options.shutdown_seconds), 0,
     86400, "SECONDS", "after SIGTERM, running requests may go on for so long (default 25)"},
    {FLAG_INT, "--max-logprobs", NULL, offsetof(struct serve, options.max_logprobs), 0, 20, "N",
     "log-probabilities for each token at most (default 20)"},
    {FLAG_ON, "--no-prompt-logprobs", NULL, offsetof(struct serve, no_prompt_logprobs), 0, 0, NULL,
     "reserve no memory for prompt_logprobs (and echo with logprobs), and refuse them"},
    {FLAG_ON, "--enable-request-id-headers", NULL,
     offsetof(struct serve, options.http.request_id_headers), 0, 0, NULL,
     "answers carry X-Request-Id"},
    {FLAG_ON, "--enable-tokenizer-info-endpoint", NULL,
     offsetof(struct serve, options.tokenizer_info), 0, 0, NULL, "GET /tokenizer_info"},
    {FLAG_ON, "--enable-prompt-tokens-details", NULL,
     offsetof(struct serve, options.prompt_tokens_details), 0, 0, NULL,
     "usage says how many tokens of the prompt were cached"},
    {FLAG_ON, "--enable-server-load-tracking", NULL, offsetof(struct serve, ignored), 0, 0, NULL,
     "as always: GET /load counts requests"},
    {FLAG_ON, "--no-enable-prefix-caching", NULL, offsetof(struct serve, ignored), 0, 0, NULL,
     "as always: there is no prefix cache yet"},
    {FLAG_ON, "--enforce-eager", NULL, offsetof(struct serve, ignored), 0, 0, NULL,
     "as always: there are no graphs to capture"},
    {FLAG_INT, "--block-size", NULL, offsetof(struct serve, block_size), 1, 1024, "N",
     "tokens of a KV page; only colrow's own number can be asked for"},
    {FLAG_ON, "--disable-log-requests", "--no-enable-log-requests", offsetof(struct serve, no_log),
     0, 0, NULL, "no line for each request"},
    {FLAG_TEXT, "--log-format", NULL, offsetof(struct serve, log_format), 0, 0, "FORMAT",
     "of the line for each request: text or json (default text)"},
};

static enum status check_serve_flags(struct serve *s, const char *positional)
{
    if (positional && s->model && strcmp(positional, s->model) != 0)
        return fail(ERR_USAGE, "two models are given, %s and --model %s; which one?", positional,
                    s->model);
    s->options.model = positional ? positional : s->model;
    if (!s->options.model)
        return fail(ERR_USAGE, "no model: colrow serve MODEL, e.g. colrow serve models/demo");
    if (s->log_format && strcmp(s->log_format, "text") != 0 && strcmp(s->log_format, "json") != 0)
        return fail(ERR_USAGE, "flag --log-format is \"%s\"; expected text or json", s->log_format);
    s->options.log_json = s->log_format && strcmp(s->log_format, "json") == 0;
    s->options.log_requests = !s->no_log;
    s->options.prompt_logprobs = !s->no_prompt_logprobs;
    s->options.served_names = s->names.items;
    s->options.n_served_names = s->names.n;
    s->options.memory_utilization = s->engine.options.gpu_memory_utilization;
    s->engine.options.prompt_logits = !s->no_prompt_logprobs;
    TRY(collect_keys(s));
    return collect_cors(s);
}

static enum status serve_model(struct serve *s)
{
    struct colrow_engine *engine = NULL;
    struct colrow_info info;
    enum status status = engine_flags_open(&s->engine, s->options.model, &engine);
    if (status != OK)
        return status;
    interrupts_release(); // from here on they are events of the server's loop
    colrow_get_info(engine, &info);
    if (s->block_size && s->block_size != info.kv_page_tokens)
        status = fail(ERR_USAGE, "flag --block-size is %d; KV pages of colrow hold %lld tokens",
                      s->block_size, (long long)info.kv_page_tokens);
    else
        status = serve_run(&s->options, engine);
    colrow_close(engine);
    return status;
}

static void serve_fini(struct serve *s)
{
    json_decref(s->origins_list);
    json_decref(s->methods_list);
    json_decref(s->headers_list);
    for (size_t i = 0; i < sizeof s->lists / sizeof *s->lists; i++)
        free(s->lists[i]);
    free(s->names.items);
    free(s->keys_given.items);
    free(s->keys);
    bytes_fini(&s->file);
}

static int serve_main(int argc, char **argv);

const struct command command_serve = {
    .name = "serve",
    .brief = "serve the OpenAI API over HTTP",
    .positional = "MODEL",
    .summary = "Serves the HuggingFace model in the folder MODEL over HTTP, as vLLM does: chat and "
               "text completions,\n"
               "streams, log-probabilities, tokens, metrics. SIGTERM and Ctrl-C let running "
               "requests finish.",
    .examples = "  colrow serve models/demo -tp 2 --port 8000\n"
                "  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: "
                "application/json' \\\n"
                "      -d '{\"messages\": [{\"role\": \"user\", \"content\": \"What is tensor "
                "parallelism?\"}]}'",
    .sections = {FLAG_SECTION(serve_flags, 0),
                 {engine_flag_rows, ENGINE_FLAGS, offsetof(struct serve, engine)}},
    .run = serve_main,
};

static int serve_main(int argc, char **argv)
{
    struct serve s = {0};
    bool helped;
    int n_positional;
    const char *model = NULL;
    engine_flags_init(&s.engine);
    serve_options_init(&s.options);
    bytes_init(&s.file);
    enum status status =
        flags_parse(&command_serve, &s, argc, argv, &model, 1, &n_positional, &helped);
    if (status == OK && !helped)
        status = check_serve_flags(&s, model);
    if (status == OK && !helped)
        status = serve_model(&s);
    serve_fini(&s);
    return status == OK ? 0 : flags_failed(status);
}
