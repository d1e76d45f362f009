// A wire for http_connection without a socket: keeps what is sent, takes it when told to.
#ifndef COLROW_TESTS_HTTP_WIRE_MOCK_H
#define COLROW_TESTS_HTTP_WIRE_MOCK_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/http_connection.h"

struct mock_wire {
    struct http_site *site;
    struct http_connection connection;
    struct bytes sent;
    size_t unsent;    // of `sent`, not taken by the client yet
    size_t under_way; // taken by the kernel alone
    bool hold;        // the client takes nothing
    bool receiving, finished, cut, woken;
};

static inline void mock_send(void *wire, const char *data, size_t length)
{
    struct mock_wire *w = wire;
    assert(!w->finished && !w->cut);
    enum status kept = bytes_append(&w->sent, data, length);
    if (kept == OK && w->hold)
        w->unsent += length;
}

static inline size_t mock_unsent(const void *wire)
{
    return ((const struct mock_wire *)wire)->unsent;
}

static inline size_t mock_under_way(const void *wire)
{
    return ((const struct mock_wire *)wire)->under_way;
}

static inline void mock_receive(void *wire, bool on)
{
    struct mock_wire *w = wire;
    assert(w->receiving != on && !w->cut);
    w->receiving = on;
}

static inline void mock_finish(void *wire)
{
    struct mock_wire *w = wire;
    assert(!w->finished && !w->cut);
    w->finished = true;
}

static inline void mock_cut(void *wire)
{
    struct mock_wire *w = wire;
    assert(!w->finished && !w->cut);
    w->cut = true;
    w->unsent = 0;
}

static inline void mock_wake(void *wire)
{
    ((struct mock_wire *)wire)->woken = true;
}

static const struct http_wire_ops mock_ops = {
    mock_send, mock_unsent, mock_under_way, mock_receive, mock_finish, mock_cut, mock_wake};

static inline void mock_open(struct mock_wire *w, struct http_site *site)
{
    *w = (struct mock_wire){.site = site, .receiving = true};
    bytes_init(&w->sent);
    http_connection_init(&w->connection, site, &mock_ops, w, "mock");
}

static inline bool mock_is_over(const struct mock_wire *w)
{
    return w->finished || w->cut;
}

// What the loop does between two events.
static inline void mock_settle(struct mock_wire *w)
{
    while (w->woken) {
        w->woken = false;
        if (!w->cut)
            http_connection_run(&w->connection);
    }
}

static inline void mock_feed(struct mock_wire *w, const void *data, size_t length)
{
    if (mock_is_over(w) || !w->receiving || length == 0)
        return;
    http_connection_received(&w->connection, data, length);
    mock_settle(w);
}

static inline void mock_take(struct mock_wire *w, size_t length)
{
    w->unsent -= length < w->unsent ? length : w->unsent;
    if (!mock_is_over(w))
        http_connection_sent(&w->connection);
    mock_settle(w);
}

static inline void mock_tick(struct mock_wire *w, int64_t ms)
{
    w->site->now_ms += ms;
    if (!mock_is_over(w))
        http_connection_tick(&w->connection);
    mock_settle(w);
}

static inline void mock_close(struct mock_wire *w)
{
    if (!mock_is_over(w))
        http_connection_ended(&w->connection, true);
    http_connection_fini(&w->connection);
    bytes_fini(&w->sent);
}

#endif
