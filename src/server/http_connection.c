#include "server/http_connection.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { IN_BYTES_KEPT = 4 << 10 }; // of an idle connection

static const struct http_fault no_memory = {503, "there is no memory for the request"};

void http_connection_init(struct http_connection *c, struct http_site *site,
                          const struct http_wire_ops *ops, void *wire, const char *peer)
{
    *c = (struct http_connection){.site = site, .ops = ops, .wire = wire, .receiving = true};
    snprintf(c->peer, sizeof c->peer, "%s", peer);
    bytes_init(&c->in);
    bytes_init(&c->head_bytes);
    bytes_init(&c->body);
    bytes_init(&c->exchange.fields);
    c->exchange.connection = c;
    c->due_ms = site->now_ms + site->options.header_ms;
    site->gauges.connections++;
    site->gauges.accepted++;
}

static void bytes_release(struct bytes *bytes)
{
    bytes_fini(bytes);
    bytes_init(bytes);
}

// Everything that belongs to one request.
static void request_release(struct http_connection *c)
{
    http_parse_end(&c->parse);
    free(c->head);
    free(c->path);
    c->head = NULL;
    c->path = NULL;
    bytes_release(&c->head_bytes);
    bytes_release(&c->body);
    bytes_release(&c->exchange.fields);
    c->scan = (struct http_head_scan){0};
    c->exchange.known = false;
}

static void connection_count(struct http_connection *c)
{
    int64_t now = (int64_t)(c->in.capacity + c->head_bytes.capacity + c->body.capacity +
                            c->exchange.fields.capacity + (c->head ? sizeof *c->head : 0) +
                            (c->parse.chunks.trailer_bytes ? HTTP_FIELDS_BYTES_MAX : 0)) +
                  (int64_t)c->ops->unsent(c->wire);
    c->site->gauges.buffered_bytes += now - c->counted_bytes;
    c->counted_bytes = now;
}

void http_connection_fini(struct http_connection *c)
{
    http_exchange_lost(c);
    request_release(c);
    bytes_fini(&c->in);
    bytes_fini(&c->exchange.fields);
    c->site->gauges.buffered_bytes -= c->counted_bytes;
    c->site->gauges.connections--;
}

static void connection_receive(struct http_connection *c, bool on)
{
    if (c->receiving != on) {
        c->receiving = on;
        c->ops->receive(c->wire, on);
    }
}

void http_connection_send(struct http_connection *c, const char *data, size_t length)
{
    if (c->ops->unsent(c->wire) == 0)
        http_patience_renew(&c->patience, c->site->now_ms, c->site->options.stalled_ms);
    c->handed_bytes += (int64_t)length;
    c->ops->send(c->wire, data, length);
}

// ---- reading ----

// Forgets the first `n` bytes of what was received.
static void in_consume(struct http_connection *c, size_t n)
{
    assert(n <= c->in.length);
    memmove(c->in.data, c->in.data + n, c->in.length - n);
    c->in.length -= n;
    if (c->in.length == 0 && c->in.capacity > IN_BYTES_KEPT)
        bytes_release(&c->in);
}

static bool over_budget(const struct http_connection *c)
{
    return c->site->gauges.buffered_bytes > c->site->options.memory_bytes_max;
}

static void request_complete(struct http_connection *c)
{
    c->state = CONNECTION_EXCHANGE;
    http_exchange_begin(c);
}

static bool request_split(struct http_connection *c, struct http_fault *fault)
{
    struct http_request *request = &c->exchange.request;
    *fault = no_memory;
    if (memory_new(c->head->target.length + 2, 1, "a request's path", &c->path) != OK ||
        !http_target_split(c->head, c->path, &request->query, fault))
        return false;
    request->path = http_site_path(c->site, c->path);
    return true;
}

// The header is complete: reads it, and decides whether its body is wanted.
static bool head_complete(struct http_connection *c, struct http_fault *fault)
{
    size_t begin = c->scan.begin, length = c->scan.at - begin;
    *fault = no_memory;
    if (bytes_append(&c->head_bytes, c->in.data + begin, length) != OK ||
        memory_new(1, sizeof *c->head, "a request's header", &c->head) != OK)
        return false;
    in_consume(c, c->scan.at);
    if (!http_head_judge(c->head_bytes.data, length, c->head, fault))
        return false;
    http_parse_begin(&c->parse, &c->body);
    enum http_progress progress = http_parse_head(&c->parse, c->head_bytes.data, length, c->head,
                                                  (uint64_t)c->site->options.body_bytes_max, fault);
    if (progress == HTTP_REFUSED || !request_split(c, fault))
        return false;
    c->exchange.keep_alive = c->parse.body_done && c->parse.keep_alive && c->head->minor > 0;
    c->state = CONNECTION_BODY;
    http_exchange_begin(c); // answers at once what no body changes
    if (c->state != CONNECTION_BODY)
        return true;
    if (progress == HTTP_COMPLETE) {
        request_complete(c);
        return true;
    }
    c->due_ms = c->site->now_ms + c->site->options.body_ms;
    if (c->head->expects_continue && c->head->minor > 0 && c->in.length == 0) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        http_connection_send(c, go_on, sizeof go_on - 1);
    }
    return true;
}

// A client that asks on and on and reads nothing gets no further answers made.
static bool answers_wait(const struct http_connection *c)
{
    return c->ops->unsent(c->wire) > HTTP_PAUSE_BYTES;
}

// Returns whether there may be more to do.
static bool step_head(struct http_connection *c)
{
    struct http_fault fault = {0};
    if (c->in.length == 0 || answers_wait(c))
        return false;
    if (c->scan.at == 0 && c->answered)
        c->due_ms = c->site->now_ms + c->site->options.header_ms;
    switch (http_head_scan(&c->scan, c->in.data, c->in.length, &fault)) {
    case HTTP_MORE:
        return false;
    case HTTP_COMPLETE:
        if (!head_complete(c, &fault))
            http_exchange_refuse(c, &fault);
        return true;
    case HTTP_REFUSED:
        break;
    }
    http_exchange_refuse(c, &fault);
    return true;
}

static bool step_body(struct http_connection *c)
{
    struct http_fault fault = {0};
    size_t used = 0;
    if (c->in.length == 0)
        return false;
    enum http_progress progress =
        http_parse_body(&c->parse, c->in.data, c->in.length, &used, &fault);
    if (progress != HTTP_REFUSED) {
        in_consume(c, used);
        connection_count(c);
        if (over_budget(c)) {
            fault = (struct http_fault){503, "the server's memory for requests is used up"};
            progress = HTTP_REFUSED;
        }
    }
    if (progress == HTTP_REFUSED)
        http_exchange_refuse(c, &fault);
    if (progress == HTTP_COMPLETE) {
        c->exchange.keep_alive = c->parse.keep_alive && c->head->minor > 0;
        request_complete(c);
    }
    return progress != HTTP_MORE;
}

void http_connection_run(struct http_connection *c)
{
    if (c->running)
        return;
    c->running = true;
    if (c->doomed && c->state != CONNECTION_OVER)
        http_connection_lost(c);
    bool more = true;
    while (more) {
        switch (c->state) {
        case CONNECTION_HEAD:
            more = step_head(c);
            break;
        case CONNECTION_BODY:
            more = step_body(c);
            break;
        case CONNECTION_EXCHANGE:
        case CONNECTION_OVER:
            more = false;
        }
    }
    if (c->state != CONNECTION_OVER) {
        bool ahead = c->state == CONNECTION_EXCHANGE && c->in.length >= HTTP_PIPELINED_BYTES_MAX;
        connection_receive(c, !ahead && !(c->state == CONNECTION_HEAD && answers_wait(c)));
        if (c->doomed)
            http_connection_lost(c);
    }
    connection_count(c);
    c->running = false;
}

void http_connection_received(struct http_connection *c, const char *data, size_t length)
{
    if (c->state == CONNECTION_OVER)
        return;
    if (bytes_append(&c->in, data, length) != OK)
        c->doomed = true;
    http_connection_run(c);
}

// ---- the end of an exchange, and of the connection ----

static void connection_over(struct http_connection *c, bool in_order)
{
    assert(c->state != CONNECTION_OVER);
    c->state = CONNECTION_OVER;
    bytes_release(&c->in);
    request_release(c);
    if (in_order)
        c->ops->finish(c->wire);
    else
        c->ops->cut(c->wire);
}

void http_connection_exchange_over(struct http_connection *c)
{
    c->answered = true;
    if (c->exchange.keep_alive && !c->doomed && !c->site->draining) {
        request_release(c);
        c->state = CONNECTION_HEAD;
        c->due_ms = c->site->now_ms + c->site->options.idle_ms;
        if (!c->running)
            c->ops->wake(c->wire);
    } else {
        connection_over(c, !c->doomed);
    }
    connection_count(c);
}

void http_connection_lost(struct http_connection *c)
{
    if (c->state == CONNECTION_OVER)
        return;
    c->doomed = true;
    http_exchange_lost(c);
    connection_over(c, false);
    connection_count(c);
}

bool http_connection_is_idle(const struct http_connection *c)
{
    return c->state == CONNECTION_HEAD && c->answered && c->in.length == 0;
}

bool http_connection_owes(const struct http_connection *c)
{
    return c->state == CONNECTION_BODY || c->state == CONNECTION_EXCHANGE || c->in.length > 0 ||
           c->ops->unsent(c->wire) > 0;
}

void http_connection_ended(struct http_connection *c, bool in_order)
{
    if (in_order && c->state == CONNECTION_HEAD && !c->doomed)
        connection_over(c, true);
    else
        http_connection_lost(c);
}

void http_connection_turn_away(struct http_connection *c)
{
    static const struct http_fault full = {503, "the server has as many connections as it takes"};
    if (c->state == CONNECTION_HEAD)
        http_exchange_refuse(c, &full);
}

void http_connection_sent(struct http_connection *c)
{
    http_exchange_sent(c);
    if (!c->receiving && c->state == CONNECTION_HEAD && !answers_wait(c))
        c->ops->wake(c->wire);
    connection_count(c);
}

// ---- slow clients ----

void http_patience_renew(struct http_patience *patience, int64_t now_ms, int stalled_ms)
{
    patience->until_ms = now_ms + stalled_ms;
}

bool http_patience_lasts(struct http_patience *patience, int64_t taken, int64_t now_ms,
                         int stalled_ms)
{
    int64_t more = taken - patience->taken;
    if (more > 0)
        patience->until_ms += more * 1000 / HTTP_SLOWEST_BYTES_PER_S;
    if (patience->until_ms > now_ms + stalled_ms)
        patience->until_ms = now_ms + stalled_ms;
    patience->taken = taken;
    return now_ms < patience->until_ms;
}

// What has left this process may still lie in this machine's kernel, by the hundred KiB: only what
// has arrived is taken.
static bool client_takes(struct http_connection *c)
{
    int64_t now = c->site->now_ms, unsent = (int64_t)c->ops->unsent(c->wire);
    int stalled = c->site->options.stalled_ms;
    if (unsent == 0) {
        http_patience_renew(&c->patience, now, stalled);
        return true;
    }
    int64_t taken = c->handed_bytes - unsent - (int64_t)c->ops->under_way(c->wire);
    return http_patience_lasts(&c->patience, taken, now, stalled);
}

void http_connection_tick(struct http_connection *c)
{
    static const struct http_fault late_head = {408, "the header did not arrive in time"};
    static const struct http_fault late_body = {408, "the body did not arrive in time"};
    int64_t now = c->site->now_ms;
    if (c->state == CONNECTION_OVER)
        return;
    http_connection_sent(c);
    if (!client_takes(c)) {
        c->site->gauges.dropped_slow++;
        http_connection_lost(c);
        return;
    }
    if (c->state == CONNECTION_EXCHANGE || now < c->due_ms)
        return;
    if (c->state == CONNECTION_HEAD && c->in.length == 0)
        connection_over(c, true); // nobody waits for an answer
    else
        http_exchange_refuse(c, c->state == CONNECTION_HEAD ? &late_head : &late_body);
}
