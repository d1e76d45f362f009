// A client's socket in the loop, with TLS on it or not: the wire of an http_connection.
#ifndef COLROW_SERVER_HTTP_PEER_H
#define COLROW_SERVER_HTTP_PEER_H

#include <uv.h>

#include "server/http_connection.h"
#include "server/http_tls.h"

enum { HTTP_READ_BYTES = 64 << 10, HTTP_LINGER_MS = 2000 };

struct http_peer;

struct http_server {
    struct http_site site;
    uv_loop_t *loop;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } listener;
    bool listening, is_unix;
    uv_timer_t timer;
    uv_idle_t waker; // runs while peers are in `woken`
    bool has_timer;
    char *address;
    struct tls_context *tls;
    struct http_peer *peers; // all, newest first
    struct http_peer *woken;
    char *read_buffer;  // HTTP_READ_BYTES: one read at a time
    char *clear_buffer; // the same, decrypted
    int64_t tick_ms;
    int64_t complained_ms; // last log line about accepting
    void (*drained)(void *owner);
    void *drained_owner;
    bool closing;
};

// Takes over an accepted connection from the listener; on failure it is closed again.
void http_peer_accept(struct http_server *server);
// `grace_ms`: how long the loop did not look, by which deadlines move.
void http_peer_tick(struct http_peer *peer, int64_t grace_ms);
void http_peers_wake(struct http_server *server); // runs what is in `woken`
void http_peers_cut(struct http_server *server);
bool http_peers_owe(
    const struct http_server *server);             // a request is half read, or an answer half sent
void http_server_wake(struct http_server *server); // has `woken` run soon
struct http_peer *http_peer_next(struct http_peer *peer);

#endif
