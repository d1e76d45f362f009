// Requests as handlers see them, and their answers.
#include "server/http_connection.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

const struct http_request *http_exchange_request(const struct http_exchange *x)
{
    return &x->request;
}

struct http_text http_request_field(const struct http_request *request, const char *name)
{
    for (int i = 0; i < request->n_fields; i++)
        if (http_text_equals(request->fields[i].name, name))
            return request->fields[i].value;
    return (struct http_text){NULL, 0};
}

bool http_query_has(struct http_text query, const char *name)
{
    size_t length = strlen(name);
    for (size_t at = 0; at < query.length; at++) {
        const char *item = query.data + at;
        const char *end = memchr(item, '&', query.length - at);
        size_t n = end ? (size_t)(end - item) : query.length - at;
        if (n >= length && memcmp(item, name, length) == 0 && (n == length || item[length] == '='))
            return true;
        at += n;
    }
    return false;
}

bool http_request_is_json(const struct http_request *request)
{
    struct http_text type = http_request_field(request, "Content-Type");
    size_t n = 0;
    while (n < type.length && type.data[n] != ';' && type.data[n] != ' ')
        n++;
    return http_text_equals((struct http_text){type.data ? type.data : "", n}, "application/json");
}

void http_exchange_watch(struct http_exchange *x, const struct http_watch *watch)
{
    x->watch = *watch;
}

// ---- the header of an answer ----

// What cannot be sent for want of memory ends the connection, once the owner's call is over.
static void exchange_doom(struct http_exchange *x)
{
    x->connection->doomed = true;
    x->keep_alive = false;
    x->connection->ops->wake(x->connection->wire);
}

void http_answer_field(struct http_exchange *x, const char *name, const char *value)
{
    for (const char *c = value; *c; c++)
        assert((unsigned char)*c >= 0x20 && *c != 0x7f); // or it would end the header
    if (bytes_format(&x->fields, "%s: %s\r\n", name, value) != OK)
        exchange_doom(x);
}

// `length` < 0: a stream.
static enum status answer_head(struct http_exchange *x, int status, const char *content_type,
                               int64_t length, struct bytes *out)
{
    struct http_connection *c = x->connection;
    struct http_site *site = c->site;
    x->keep_alive &= !site->draining;
    x->chunked = length < 0 && x->known && c->head->minor > 0;
    x->keep_alive &= length >= 0 || x->chunked; // else the connection's end is the body's end
    x->status = status;
    TRY(bytes_format(out, "HTTP/1.1 %d %s\r\nserver: colrow\r\ndate: %s\r\n", status,
                     http_status_phrase(status), http_site_date(site)));
    if (content_type)
        TRY(bytes_format(out, "content-type: %s\r\n", content_type));
    if (length >= 0)
        TRY(bytes_format(out, "content-length: %lld\r\n", (long long)length));
    else if (x->chunked)
        TRY(bytes_text(out, "transfer-encoding: chunked\r\n"));
    if (x->fields.length)
        TRY(bytes_append(out, x->fields.data, x->fields.length));
    if (status == 401)
        TRY(bytes_text(out, "www-authenticate: Bearer\r\n"));
    if (status == 429 || status == 503)
        TRY(bytes_format(out, "retry-after: %d\r\n", site->options.retry_after_s));
    if (!x->known || !http_cors_is_preflight(&x->request))
        TRY(http_cors_fields(site, x->known ? &x->request : NULL, out));
    if (site->options.request_id_headers && x->known)
        TRY(bytes_format(out, "x-request-id: %s\r\n", x->request.id));
    return bytes_text(out, x->keep_alive ? "\r\n" : "connection: close\r\n\r\n");
}

static void exchange_record(struct http_exchange *x)
{
    struct http_site *site = x->connection->site;
    if (x->paused)
        site->gauges.streams_paused--;
    x->paused = false;
    if (!site->logger)
        return;
    struct http_record record = {
        .request = x->known ? &x->request : NULL,
        .peer = x->connection->peer,
        .status = x->status,
        .sent_bytes = x->sent_bytes,
        .begun_ns = x->begun_ns,
        .ended_ns = clock_ns(),
    };
    site->logger(&record, site->logger_owner);
}

static void exchange_over(struct http_exchange *x)
{
    struct http_connection *c = x->connection;
    struct http_site *site = c->site;
    x->state = EXCHANGE_OVER;
    site->gauges.exchanges--;
    exchange_record(x);
    http_connection_exchange_over(c);
    if (site->exchange_over)
        site->exchange_over(site);
}

static void exchange_send(struct http_exchange *x, const struct bytes *out)
{
    x->sent_bytes += (int64_t)out->length;
    http_connection_send(x->connection, out->data, out->length);
}

static bool head_only(const struct http_exchange *x)
{
    return x->request.method == HTTP_METHOD_HEAD;
}

void http_answer(struct http_exchange *x, int status, const char *content_type, const void *body,
                 size_t body_bytes)
{
    struct bytes out;
    assert(x->state == EXCHANGE_WAITING);
    bytes_init(&out);
    enum status made = answer_head(x, status, content_type, (int64_t)body_bytes, &out);
    if (made == OK && body_bytes && !head_only(x))
        made = bytes_append(&out, body, body_bytes);
    if (made == OK)
        exchange_send(x, &out);
    else
        exchange_doom(x);
    bytes_fini(&out);
    exchange_over(x);
}

void http_answer_json(struct http_exchange *x, int status, const char *text, size_t length)
{
    http_answer(x, status, "application/json", text, length);
}

static void answer_error(struct http_exchange *x, int status, const char *type, const char *param,
                         const char *message)
{
    char *text = NULL;
    static const char last[] = "{\"error\":{\"message\":\"there is no memory\",\"type\":"
                               "\"InternalServerError\",\"param\":null,\"code\":500}}";
    if (http_error_text(status, type, param, message, &text) == OK)
        http_answer_json(x, status, text, strlen(text));
    else
        http_answer_json(x, 500, last, sizeof last - 1);
    free(text);
}

void http_answer_error(struct http_exchange *x, int status, const char *type, const char *param,
                       const char *format, ...)
{
    char message[STATUS_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    answer_error(x, status, type, param, message);
}

// ---- streams ----

void http_stream_begin(struct http_exchange *x, int status, const char *content_type)
{
    struct bytes out;
    assert(x->state == EXCHANGE_WAITING);
    x->state = EXCHANGE_STREAMING;
    bytes_init(&out);
    if (answer_head(x, status, content_type, -1, &out) == OK)
        exchange_send(x, &out);
    else
        exchange_doom(x);
    bytes_fini(&out);
}

size_t http_stream_unsent(const struct http_exchange *x)
{
    return x->connection->ops->unsent(x->connection->wire);
}

static void stream_check(struct http_exchange *x)
{
    size_t unsent = http_stream_unsent(x);
    if (unsent > HTTP_STREAM_BYTES_MAX) {
        exchange_doom(x);
    } else if (unsent > HTTP_PAUSE_BYTES && !x->paused) {
        x->paused = true;
        x->connection->site->gauges.streams_paused++;
        if (x->watch.paused)
            x->watch.paused(x->watch.owner);
    }
}

// What was large once is not kept.
static void give_back(struct bytes *buffer)
{
    enum { KEPT_BYTES = 256 << 10 };
    if (buffer->capacity > KEPT_BYTES)
        bytes_fini(buffer);
    bytes_clear(buffer);
}

void http_stream_send(struct http_exchange *x, const void *data, size_t length)
{
    struct bytes *out = &x->connection->site->chunk;
    assert(x->state == EXCHANGE_STREAMING);
    if (length == 0 || x->connection->doomed || head_only(x))
        return;
    enum status made = x->chunked ? bytes_format(out, "%zx\r\n", length) : OK;
    if (made == OK)
        made = bytes_append(out, data, length);
    if (made == OK && x->chunked)
        made = bytes_append(out, "\r\n", 2);
    if (made == OK)
        exchange_send(x, out);
    else
        exchange_doom(x);
    give_back(out);
    stream_check(x);
}

void http_stream_end(struct http_exchange *x)
{
    static const char last[] = "0\r\n\r\n";
    assert(x->state == EXCHANGE_STREAMING);
    if (x->chunked && !x->connection->doomed && !head_only(x)) {
        x->sent_bytes += (int64_t)sizeof last - 1;
        http_connection_send(x->connection, last, sizeof last - 1);
    }
    exchange_over(x);
}

void http_stream_abort(struct http_exchange *x)
{
    exchange_doom(x);
    exchange_over(x);
}

void http_events_begin(struct http_exchange *x)
{
    // nginx reads the last one: it must not collect events.
    http_answer_field(x, "cache-control", "no-cache");
    http_answer_field(x, "x-accel-buffering", "no");
    http_stream_begin(x, 200, "text/event-stream; charset=utf-8");
}

void http_events_send(struct http_exchange *x, const char *text, size_t length)
{
    struct bytes *event = &x->connection->site->event;
    enum status made = bytes_text(event, "data: ");
    for (size_t at = 0; at < length && made == OK;) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t n = end ? (size_t)(end - text) - at + 1 : length - at;
        made = bytes_append(event, text + at, n);
        if (end && made == OK)
            made = bytes_text(event, "data: ");
        at += n;
    }
    if (made == OK)
        made = bytes_text(event, "\n\n");
    if (made == OK)
        http_stream_send(x, event->data, event->length);
    else
        exchange_doom(x);
    give_back(event);
}

// ---- what the connection reports ----

void http_exchange_lost(struct http_connection *c)
{
    struct http_exchange *x = &c->exchange;
    if (x->state != EXCHANGE_WAITING && x->state != EXCHANGE_STREAMING)
        return;
    x->state = EXCHANGE_OVER;
    c->site->gauges.exchanges--;
    if (x->watch.gone)
        x->watch.gone(x->watch.owner);
    exchange_record(x);
    if (c->site->exchange_over)
        c->site->exchange_over(c->site);
}

void http_exchange_sent(struct http_connection *c)
{
    struct http_exchange *x = &c->exchange;
    if (x->state != EXCHANGE_STREAMING || !x->paused || http_stream_unsent(x) > HTTP_RESUME_BYTES)
        return;
    x->paused = false;
    c->site->gauges.streams_paused--;
    if (x->watch.resumed)
        x->watch.resumed(x->watch.owner);
}

// ---- from a request to its handler ----

static void exchange_open(struct http_connection *c)
{
    struct http_exchange *x = &c->exchange;
    x->state = EXCHANGE_WAITING;
    x->watch = (struct http_watch){0};
    x->route = NULL;
    x->status = 0;
    x->chunked = x->paused = false;
    x->sent_bytes = 0;
    x->begun_ns = clock_ns();
    c->site->gauges.exchanges++;
}

static enum http_method method_of(struct http_text text)
{
    static const struct {
        const char *name;
        enum http_method method;
    } known[] = {{"GET", HTTP_METHOD_GET},
                 {"HEAD", HTTP_METHOD_HEAD},
                 {"POST", HTTP_METHOD_POST},
                 {"OPTIONS", HTTP_METHOD_OPTIONS}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (http_text_equals(text, known[i].name))
            return known[i].method;
    return HTTP_METHOD_OTHER;
}

// An id of the client's is taken if it can stand in a log line and in a header.
static void name_request(struct http_connection *c)
{
    struct http_exchange *x = &c->exchange;
    struct http_request *request = &x->request;
    struct http_text given = http_request_field(request, "X-Request-Id");
    request->id_given = given.length > 0 && given.length <= HTTP_REQUEST_ID_MAX;
    for (size_t i = 0; i < given.length && request->id_given; i++)
        request->id_given = given.data[i] > 0x20 && given.data[i] < 0x7f;
    if (request->id_given) {
        memcpy(x->id, given.data, given.length);
        x->id[given.length] = '\0';
    } else {
        http_site_request_id(c->site, x->id);
    }
    request->id = x->id;
}

static void describe_request(struct http_connection *c)
{
    struct http_request *request = &c->exchange.request;
    request->method_text = c->head->method;
    request->method = method_of(c->head->method);
    request->tail = "";
    request->fields = c->head->fields;
    request->n_fields = c->head->n_fields;
    request->body = "";
    request->body_bytes = 0;
    request->peer = c->peer;
    name_request(c);
    c->exchange.known = true;
}

static void answer_preflight(struct http_exchange *x)
{
    struct bytes refused;
    char text[64] = "OK";
    bytes_init(&refused);
    if (http_cors_preflight(x->connection->site, &x->request, &x->fields, &refused) != OK)
        exchange_doom(x);
    if (refused.length)
        snprintf(text, sizeof text, "Disallowed CORS %s", refused.data);
    http_answer(x, refused.length ? 400 : 200, "text/plain; charset=utf-8", text, strlen(text));
    bytes_fini(&refused);
}

static void answer_other_slash(struct http_exchange *x)
{
    const char *path = x->connection->path; // with the root path: the client's view
    struct http_text target = x->connection->head->target;
    size_t length = strlen(path), n = length > 1 && path[length - 1] == '/' ? length - 1 : length;
    struct bytes location;
    bytes_init(&location);
    // Relative: behind a proxy we know neither its name nor whether it speaks TLS. Only literal
    // routes lead here, so the path holds nothing that needs to be encoded.
    bool has_query = x->request.query.data != target.data + target.length;
    enum status made =
        bytes_format(&location, "%.*s%s%s%.*s", (int)n, path, n == length ? "/" : "",
                     has_query ? "?" : "", (int)x->request.query.length, x->request.query.data);
    if (made == OK)
        http_answer_field(x, "location", location.data);
    else
        exchange_doom(x);
    http_answer(x, 307, NULL, NULL, 0);
    bytes_fini(&location);
}

// Also for who had begun to send a request before: it has not been worked on.
static bool answer_if_draining(struct http_exchange *x)
{
    if (!x->connection->site->draining || (x->route->flags & HTTP_ROUTE_ALWAYS))
        return false;
    answer_error(x, 503, NULL, NULL, "the server is shutting down; try again");
    return true;
}

// Answers what needs no handler; returns whether it did.
static bool answer_without_handler(struct http_exchange *x)
{
    struct http_site *site = x->connection->site;
    struct http_request *request = &x->request;
    struct http_match match;
    if (http_cors_is_preflight(request)) {
        answer_preflight(x);
        return true;
    }
    if (!http_keys_allow(site, request)) {
        answer_error(
            x, 401, NULL, NULL,
            "the API key is missing or wrong; expected a header: Authorization: Bearer KEY, "
            "or X-Api-Key: KEY");
        return true;
    }
    http_site_match(site, request->method, request->path, &match);
    x->route = match.route;
    request->tail = match.tail;
    if (match.other_slash) {
        answer_other_slash(x);
    } else if (match.allow) {
        http_answer_field(x, "allow", match.allow);
        http_answer_error(x, 405, NULL, NULL, "%s takes %s, not %.*s", request->path, match.allow,
                          (int)request->method_text.length, request->method_text.data);
    } else if (!match.route) {
        http_answer_error(x, 404, NULL, NULL, "there is nothing at %s", request->path);
    } else {
        return answer_if_draining(x);
    }
    return true;
}

// Called twice: when the header is complete (state BODY), and when the body is.
void http_exchange_begin(struct http_connection *c)
{
    struct http_exchange *x = &c->exchange;
    if (c->state == CONNECTION_BODY) {
        describe_request(c);
        exchange_open(c);
        c->state = CONNECTION_EXCHANGE;
        if (!answer_without_handler(x)) {
            c->state = CONNECTION_BODY;
            x->state = EXCHANGE_NONE;
            c->site->gauges.exchanges--;
        }
        return;
    }
    const struct http_route *route = x->route;
    exchange_open(c);
    x->route = route;
    if (c->body.length) {
        x->request.body = c->body.data;
        x->request.body_bytes = c->body.length;
    }
    x->request.received_ns = x->begun_ns;
    c->site->gauges.requests++;
    if (!answer_if_draining(x))
        route->handler(x, route->owner);
}

void http_exchange_refuse(struct http_connection *c, const struct http_fault *fault)
{
    struct http_exchange *x = &c->exchange;
    c->site->gauges.refused++;
    c->state = CONNECTION_EXCHANGE;
    if (!x->known)
        x->request = (struct http_request){.method = HTTP_METHOD_OTHER};
    exchange_open(c);
    x->keep_alive = false;
    answer_error(x, fault->status, NULL, NULL, fault->message);
}
