#include "cmd/bench_client.h"

#include <assert.h>
#include <jansson.h>
#include <llhttp.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { ANSWER_BYTES_MAX = 64 << 20, RECEIVE_BYTES = 64 << 10 };

struct bench_socket {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_write_t write;
    llhttp_t parser;
    struct bench_call *call;
    struct bytes request;
    struct bytes line; // of events, not complete yet
    char buffer[RECEIVE_BYTES];
    int open_handles;
    bool complete, ending;
    void (*finished)(struct bench_call *call, void *owner);
    void *owner;
};

void bench_call_fini(struct bench_call *call)
{
    free((char *)call->body);
    free(call->gaps_ns);
    bytes_fini(&call->text);
}

enum status bench_target_parse(const char *url, struct bench_target *target, char *host,
                               const char **path)
{
    static const char scheme[] = "http://";
    const char *at = strncmp(url, scheme, strlen(scheme)) == 0 ? url + strlen(scheme) : NULL;
    const char *slash = at ? strchr(at, '/') : NULL;
    size_t n = slash ? (size_t)(slash - at) : at ? strlen(at) : 0;
    if (!at || n == 0 || n > 200)
        return fail(ERR_USAGE, "flag --base-url is \"%s\"; expected http://HOST:PORT", url);
    memcpy(host, at, n);
    host[n] = '\0';
    *path = slash ? slash : "";
    target->host = host;
    char name[256];
    memcpy(name, host, n + 1);
    char *colon = strrchr(name, ':'), *bracket = strchr(name, ']');
    const char *port = colon && colon > bracket ? colon + 1 : "80";
    if (colon && colon > bracket)
        *colon = '\0';
    if (bracket)
        *bracket = '\0';
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int error = getaddrinfo(name + (name[0] == '['), port, &hints, &found);
    if (error)
        return fail(ERR_USAGE, "flag --base-url: %s is not known: %s", host, gai_strerror(error));
    memcpy(&target->address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return OK;
}

// ---- the end of a call ----

static void bench_socket_closed(uv_handle_t *handle)
{
    struct bench_socket *s = handle->data;
    if (--s->open_handles > 0)
        return;
    struct bench_call *call = s->call;
    bytes_fini(&s->request);
    bytes_fini(&s->line);
    void (*finished)(struct bench_call *, void *) = s->finished;
    void *owner = s->owner;
    free(s);
    finished(call, owner);
}

static void call_ends(struct bench_socket *s, const char *error)
{
    if (s->ending)
        return;
    s->ending = true;
    s->call->ended_ns = clock_ns();
    s->call->done = true;
    s->call->good = !error;
    if (error && !s->call->error[0])
        snprintf(s->call->error, sizeof s->call->error, "%s", error);
    uv_close((uv_handle_t *)&s->tcp, bench_socket_closed);
    uv_close((uv_handle_t *)&s->timer, bench_socket_closed);
}

// ---- answers ----

static void note_piece(struct bench_call *call, int64_t now)
{
    call->n_pieces++;
    if (!call->first_ns)
        call->first_ns = now;
    else if (memory_grow(&call->gaps_ns, &call->gaps_capacity, call->n_gaps + 1,
                         sizeof *call->gaps_ns, "times") == OK)
        call->gaps_ns[call->n_gaps++] = now - call->last_ns;
    call->last_ns = now;
}

static int count_in(const json_t *usage, const char *key)
{
    const json_t *value = json_object_get(usage, key);
    return json_is_integer(value) ? (int)json_integer_value(value) : -1;
}

static bool has_text(const json_t *choice)
{
    const json_t *delta = json_object_get(choice, "delta");
    const char *keys[] = {"text", "content", "reasoning_content", "reasoning"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *text = json_object_get(i == 0 ? choice : delta, keys[i]);
        if (json_string_length(text) > 0)
            return true;
    }
    return false;
}

static void call_event(struct bench_call *call, const char *text, size_t length)
{
    int64_t now = clock_ns();
    json_t *event = json_loadb(text, length, JSON_ALLOW_NUL, NULL);
    const json_t *usage = json_object_get(event, "usage"), *error = json_object_get(event, "error");
    if (has_text(json_array_get(json_object_get(event, "choices"), 0)))
        note_piece(call, now);
    if (json_is_object(usage)) {
        call->prompt_tokens = count_in(usage, "prompt_tokens");
        call->completion_tokens = count_in(usage, "completion_tokens");
    }
    if (json_is_object(error)) {
        const char *message = json_string_value(json_object_get(error, "message"));
        snprintf(call->error, sizeof call->error, "%s", message ? message : "an error event");
    }
    json_decref(event);
}

static int answer_bytes(llhttp_t *parser, const char *at, size_t length)
{
    static const char field[] = "data: ";
    struct bench_socket *s = parser->data;
    struct bench_call *call = s->call;
    if (!call->stream || parser->status_code != 200)
        return call->text.length + length > ANSWER_BYTES_MAX ||
                       bytes_append(&call->text, at, length) != OK
                   ? -1
                   : 0;
    if (s->line.length + length > ANSWER_BYTES_MAX || bytes_append(&s->line, at, length) != OK)
        return -1;
    char *begin = s->line.data, *end = begin + s->line.length, *stop;
    while ((stop = memchr(begin, '\n', (size_t)(end - begin)))) {
        size_t n = (size_t)(stop - begin);
        n -= n > 0 && begin[n - 1] == '\r';
        if (n > strlen(field) && memcmp(begin, field, strlen(field)) == 0 &&
            begin[strlen(field)] == '{')
            call_event(call, begin + strlen(field), n - strlen(field));
        begin = stop + 1;
    }
    s->line.length = (size_t)(end - begin);
    memmove(s->line.data, begin, s->line.length);
    return 0;
}

static int answer_complete(llhttp_t *parser)
{
    struct bench_socket *s = parser->data;
    if (parser->status_code != 100)
        s->complete = true;
    return 0;
}

static void judge_answer(struct bench_socket *s)
{
    struct bench_call *call = s->call;
    if (s->parser.status_code != 200) {
        snprintf(call->error, sizeof call->error, "status %d: %.120s", s->parser.status_code,
                 call->text.data ? call->text.data : "");
        call_ends(s, "status");
    } else if (call->error[0]) {
        call_ends(s, "an error event");
    } else {
        call_ends(s, call->stream && !call->first_ns ? "the answer holds no text" : NULL);
    }
}

static void answer_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct bench_socket *s = handle->data;
    (void)suggested;
    *out = uv_buf_init(s->buffer, RECEIVE_BYTES);
}

static void answer_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct bench_socket *s = stream->data;
    if (n == 0)
        return;
    if (n < 0) {
        llhttp_finish(&s->parser);
        if (s->complete)
            judge_answer(s);
        else
            call_ends(s, n == UV_EOF ? "the connection ended before the answer did"
                                     : uv_strerror((int)n));
        return;
    }
    llhttp_errno_t result = llhttp_execute(&s->parser, buffer->base, (size_t)n);
    if (s->complete)
        judge_answer(s);
    else if (result != HPE_OK)
        call_ends(s, "the answer is not well-formed HTTP");
}

// ---- asking ----

static void request_written(uv_write_t *write, int result)
{
    struct bench_socket *s = write->data;
    if (result < 0)
        call_ends(s, uv_strerror(result));
}

static void call_connected(uv_connect_t *connect, int result)
{
    struct bench_socket *s = connect->data;
    if (s->ending)
        return;
    if (result < 0) {
        call_ends(s, uv_strerror(result));
        return;
    }
    uv_buf_t bytes = uv_buf_init(s->request.data, (unsigned)s->request.length);
    s->write.data = s;
    uv_tcp_nodelay(&s->tcp, 1);
    if (uv_read_start((uv_stream_t *)&s->tcp, answer_buffer, answer_read) < 0 ||
        uv_write(&s->write, (uv_stream_t *)&s->tcp, &bytes, 1, request_written) < 0)
        call_ends(s, "the request cannot be sent");
}

static void call_late(uv_timer_t *timer)
{
    call_ends(timer->data, "no complete answer in time (--request-timeout)");
}

static enum status write_request(const struct bench_target *target, const struct bench_call *call,
                                 struct bytes *out)
{
    TRY(bytes_format(out, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n",
                     call->body ? "POST" : "GET", call->path, target->host));
    if (target->api_key)
        TRY(bytes_format(out, "Authorization: Bearer %s\r\n", target->api_key));
    if (!call->body)
        return bytes_text(out, "\r\n");
    return bytes_format(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                        strlen(call->body), call->body);
}

void bench_call_begin(uv_loop_t *loop, const struct bench_target *target, struct bench_call *call,
                      int timeout_ms, void (*finished)(struct bench_call *call, void *owner),
                      void *owner)
{
    static llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    settings.on_body = answer_bytes;
    settings.on_message_complete = answer_complete;
    struct bench_socket *s = calloc(1, sizeof *s);
    call->begun_ns = clock_ns();
    call->prompt_tokens = call->completion_tokens = -1;
    if (!s) {
        call->done = true;
        snprintf(call->error, sizeof call->error, "there is no memory");
        finished(call, owner);
        return;
    }
    s->call = call;
    s->finished = finished;
    s->owner = owner;
    s->open_handles = 2;
    llhttp_init(&s->parser, HTTP_RESPONSE, &settings);
    s->parser.data = s->tcp.data = s->timer.data = s->connect.data = s;
    bytes_init(&s->request);
    bytes_init(&s->line);
    uv_tcp_init(loop, &s->tcp);
    uv_timer_init(loop, &s->timer);
    uv_timer_start(&s->timer, call_late, (uint64_t)timeout_ms, 0);
    if (write_request(target, call, &s->request) != OK)
        call_ends(s, "there is no memory for the request");
    else if (uv_tcp_connect(&s->connect, &s->tcp, (const struct sockaddr *)&target->address,
                            call_connected) < 0)
        call_ends(s, "no connection can be made");
}
