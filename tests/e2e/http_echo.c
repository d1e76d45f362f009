// A server made of src/server alone, for the tests: echoes, streams, waits.
//
//   POST /v1/echo         the body, at once          GET /v1/later?ms=N     an answer after N ms
//   GET /v1/events?n=N    N events, each 50 bytes    GET /v1/flood?bytes=N  a stream as fast as it
//   is GET /hello            at once                                          taken, with pauses
//   GET /v1/items/{tail}  the tail                   POST /drain            begins to drain
//   GET /gauges           http_gauges, gone, paused as JSON
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/log.h"
#include "base/memory.h"
#include "cmd/commands.h"
#include "cmd/http_flags.h"

struct echo {
    uv_loop_t loop;
    struct http_server *server;
    int gone, paused, resumed, drained;
    struct work *works;
};

// An exchange that is not answered yet.
struct work {
    struct echo *echo;
    struct http_exchange *exchange;
    struct work *next;
    uv_timer_t timer;
    long left; // events or bytes to send
    bool flood, paused;
};

static long number_in_query(const struct http_request *request, const char *name, long otherwise)
{
    char query[256];
    size_t n = request->query.length < sizeof query - 1 ? request->query.length : sizeof query - 1;
    memcpy(query, request->query.data, n);
    query[n] = '\0';
    const char *at = strstr(query, name);
    return at && at[strlen(name)] == '=' ? atol(at + strlen(name) + 1) : otherwise;
}

static void work_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void work_end(struct work *work)
{
    struct work **at = &work->echo->works;
    while (*at != work)
        at = &(*at)->next;
    *at = work->next;
    uv_close((uv_handle_t *)&work->timer, work_closed);
}

static void on_gone(void *owner)
{
    struct work *work = owner;
    work->echo->gone++;
    work_end(work);
}

static void on_paused(void *owner)
{
    struct work *work = owner;
    work->echo->paused++;
    work->paused = true;
}

static void flood_on(struct work *work)
{
    static char piece[16 << 10];
    memset(piece, 'x', sizeof piece);
    while (!work->paused && work->left > 0) {
        size_t n = work->left < (long)sizeof piece ? (size_t)work->left : sizeof piece;
        work->left -= (long)n;
        http_stream_send(work->exchange, piece, n);
    }
    if (work->left == 0) {
        http_stream_end(work->exchange);
        work_end(work);
    }
}

static void on_resumed(void *owner)
{
    struct work *work = owner;
    work->echo->resumed++;
    work->paused = false;
    flood_on(work);
}

static void next_event(uv_timer_t *timer)
{
    struct work *work = timer->data;
    if (work->left-- > 0) {
        char event[64];
        int n = snprintf(event, sizeof event, "{\"left\":%ld,\"text\":\"%s\"}", work->left,
                         "twenty-five characters..");
        http_events_send(work->exchange, event, (size_t)n);
        return;
    }
    http_events_send(work->exchange, "[DONE]", 6);
    http_stream_end(work->exchange);
    work_end(work);
}

static void answer_later(uv_timer_t *timer)
{
    struct work *work = timer->data;
    http_answer_json(work->exchange, 200, "{\"late\":true}", 13);
    work_end(work);
}

static struct work *work_begin(struct echo *echo, struct http_exchange *exchange)
{
    struct work *work = calloc(1, sizeof *work);
    if (!work)
        return NULL;
    *work = (struct work){.echo = echo, .exchange = exchange, .next = echo->works};
    echo->works = work;
    uv_timer_init(&echo->loop, &work->timer);
    work->timer.data = work;
    http_exchange_watch(exchange, &(struct http_watch){on_gone, on_paused, on_resumed, work});
    return work;
}

static void serve_echo(struct http_exchange *x, void *owner)
{
    const struct http_request *request = http_exchange_request(x);
    (void)owner;
    http_answer(x, 200, "application/octet-stream", request->body, request->body_bytes);
}

static void serve_hello(struct http_exchange *x, void *owner)
{
    (void)owner;
    http_answer(x, 200, "text/plain", "hello\n", 6);
}

static void serve_item(struct http_exchange *x, void *owner)
{
    (void)owner;
    const char *tail = http_exchange_request(x)->tail;
    http_answer(x, 200, "text/plain", tail, strlen(tail));
}

static void serve_later(struct http_exchange *x, void *owner)
{
    struct work *work = work_begin(owner, x);
    uv_timer_start(&work->timer, answer_later,
                   (uint64_t)number_in_query(http_exchange_request(x), "ms", 100), 0);
}

static void serve_events(struct http_exchange *x, void *owner)
{
    struct work *work = work_begin(owner, x);
    work->left = number_in_query(http_exchange_request(x), "n", 3);
    http_events_begin(x);
    uv_timer_start(&work->timer, next_event, 0,
                   (uint64_t)number_in_query(http_exchange_request(x), "ms", 20));
}

static void serve_flood(struct http_exchange *x, void *owner)
{
    struct work *work = work_begin(owner, x);
    work->flood = true;
    work->left = number_in_query(http_exchange_request(x), "bytes", 1 << 20);
    http_stream_begin(x, 200, "application/octet-stream");
    flood_on(work);
}

static void serve_gauges(struct http_exchange *x, void *owner)
{
    struct echo *echo = owner;
    struct http_gauges g;
    char text[512];
    http_server_gauges(echo->server, &g);
    int n = snprintf(
        text, sizeof text,
        "{\"connections\":%d,\"exchanges\":%d,\"streams_paused\":%d,\"buffered_bytes\":%lld,"
        "\"accepted\":%lld,\"refused\":%lld,\"requests\":%lld,\"dropped_slow\":%lld,"
        "\"accept_errors\":%lld,\"gone\":%d,\"paused\":%d,\"resumed\":%d}",
        g.connections, g.exchanges, g.streams_paused, (long long)g.buffered_bytes,
        (long long)g.accepted, (long long)g.refused, (long long)g.requests,
        (long long)g.dropped_slow, (long long)g.accept_errors, echo->gone, echo->paused,
        echo->resumed);
    http_answer_json(x, 200, text, (size_t)n);
}

static void on_drained(void *owner)
{
    struct echo *echo = owner;
    echo->drained = 1;
}

static void serve_drain(struct http_exchange *x, void *owner)
{
    struct echo *echo = owner;
    http_answer_json(x, 202, "{}", 2);
    http_server_drain(echo->server, on_drained, echo);
}

static void stop(uv_signal_t *handle, int number)
{
    struct echo *echo = handle->loop->data;
    (void)number;
    http_server_close(echo->server);
    uv_close((uv_handle_t *)handle, NULL);
}

static enum status add_routes(struct echo *e)
{
    struct http_server *s = e->server;
    TRY(http_server_route(s, HTTP_METHOD_POST, "/v1/echo", 0, serve_echo, e));
    TRY(http_server_route(s, HTTP_METHOD_GET, "/v1/later", 0, serve_later, e));
    TRY(http_server_route(s, HTTP_METHOD_GET, "/v1/events", 0, serve_events, e));
    TRY(http_server_route(s, HTTP_METHOD_GET, "/v1/flood", 0, serve_flood, e));
    TRY(http_server_route(s, HTTP_METHOD_GET, "/v1/items/{tail}", 0, serve_item, e));
    TRY(http_server_route(s, HTTP_METHOD_GET, "/hello", 0, serve_hello, e));
    TRY(http_server_route(s, HTTP_METHOD_GET, "/health", 0, serve_hello, e));
    TRY(http_server_route(s, HTTP_METHOD_GET, "/gauges", HTTP_ROUTE_ALWAYS, serve_gauges, e));
    return http_server_route(s, HTTP_METHOD_POST, "/drain", 0, serve_drain, e);
}

static enum status serve(struct echo *echo, struct http_flags *flags)
{
    TRY(http_flags_finish(flags));
    TRY(http_server_new(&flags->options, &echo->loop, &echo->server));
    TRY(add_routes(echo));
    uv_signal_t terminate;
    uv_signal_init(&echo->loop, &terminate);
    uv_signal_start(&terminate, stop, SIGTERM);
    enum status status = http_server_listen(echo->server);
    if (status == OK) {
        printf("%s\n", http_server_address(echo->server));
        fflush(stdout);
    } else {
        http_server_close(echo->server);
        uv_close((uv_handle_t *)&terminate, NULL);
    }
    uv_run(&echo->loop, UV_RUN_DEFAULT);
    if (status == OK)
        printf("drained %d, left %d\n", echo->drained, echo->works ? 1 : 0);
    return status;
}

static const struct command command = {
    .name = "http_echo",
    .summary = "For tests.",
    .sections = {{http_flag_rows, HTTP_FLAGS, 0}},
};

int main(int argc, char **argv)
{
    static struct echo echo;
    struct http_flags flags;
    bool helped = false;
    int n = 0;
    signal(SIGPIPE, SIG_IGN);
    http_flags_init(&flags);
    uv_loop_init(&echo.loop);
    echo.loop.data = &echo;
    enum status status = flags_parse(&command, &flags, argc, argv, NULL, 0, &n, &helped);
    if (status == OK && !helped)
        status = serve(&echo, &flags);
    http_server_free(echo.server);
    http_flags_fini(&flags);
    int busy = uv_loop_close(&echo.loop);
    if (status != OK)
        return flags_failed(status);
    return busy ? 3 : 0; // a handle was left behind
}
