#include "cmd/http_flags.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum { LIST_ITEMS_MAX = 256, BODY_BYTES_MOST = 1 << 30 };

void http_flags_init(struct http_flags *f)
{
    *f = (struct http_flags){0};
    http_options_init(&f->options);
    f->header_s = f->options.header_ms * 1e-3;
    f->body_s = f->options.body_ms * 1e-3;
    f->idle_s = f->options.idle_ms * 1e-3;
    f->stalled_s = f->options.stalled_ms * 1e-3;
}

#define AT(field) offsetof(struct http_flags, field)
const struct flag http_flag_rows[HTTP_FLAGS] = {
    {.kind = FLAG_HEADING, .help = "HTTP"},
    {FLAG_TEXT, "--host", NULL, AT(options.host), 0, 0, "ADDRESS",
     "where to listen (default 127.0.0.1; with an API key 0.0.0.0)"},
    {FLAG_INT, "--port", NULL, AT(options.port), 0, 65535, "N",
     "default 8000; 0 takes a free one and prints it"},
    {FLAG_TEXT, "--uds", NULL, AT(options.uds), 0, 0, "PATH", "a UNIX socket instead"},
    {FLAG_TEXT, "--root-path", NULL, AT(options.root_path), 0, 0, "PATH",
     "prefix that a proxy leaves in front of paths"},
    {FLAG_TEXTS, "--api-key", NULL, AT(keys), 0, 0, "KEY",
     "/v1 needs one of these; may be repeated (also VLLM_API_KEY)"},
    {FLAG_TEXT, "--api-key-file", NULL, AT(options.api_key_file), 0, 0, "FILE",
     "keys, one a line; # begins a comment; SIGHUP reads it again"},
    {FLAG_TEXT, "--allowed-origins", NULL, AT(origins), 0, 0, "JSON",
     "CORS: list of origins, '[\"*\"]' for any (default: none)"},
    {FLAG_TEXT, "--allowed-methods", NULL, AT(methods), 0, 0, "JSON",
     "CORS: list of methods (default '[\"*\"]')"},
    {FLAG_TEXT, "--allowed-headers", NULL, AT(headers), 0, 0, "JSON",
     "CORS: list of header names (default '[\"*\"]')"},
    {FLAG_ON, "--allow-credentials", NULL, AT(options.allow_credentials), 0, 0, NULL,
     "CORS: browsers may send cookies and keys"},
    {FLAG_ON, "--enable-request-id-headers", NULL, AT(options.request_id_headers), 0, 0, NULL,
     "answers carry X-Request-Id"},
    {FLAG_TEXT, "--ssl-certfile", NULL, AT(options.ssl_certfile), 0, 0, "FILE",
     "TLS: certificate chain in PEM; SIGHUP reads it again, with its key"},
    {FLAG_TEXT, "--ssl-keyfile", NULL, AT(options.ssl_keyfile), 0, 0, "FILE",
     "TLS: its key (default: in the certificate's file)"},
    {FLAG_TEXT, "--ssl-ca-certs", NULL, AT(options.ssl_ca_certs), 0, 0, "FILE",
     "TLS: who signs clients' certificates"},
    {FLAG_INT, "--ssl-cert-reqs", NULL, AT(options.ssl_cert_reqs), 0, 2, "N",
     "TLS: clients' certificates: 0 none, 1 optional, 2 required"},
    {FLAG_BYTES, "--max-body-size", "--max-request-bytes", AT(options.body_bytes_max), 1, 0,
     "BYTES", "of one request (default 8MiB)"},
    {FLAG_BYTES, "--http-memory", NULL, AT(options.memory_bytes_max), 1 << 16, 0, "BYTES",
     "for requests and answers in transit, together (default 512MiB)"},
    {FLAG_INT, "--max-connections", NULL, AT(options.connections_max), 1, 1000000, "N",
     "default 8192"},
    {FLAG_NUMBER, "--header-timeout", NULL, AT(header_s), 0.1, 86400, "SECONDS",
     "until a request's header must be there (default 10)"},
    {FLAG_NUMBER, "--body-timeout", NULL, AT(body_s), 0.1, 86400, "SECONDS",
     "... and its body (default 60)"},
    {FLAG_NUMBER, "--idle-timeout", "--timeout-keep-alive", AT(idle_s), 0.1, 86400, "SECONDS",
     "between two requests of a connection (default 60)"},
    {FLAG_NUMBER, "--stalled-timeout", NULL, AT(stalled_s), 0.1, 86400, "SECONDS",
     "a client that takes nothing for so long is dropped, one that takes less than 240 bytes a "
     "second a little later (default 30)"},
    {FLAG_INT, "--retry-after", NULL, AT(options.retry_after_s), 0, 86400, "SECONDS",
     "what answers 429 and 503 suggest (default 1)"},
};
#undef AT

static enum status add_key(struct http_flags *f, const char *key)
{
    int n = f->options.n_api_keys;
    TRY(memory_grow(&f->key_list, &f->key_list_capacity, (size_t)n + 1, sizeof *f->key_list,
                    "API keys"));
    f->key_list[n] = key;
    f->options.n_api_keys = n + 1;
    f->options.api_keys = f->key_list;
    return OK;
}

static enum status collect_keys(struct http_flags *f)
{
    const char *from_environment = getenv("VLLM_API_KEY");
    for (int i = 0; i < f->keys.n; i++)
        TRY(add_key(f, f->keys.items[i]));
    // As in vLLM: the variable counts where no flag says otherwise.
    if (f->options.n_api_keys == 0 && !f->options.api_key_file && from_environment &&
        *from_environment)
        TRY(add_key(f, from_environment));
    return OK;
}

// A JSON list of strings; what vLLM's flags take.
static enum status text_list(struct http_flags *f, int which, const char *flag, const char *text,
                             const char *const **items, int *n)
{
    if (!text)
        return OK;
    char name[64];
    snprintf(name, sizeof name, "flag %s", flag);
    if (json_parse(name, text, strlen(text), &f->lists[which]) != OK)
        return status_recode(ERR_USAGE);
    size_t length = json_array_size(f->lists[which]);
    if (!json_is_array(f->lists[which]) || length > LIST_ITEMS_MAX)
        return fail(ERR_USAGE, "flag %s is %s; expected a JSON list of strings such as '[\"*\"]'",
                    flag, text);
    TRY(memory_new(length + 1, sizeof(char *), "a list", &f->list_items[which]));
    for (size_t i = 0; i < length; i++) {
        const char *item = json_string_value(json_array_get(f->lists[which], i));
        if (!item)
            return fail(ERR_USAGE,
                        "flag %s is %s; expected a JSON list of strings such as '[\"*\"]'", flag,
                        text);
        for (const char *c = item; *c; c++)
            if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f)
                return fail(ERR_USAGE, "flag %s: \"%s\" holds a blank or a control character", flag,
                            item);
        f->list_items[which][i] = item;
    }
    *items = f->list_items[which];
    *n = (int)length;
    return OK;
}

enum status http_flags_finish(struct http_flags *f)
{
    struct http_options *o = &f->options;
    o->header_ms = (int)(f->header_s * 1e3);
    o->body_ms = (int)(f->body_s * 1e3);
    o->idle_ms = (int)(f->idle_s * 1e3);
    o->stalled_ms = (int)(f->stalled_s * 1e3);
    if (o->body_bytes_max < 1 || o->body_bytes_max > BODY_BYTES_MOST)
        return fail(ERR_USAGE, "flag --max-body-size is %lld; expected 1 to %d bytes",
                    (long long)o->body_bytes_max, BODY_BYTES_MOST);
    if (o->memory_bytes_max < 1)
        return fail(ERR_USAGE, "flag --http-memory is %lld; expected at least 1 byte",
                    (long long)o->memory_bytes_max);
    TRY(collect_keys(f));
    TRY(text_list(f, 0, "--allowed-origins", f->origins, &o->allowed_origins,
                  &o->n_allowed_origins));
    TRY(text_list(f, 1, "--allowed-methods", f->methods, &o->allowed_methods,
                  &o->n_allowed_methods));
    TRY(text_list(f, 2, "--allowed-headers", f->headers, &o->allowed_headers,
                  &o->n_allowed_headers));
    return http_options_check(o);
}

void http_flags_fini(struct http_flags *f)
{
    free(f->keys.items);
    free(f->key_list);
    for (int i = 0; i < 3; i++) {
        json_decref(f->lists[i]);
        free(f->list_items[i]);
    }
}
