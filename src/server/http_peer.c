#include "server/http_peer.h"

#include <assert.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/log.h"

// Bytes that the kernel may hold unsent for one client; the rest is ours, and counted.
enum { KERNEL_UNSENT_BYTES = 64 << 10 };

struct http_peer {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } socket;
    struct http_server *server;
    struct http_connection connection;
    struct tls_session *tls;
    struct http_peer *next, *previous;
    struct http_peer *next_woken;
    uv_shutdown_t shutdown;
    size_t unsent;                 // handed to libuv
    struct http_patience patience; // `finishing`: with what is left
    int64_t shut_ms;               // when all was sent
    bool woken, reading, finishing, shut, failed, closed;
    bool saw_end; // the client sends no more
};

struct pending_write {
    uv_write_t request;
    struct http_peer *peer;
    size_t length;
    char data[];
};

struct http_peer *http_peer_next(struct http_peer *peer)
{
    return peer->next;
}

static void peer_wake(void *wire);
static void peer_cut(void *wire);

static int64_t now_ms(struct http_peer *peer)
{
    return peer->server->site.now_ms = (int64_t)uv_now(peer->server->loop);
}

// ---- sending ----

static void peer_failed(struct http_peer *peer)
{
    peer->failed = true;
    peer_wake(peer);
}

static void peer_shut(struct http_peer *peer);

static void write_done(uv_write_t *request, int result)
{
    struct pending_write *write = (struct pending_write *)request;
    struct http_peer *peer = write->peer;
    peer->unsent -= write->length;
    free(write);
    if (peer->closed)
        return;
    now_ms(peer);
    if (result < 0)
        peer_failed(peer);
    else if (peer->finishing)
        peer_shut(peer);
    else
        http_connection_sent(&peer->connection);
}

// What the socket does not take at once is copied and waits.
static void peer_write(struct http_peer *peer, const char *data, size_t length)
{
    if (peer->failed || peer->closed || peer->shut)
        return;
    if (peer->unsent == 0) {
        uv_buf_t all = uv_buf_init((char *)data, (unsigned)length);
        int n = uv_try_write(&peer->socket.stream, &all, 1);
        if (n < 0 && n != UV_EAGAIN) {
            peer_failed(peer);
            return;
        }
        if (n > 0) {
            data += n;
            length -= (size_t)n;
        }
    }
    if (length == 0)
        return;
    struct pending_write *write = malloc(sizeof *write + length);
    if (!write) {
        peer_failed(peer);
        return;
    }
    memcpy(write->data, data, length);
    write->peer = peer;
    write->length = length;
    uv_buf_t rest = uv_buf_init(write->data, (unsigned)length);
    if (uv_write(&write->request, &peer->socket.stream, &rest, 1, write_done) < 0) {
        free(write);
        peer_failed(peer);
        return;
    }
    peer->unsent += length;
}

static void tls_flush(struct http_peer *peer)
{
    struct bytes out;
    bytes_init(&out);
    if (tls_session_drain(peer->tls, &out) != OK)
        peer_failed(peer);
    else if (out.length)
        peer_write(peer, out.data, out.length);
    bytes_fini(&out);
}

static void peer_send(void *wire, const char *data, size_t length)
{
    struct http_peer *peer = wire;
    enum { PIECE_BYTES = 1 << 30 }; // libuv counts in unsigned int
    for (size_t at = 0; at < length; at += PIECE_BYTES) {
        size_t n = length - at < PIECE_BYTES ? length - at : PIECE_BYTES;
        if (!peer->tls)
            peer_write(peer, data + at, n);
        else if (tls_session_write(peer->tls, data + at, n) != OK)
            peer_failed(peer);
        else
            tls_flush(peer);
    }
}

// While libuv works on a large write, its queue shows how far it is.
static size_t peer_unsent(const void *wire)
{
    const struct http_peer *peer = wire;
    return peer->closed ? 0 : uv_stream_get_write_queue_size(&peer->socket.stream);
}

// Of TCP: what the other side has not acknowledged, of UNIX sockets: what it has not read (and what
// the kernel needs to keep it).
static size_t peer_under_way(const void *wire)
{
    const struct http_peer *peer = wire;
    uv_os_fd_t fd;
    int bytes = 0;
    if (peer->closed || uv_fileno(&peer->socket.handle, &fd) != 0 ||
        ioctl(fd, SIOCOUTQ, &bytes) != 0 || bytes < 0)
        return 0;
    return (size_t)bytes;
}

// ---- reading ----

static void peer_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct http_peer *peer = handle->data;
    (void)suggested;
    *out = uv_buf_init(peer->server->read_buffer, HTTP_READ_BYTES);
}

// The client sends no more. What it has been answered is still sent, if it closed in order.
static void peer_ended(struct http_peer *peer, bool in_order)
{
    peer->saw_end = true;
    peer->reading = false;
    uv_read_stop(&peer->socket.stream);
    if (!peer->finishing)
        http_connection_ended(&peer->connection, in_order);
    else if (!in_order || peer->shut)
        peer_cut(peer);
}

// Decrypts what has come. Encrypted bytes wait in the session while nobody wants to read.
static void tls_pump(struct http_peer *peer)
{
    enum tls_result result = TLS_HAS_DATA;
    while (result == TLS_HAS_DATA && peer->reading && !peer->closed && !peer->failed) {
        size_t length;
        char *clear = peer->server->clear_buffer;
        result = tls_session_read(peer->tls, clear, HTTP_READ_BYTES, &length);
        tls_flush(peer); // a handshake's answers
        if (result == TLS_HAS_DATA && !peer->finishing)
            http_connection_received(&peer->connection, clear, length);
    }
    if ((result == TLS_CLOSED || result == TLS_FAILED) && !peer->closed)
        peer_ended(peer, result == TLS_CLOSED);
}

static void peer_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct http_peer *peer = stream->data;
    now_ms(peer);
    if (n == 0)
        return;
    if (n < 0) {
        peer_ended(peer, n == UV_EOF);
    } else if (peer->shut) {
        return; // lingering: what a refused client still sends is thrown away
    } else if (!peer->tls) {
        if (!peer->finishing)
            http_connection_received(&peer->connection, buffer->base, (size_t)n);
    } else if (tls_session_feed(peer->tls, buffer->base, (size_t)n) != OK) {
        peer_failed(peer);
    } else {
        tls_pump(peer);
    }
}

static void peer_receive(void *wire, bool on)
{
    struct http_peer *peer = wire;
    if (peer->closed || peer->reading == on)
        return;
    peer->reading = on;
    if (!on)
        uv_read_stop(&peer->socket.stream);
    else if (uv_read_start(&peer->socket.stream, peer_buffer, peer_read) < 0)
        peer_failed(peer);
    else if (peer->tls)
        peer_wake(peer); // what the session still holds
}

// ---- waking ----

static void peer_wake(void *wire)
{
    struct http_peer *peer = wire;
    if (peer->woken || peer->closed)
        return;
    peer->woken = true;
    peer->next_woken = peer->server->woken;
    peer->server->woken = peer;
    http_server_wake(peer->server);
}

static void unwake(struct http_peer *peer)
{
    struct http_peer **at = &peer->server->woken;
    while (peer->woken && *at != peer)
        at = &(*at)->next_woken;
    if (peer->woken)
        *at = peer->next_woken;
    peer->woken = false;
}

void http_peers_wake(struct http_server *server)
{
    // Taken one by one: running a peer may wake, or end, others.
    for (int budget = 10000; server->woken && budget > 0; budget--) {
        struct http_peer *peer = server->woken;
        server->woken = peer->next_woken;
        peer->woken = false;
        now_ms(peer);
        if (peer->failed) {
            if (peer->finishing)
                peer_cut(peer);
            else
                http_connection_lost(&peer->connection);
            continue;
        }
        http_connection_run(&peer->connection);
        if (peer->tls && peer->reading && !peer->closed)
            tls_pump(peer);
    }
}

// ---- closing ----

static void peer_closed(uv_handle_t *handle)
{
    struct http_peer *peer = handle->data;
    http_connection_fini(&peer->connection);
    tls_session_free(peer->tls);
    free(peer);
}

static void peer_cut(void *wire)
{
    struct http_peer *peer = wire;
    struct http_server *server = peer->server;
    if (peer->closed)
        return;
    unwake(peer);
    peer->closed = true;
    peer->finishing = true;
    if (peer->previous)
        peer->previous->next = peer->next;
    else
        server->peers = peer->next;
    if (peer->next)
        peer->next->previous = peer->previous;
    uv_close(&peer->socket.handle, peer_closed);
}

static void shut_done(uv_shutdown_t *request, int result)
{
    struct http_peer *peer = request->data;
    if ((result < 0 || peer->saw_end) && !peer->closed)
        peer_cut(peer);
}

// Everything is sent: half a close, then the other side's bytes are read and thrown away for a
// moment. To close at once would make the kernel reset the connection, and the client could lose
// the answer.
static void peer_shut(struct http_peer *peer)
{
    if (peer->shut || peer->closed || peer->unsent > 0)
        return;
    peer->shut = true;
    peer->shut_ms = now_ms(peer);
    peer->shutdown.data = peer;
    if (uv_shutdown(&peer->shutdown, &peer->socket.stream, shut_done) < 0)
        peer_cut(peer);
    else if (!peer->saw_end)
        peer_receive(peer, true);
}

static void peer_finish(void *wire)
{
    struct http_peer *peer = wire;
    if (peer->closed || peer->finishing)
        return;
    if (peer->tls) {
        tls_session_close(peer->tls);
        tls_flush(peer);
    }
    peer->finishing = true;
    http_patience_renew(&peer->patience, now_ms(peer), peer->server->site.options.stalled_ms);
    peer_shut(peer);
}

static const struct http_wire_ops peer_ops = {
    .send = peer_send,
    .unsent = peer_unsent,
    .under_way = peer_under_way,
    .receive = peer_receive,
    .finish = peer_finish,
    .cut = peer_cut,
    .wake = peer_wake,
};

// An answer is over, and its last bytes wait: whether they go.
static bool peer_finishes(struct http_peer *peer)
{
    int64_t left = (int64_t)peer_unsent(peer) + (int64_t)peer_under_way(peer);
    if (http_patience_lasts(&peer->patience, -left, now_ms(peer),
                            peer->server->site.options.stalled_ms))
        return true;
    peer->server->site.gauges.dropped_slow++;
    return false;
}

void http_peer_tick(struct http_peer *peer, int64_t grace_ms)
{
    int64_t now = now_ms(peer);
    if (!peer->finishing) {
        peer->connection.due_ms += grace_ms;
        peer->connection.patience.until_ms += grace_ms;
        http_connection_tick(&peer->connection);
        return;
    }
    peer->patience.until_ms += grace_ms;
    if (peer->shut ? now - peer->shut_ms >= HTTP_LINGER_MS : !peer_finishes(peer))
        peer_cut(peer);
}

bool http_peers_owe(const struct http_server *server)
{
    for (const struct http_peer *peer = server->peers; peer; peer = peer->next)
        if (peer->finishing ? !peer->shut : http_connection_owes(&peer->connection))
            return true;
    return false;
}

void http_peers_cut(struct http_server *server)
{
    struct http_peer *next;
    for (struct http_peer *peer = server->peers; peer; peer = next) {
        next = peer->next;
        if (peer->finishing)
            peer_cut(peer);
        else
            http_connection_lost(&peer->connection);
    }
}

// ---- accepting ----

static void peer_name(struct http_peer *peer, char out[HTTP_PEER_TEXT_MAX])
{
    struct sockaddr_storage address;
    int length = sizeof address;
    char host[INET6_ADDRSTRLEN] = "?";
    int port = 0;
    snprintf(out, HTTP_PEER_TEXT_MAX, "unix");
    if (peer->server->is_unix ||
        uv_tcp_getpeername(&peer->socket.tcp, (struct sockaddr *)&address, &length) < 0)
        return;
    if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address;
        uv_ip6_name(six, host, sizeof host);
        port = ntohs(six->sin6_port);
        snprintf(out, HTTP_PEER_TEXT_MAX, "[%s]:%d", host, port);
    } else {
        const struct sockaddr_in *four = (const struct sockaddr_in *)&address;
        uv_ip4_name(four, host, sizeof host);
        port = ntohs(four->sin_port);
        snprintf(out, HTTP_PEER_TEXT_MAX, "%s:%d", host, port);
    }
}

static void tune_socket(struct http_peer *peer)
{
    uv_os_fd_t fd;
    int bytes = KERNEL_UNSENT_BYTES;
    if (peer->server->is_unix)
        return;
    uv_tcp_nodelay(&peer->socket.tcp, 1);
    uv_tcp_keepalive(&peer->socket.tcp, 1, 60); // a client that vanished without a word
    if (uv_fileno(&peer->socket.handle, &fd) == 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
}

static void fresh_closed(uv_handle_t *handle)
{
    free(handle->data);
}

// Room for one more: the connection that has been idle for longest goes.
static bool close_longest_idle(struct http_server *server)
{
    struct http_peer *oldest = NULL;
    for (struct http_peer *peer = server->peers; peer; peer = peer->next)
        if (!peer->finishing && http_connection_is_idle(&peer->connection) &&
            (!oldest || peer->connection.due_ms < oldest->connection.due_ms))
            oldest = peer;
    if (oldest)
        http_connection_ended(&oldest->connection, true);
    return oldest != NULL;
}

void http_peer_accept(struct http_server *server)
{
    enum { TURNED_AWAY_MAX = 256 }; // who are told so; the rest is closed without a word
    int over = server->site.gauges.connections - server->site.options.connections_max;
    struct http_peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return; // libuv offers it again
    peer->server = server;
    if (server->is_unix)
        uv_pipe_init(server->loop, &peer->socket.pipe, 0);
    else
        uv_tcp_init(server->loop, &peer->socket.tcp);
    peer->socket.handle.data = peer;
    if (uv_accept(&server->listener.stream, &peer->socket.stream) < 0 || over >= TURNED_AWAY_MAX ||
        (server->tls && tls_session_new(server->tls, &peer->tls) != OK)) {
        uv_close(&peer->socket.handle, fresh_closed);
        return;
    }
    char name[HTTP_PEER_TEXT_MAX];
    peer_name(peer, name);
    tune_socket(peer);
    now_ms(peer);
    http_connection_init(&peer->connection, &server->site, &peer_ops, peer, name);
    peer->next = server->peers;
    if (peer->next)
        peer->next->previous = peer;
    server->peers = peer;
    peer_receive(peer, true);
    if (over >= 0 && !close_longest_idle(server))
        http_connection_turn_away(&peer->connection);
}
