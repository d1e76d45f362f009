// The server: listener, timer, draining, closing.
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/http_peer.h"

enum { BACKLOG = 4096, TICK_MS = 100, LATE_MS = 500, COMPLAIN_MS = 10000, SPARE_DESCRIPTORS = 64 };

// ---- the loop's calls ----

// Called when an exchange is over, and with each tick: the last bytes of answers take their time.
static void drained_check(struct http_site *site)
{
    struct http_server *server =
        (struct http_server *)((char *)site - offsetof(struct http_server, site));
    if (site->draining && site->gauges.exchanges == 0 && server->drained &&
        !http_peers_owe(server)) {
        void (*drained)(void *) = server->drained;
        server->drained = NULL;
        drained(server->drained_owner);
    }
}

static void tick_all(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    int64_t now = (int64_t)uv_now(server->loop), late = now - server->tick_ms - TICK_MS;
    server->site.now_ms = now;
    server->tick_ms = now;
    drained_check(&server->site);
    struct http_peer *next;
    for (struct http_peer *peer = server->peers; peer; peer = next) {
        next = http_peer_next(peer);
        // If this thread was busy elsewhere, clients' bytes may lie in the kernel: not their fault.
        http_peer_tick(peer, late > LATE_MS ? late : 0);
    }
}

static void run_woken(uv_idle_t *idle)
{
    struct http_server *server = idle->data;
    http_peers_wake(server);
    if (!server->woken)
        uv_idle_stop(idle);
}

void http_server_wake(struct http_server *server)
{
    if (!server->closing || server->has_timer)
        uv_idle_start(&server->waker, run_woken);
}

static void connection_offered(uv_stream_t *stream, int result)
{
    struct http_server *server = stream->data;
    if (result >= 0) {
        http_peer_accept(server);
        return;
    }
    // libuv has closed what it could not hand over (it keeps a descriptor in reserve for that).
    int64_t now = (int64_t)uv_now(server->loop);
    server->site.gauges.accept_errors++;
    if (now - server->complained_ms >= COMPLAIN_MS) {
        server->complained_ms = now;
        log_warning("connections cannot be accepted: %s (%lld so far)", uv_strerror(result),
                    (long long)server->site.gauges.accept_errors);
    }
}

// ---- starting ----

uint64_t http_descriptors_wanted(const struct http_options *options)
{
    return (uint64_t)options->connections_max + (uint64_t)SPARE_DESCRIPTORS * 2 + 256;
}

int http_connections_within(uint64_t descriptors)
{
    uint64_t least = 16 + 2 * SPARE_DESCRIPTORS;
    return descriptors > least ? (int)(descriptors - 2 * SPARE_DESCRIPTORS) : 16;
}

// Each connection is a descriptor: takes what the system grants, and then admits no more.
static void fit_descriptors(struct http_options *options)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    rlim_t wanted = http_descriptors_wanted(options);
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < wanted) {
        options->connections_max = http_connections_within(limit.rlim_cur);
        log_warning("the system allows %llu open files; at most %d connections are taken",
                    (unsigned long long)limit.rlim_cur, options->connections_max);
    }
}

enum status http_server_new(const struct http_options *options, struct uv_loop_s *loop,
                            struct http_server **out)
{
    enum status status = OK;
    struct http_server *server = NULL;
    assert(options->connections_max > 0 && options->body_bytes_max > 0);
    TRY(memory_new(1, sizeof *server, "the HTTP server", &server));
    server->loop = loop;
    TRY_DONE(http_site_init(&server->site, options));
    server->site.exchange_over = drained_check;
    fit_descriptors(&server->site.options);
    TRY_DONE(memory_new(HTTP_READ_BYTES, 1, "a read buffer", &server->read_buffer));
    if (options->ssl_certfile) {
        TRY_DONE(memory_new(HTTP_READ_BYTES, 1, "a read buffer", &server->clear_buffer));
        TRY_DONE(tls_context_open(options, &server->tls));
    }
done:
    if (status != OK) {
        http_server_free(server);
        server = NULL;
    }
    *out = server;
    return status;
}

enum status http_server_route(struct http_server *server, enum http_method method, const char *path,
                              unsigned flags, http_handler *handler, void *owner)
{
    return http_site_route(&server->site, method, path, flags, handler, owner);
}

void http_server_logger(struct http_server *server, http_logger *logger, void *owner)
{
    server->site.logger = logger;
    server->site.logger_owner = owner;
}

static const char *host_or_default(const struct http_site *site)
{
    if (site->options.host && *site->options.host)
        return site->options.host;
    return site->n_keys > 0 ? "0.0.0.0" : "127.0.0.1";
}

// As clients write it: `host` and the port that is bound.
static enum status name_tcp(struct http_server *server, const char *host,
                            const struct sockaddr_storage *address)
{
    bool colon = strchr(host, ':') != NULL;
    struct sockaddr_in four; // an IPv6 address has its port at the same place
    memcpy(&four, address, sizeof four);
    int port = ntohs(four.sin_port);
    if (asprintf(&server->address, "%s://%s%s%s:%d", server->tls ? "https" : "http",
                 colon ? "[" : "", host, colon ? "]" : "", port) >= 0)
        return OK;
    server->address = NULL;
    return fail_memory(0, "the server's address");
}

static enum status listen_tcp(struct http_server *server)
{
    const struct http_options *o = &server->site.options;
    const char *host = host_or_default(&server->site);
    char port[16];
    uv_getaddrinfo_t lookup;
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    snprintf(port, sizeof port, "%d", o->port);
    int result = uv_getaddrinfo(server->loop, &lookup, NULL, host, port, &hints);
    if (result < 0)
        return fail(ERR_USAGE,
                    "flag --host is \"%s\"; expected a name or address of this machine (%s)", host,
                    uv_strerror(result));
    uv_tcp_init(server->loop, &server->listener.tcp);
    server->listening = true;
    result = uv_tcp_bind(&server->listener.tcp, lookup.addrinfo->ai_addr, 0);
    uv_freeaddrinfo(lookup.addrinfo);
    if (result == 0)
        result = uv_listen(&server->listener.stream, BACKLOG, connection_offered);
    if (result < 0)
        return fail(ERR_IO, "cannot listen on %s port %d: %s%s", host, o->port, uv_strerror(result),
                    result == UV_EADDRINUSE ? "; choose another with --port, or 0 for a free one"
                                            : "");
    struct sockaddr_storage address = {0};
    int length = sizeof address;
    if (uv_tcp_getsockname(&server->listener.tcp, (struct sockaddr *)&address, &length) < 0)
        return fail(ERR_INTERNAL, "the listener has no address");
    return name_tcp(server, host, &address);
}

// A socket file that nobody listens on any more is in the way of the next server.
static enum status remove_stale(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat info;
    if (strlen(path) >= sizeof address.sun_path)
        return fail(ERR_USAGE, "flag --uds: the path is longer than %zu bytes",
                    sizeof address.sun_path - 1);
    if (lstat(path, &info) != 0) { // libuv would say that permission is denied
        const char *slash = strrchr(path, '/');
        char folder[sizeof address.sun_path];
        snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1,
                 slash ? path : ".");
        return file_is_folder(folder)
                   ? OK
                   : fail(ERR_USAGE, "flag --uds is %s; there is no folder %s", path, folder);
    }
    if (!S_ISSOCK(info.st_mode))
        return fail(ERR_USAGE, "flag --uds: %s is there and is no socket", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof address);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (result == 0)
        return fail(ERR_IO, "another server listens on %s; stop it or choose another --uds", path);
    if (error == ECONNREFUSED && unlink(path) != 0)
        return fail_errno("unlink", path);
    return OK;
}

static enum status name_unix(struct http_server *server, const char *path)
{
    if (asprintf(&server->address, "unix:%s", path) >= 0)
        return OK;
    server->address = NULL;
    return fail_memory(0, "the server's address");
}

static enum status listen_unix(struct http_server *server)
{
    const char *path = server->site.options.uds;
    TRY(remove_stale(path));
    uv_pipe_init(server->loop, &server->listener.pipe, 0);
    server->listening = server->is_unix = true;
    int result = uv_pipe_bind(&server->listener.pipe, path);
    if (result == 0)
        result = uv_listen(&server->listener.stream, BACKLOG, connection_offered);
    if (result < 0)
        return fail(ERR_IO, "cannot listen on %s: %s", path, uv_strerror(result));
    return name_unix(server, path);
}

// ---- a socket of the service manager's ----

static enum status name_passed(struct http_server *server)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    char host[INET6_ADDRSTRLEN] = "?";
    if (getsockname(server->site.options.listen_fd, (struct sockaddr *)&address, &length) != 0)
        return fail(ERR_INTERNAL, "the socket that was passed has no address");
    if (server->is_unix) {
        char *path = ((struct sockaddr_un *)&address)->sun_path;
        if (!*path) // an abstract name
            *path = '@';
        return name_unix(server, path);
    }
    if (address.ss_family == AF_INET6)
        uv_ip6_name((struct sockaddr_in6 *)&address, host, sizeof host);
    else
        uv_ip4_name((struct sockaddr_in *)&address, host, sizeof host);
    return name_tcp(server, host, &address);
}

static enum status listen_passed(struct http_server *server)
{
    int fd = server->site.options.listen_fd, domain = 0;
    socklen_t length = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0)
        return fail(ERR_IO, "the socket that was passed (descriptor %d): %s", fd, strerror(errno));
    server->is_unix = domain == AF_UNIX;
    TRY(name_passed(server));
    int result;
    if (server->is_unix) {
        uv_pipe_init(server->loop, &server->listener.pipe, 0);
        result = uv_pipe_open(&server->listener.pipe, fd);
    } else {
        uv_tcp_init(server->loop, &server->listener.tcp);
        result = uv_tcp_open(&server->listener.tcp, fd);
    }
    server->listening = true;
    if (result == 0)
        result = uv_listen(&server->listener.stream, BACKLOG, connection_offered);
    if (result < 0)
        return fail(ERR_IO, "cannot listen on the socket that was passed (%s): %s", server->address,
                    uv_strerror(result));
    return OK;
}

enum status http_server_listen(struct http_server *server)
{
    assert(!server->has_timer);
    uv_update_time(server->loop);
    server->tick_ms = server->site.now_ms = (int64_t)uv_now(server->loop);
    server->complained_ms = server->tick_ms - COMPLAIN_MS;
    uv_timer_init(server->loop, &server->timer);
    uv_idle_init(server->loop, &server->waker);
    server->timer.data = server->waker.data = server;
    server->has_timer = true;
    uv_timer_start(&server->timer, tick_all, TICK_MS, TICK_MS);
    const struct http_options *o = &server->site.options;
    TRY(o->listen_fd >= 0 ? listen_passed(server)
        : o->uds          ? listen_unix(server)
                          : listen_tcp(server));
    server->listener.handle.data = server;
    return OK;
}

const char *http_server_address(const struct http_server *server)
{
    return server->address ? server->address : "";
}

// ---- ending ----

static void close_listener(struct http_server *server)
{
    if (server->listening)
        uv_close(&server->listener.handle, NULL);
    server->listening = false;
}

void http_server_drain(struct http_server *server, void (*drained)(void *owner), void *owner)
{
    server->site.draining = true;
    if (server->site.options.listen_fd >= 0)
        close_listener(server);
    server->drained = drained;
    server->drained_owner = owner;
    drained_check(&server->site);
}

void http_server_close(struct http_server *server)
{
    if (server->closing)
        return;
    server->closing = true;
    bool passed = server->site.options.listen_fd >= 0;
    if (server->listening && server->site.options.uds && server->address && !passed)
        unlink(server->site.options.uds);
    close_listener(server);
    http_peers_cut(server);
    if (server->has_timer) {
        uv_close((uv_handle_t *)&server->timer, NULL);
        uv_close((uv_handle_t *)&server->waker, NULL);
        server->has_timer = false;
    }
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    assert(!server->peers);
    http_site_fini(&server->site);
    tls_context_close(server->tls);
    free(server->read_buffer);
    free(server->clear_buffer);
    free(server->address);
    free(server);
}

void http_server_gauges(const struct http_server *server, struct http_gauges *out)
{
    *out = server->site.gauges;
}
