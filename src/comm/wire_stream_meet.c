// Connections of streams. Of two ranks the one with the smaller token connects; the kernel accepts
// for the other one, however busy that is.
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/sha256.h"
#include "comm/wire_stream_parts.h"

static const char hello_magic[4] = "cls";
enum { HELLO_VERSION = 1 };

// ---- where to listen

union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

// Bytes of it.
static socklen_t to_socket_address(const struct stream_address *from, union socket_address *out)
{
    memset(out, 0, sizeof *out);
    if (from->is_v6) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(from->port);
        memcpy(&out->v6.sin6_addr, from->ip, sizeof out->v6.sin6_addr);
        return sizeof out->v6;
    }
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons(from->port);
    memcpy(&out->v4.sin_addr, from->ip, sizeof out->v4.sin_addr);
    return sizeof out->v4;
}

// False: of no use to others.
static bool from_socket_address(const struct sockaddr *from, struct stream_address *out)
{
    union socket_address address;
    out->is_v6 = from->sa_family == AF_INET6;
    if (!out->is_v6) {
        memcpy(&address.v4, from, sizeof address.v4);
        memcpy(out->ip, &address.v4.sin_addr, sizeof address.v4.sin_addr);
        return true;
    }
    memcpy(&address.v6, from, sizeof address.v6);
    memcpy(out->ip, &address.v6.sin6_addr, sizeof address.v6.sin6_addr);
    return !IN6_IS_ADDR_LINKLOCAL(&address.v6.sin6_addr);
}

static bool find_address_of(const struct ifaddrs *list, const char *device, int family,
                            struct stream_address *out)
{
    for (const struct ifaddrs *one = list; one; one = one->ifa_next)
        if (one->ifa_addr && one->ifa_addr->sa_family == family &&
            strcmp(one->ifa_name, device) == 0 && from_socket_address(one->ifa_addr, out))
            return true;
    return false;
}

// The interface's IPv4 address, else its first IPv6 one that others can name.
static bool find_address(const char *device, struct stream_address *out)
{
    struct ifaddrs *list;
    if (getifaddrs(&list))
        return false;
    bool found =
        find_address_of(list, device, AF_INET, out) || find_address_of(list, device, AF_INET6, out);
    freeifaddrs(list);
    return found;
}

// A port of COLROW_PORT_RANGE, where that is set. What is wrong with it the wire says.
static bool bind_somewhere(int fd, const struct stream_address *own)
{
    const char *range = getenv("COLROW_PORT_RANGE");
    unsigned first = 0, last = 0;
    if (range && *range &&
        (sscanf(range, "%u-%u", &first, &last) != 2 || first == 0 || last > UINT16_MAX))
        return false;
    for (unsigned port = first; port <= last; port++) {
        struct stream_address at = *own;
        union socket_address address;
        at.port = (uint16_t)port;
        socklen_t bytes = to_socket_address(&at, &address);
        if (bind(fd, &address.any, bytes) == 0)
            return true;
    }
    return false;
}

static bool read_port(int fd, struct stream_address *own)
{
    union socket_address address;
    socklen_t bytes = sizeof address;
    if (getsockname(fd, &address.any, &bytes))
        return false;
    own->port = ntohs(own->is_v6 ? address.v6.sin6_port : address.v4.sin_port);
    return true;
}

static int new_socket(const struct stream_address *address)
{
    return socket(address->is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                  0);
}

static bool listen_at(struct wire_streams *streams, const char *device)
{
    if (!find_address(device, &streams->own))
        return false;
    int fd = streams->listen_fd = new_socket(&streams->own);
    return fd >= 0 && bind_somewhere(fd, &streams->own) && listen(fd, SOMAXCONN) == 0 &&
           read_port(fd, &streams->own);
}

enum status wire_streams_open(int world_size, const char *device, struct wire_streams **out)
{
    struct wire_streams *streams;
    *out = NULL;
    TRY(memory_new(1, sizeof *streams + (size_t)world_size * sizeof streams->of[0],
                   "streams to other ranks", &streams));
    streams->n = world_size;
    streams->listen_fd = -1;
    for (int i = 0; i < world_size; i++) {
        streams->of[i].fd = -1;
        streams->of[i].early_end = &streams->of[i].early;
    }
    for (int i = 0; i < STREAM_STRANGERS_MAX; i++)
        streams->strangers[i].fd = -1;
    if (listen_at(streams, device) &&
        getrandom(streams->own.token, STREAM_TOKEN_BYTES, 0) == STREAM_TOKEN_BYTES)
        *out = streams;
    else
        wire_streams_close(streams);
    return OK;
}

static void drop(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void wire_streams_close(struct wire_streams *streams)
{
    if (!streams)
        return;
    for (int i = 0; i < streams->n; i++) {
        struct stream *stream = &streams->of[i];
        drop(&stream->fd);
        while (stream->early) {
            struct early_message *next = stream->early->next;
            free(stream->early);
            stream->early = next;
        }
    }
    for (int i = 0; i < STREAM_STRANGERS_MAX; i++)
        drop(&streams->strangers[i].fd);
    drop(&streams->listen_fd);
    free(streams);
}

void wire_streams_address(const struct wire_streams *streams, struct stream_address *out)
{
    memset(out, 0, sizeof *out);
    if (streams)
        *out = streams->own;
}

// ---- meeting

void stream_end(struct wire_streams *streams, struct stream *stream, const char *why, int error)
{
    if (stream->state == STREAM_OVER)
        return;
    streams->n_awaited -= stream->state == STREAM_AWAITED;
    streams->n_hellos -= stream->hello_left > 0;
    stream->hello_left = 0;
    stream->state = STREAM_OVER;
    snprintf(stream->why, sizeof stream->why, "%s%s%s", why, error ? ": " : "",
             error ? strerror(error) : "");
    drop(&stream->fd);
}

static void set_no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // else it is a little slower
}

static void call(struct wire_streams *streams, struct stream *stream,
                 const struct stream_address *address)
{
    union socket_address to;
    socklen_t bytes = to_socket_address(address, &to);
    stream->fd = new_socket(address);
    if (stream->fd < 0 || (connect(stream->fd, &to.any, bytes) && errno != EINPROGRESS)) {
        stream_end(streams, stream, "it cannot be connected to", errno);
        return;
    }
    set_no_delay(stream->fd);
    stream->state = STREAM_OPEN;
    memcpy(stream->hello.magic, hello_magic, sizeof hello_magic);
    stream->hello.version = HELLO_VERSION;
    memcpy(stream->hello.to, address->token, STREAM_TOKEN_BYTES);
    memcpy(stream->hello.from, streams->own.token, STREAM_TOKEN_BYTES);
    stream->hello_left = sizeof stream->hello;
    streams->n_hellos++;
}

void wire_stream_meet(struct wire_streams *streams, int peer, const struct stream_address *address)
{
    struct stream *stream = &streams->of[peer];
    if (stream->state != STREAM_NONE || address->port == 0)
        return;
    memcpy(stream->token, address->token, STREAM_TOKEN_BYTES);
    if (memcmp(streams->own.token, address->token, STREAM_TOKEN_BYTES) < 0) {
        call(streams, stream, address);
        return;
    }
    stream->state = STREAM_AWAITED;
    streams->n_awaited++;
}

bool wire_stream_is_met(const struct wire_streams *streams, int peer)
{
    return streams && streams->of[peer].state != STREAM_NONE;
}

// Whose it is: NULL where that is not known (yet).
static struct stream *awaited_stream(struct wire_streams *streams, const struct stream_hello *hello)
{
    for (int i = 0; i < streams->n; i++)
        if (streams->of[i].state == STREAM_AWAITED &&
            memcmp(streams->of[i].token, hello->from, STREAM_TOKEN_BYTES) == 0)
            return &streams->of[i];
    return NULL;
}

static bool is_for_us(const struct wire_streams *streams, const struct stream_hello *hello)
{
    return same_secret(streams->own.token, hello->to, STREAM_TOKEN_BYTES) &&
           hello->version == HELLO_VERSION &&
           memcmp(hello->magic, hello_magic, sizeof hello_magic) == 0;
}

static bool hear_caller(struct wire_streams *streams, struct stranger *stranger)
{
    char *to = (char *)&stranger->hello + stranger->have;
    size_t left = sizeof stranger->hello - stranger->have;
    ssize_t n = left ? recv(stranger->fd, to, left, MSG_DONTWAIT) : 0;
    if (n == 0 && left) {
        drop(&stranger->fd);
        return true;
    }
    if (n < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            drop(&stranger->fd);
        return false;
    }
    stranger->have += (size_t)n;
    if (stranger->have < sizeof stranger->hello)
        return n > 0;
    if (!is_for_us(streams, &stranger->hello)) {
        drop(&stranger->fd);
        return true;
    }
    struct stream *stream = awaited_stream(streams, &stranger->hello);
    if (!stream) // one that we have not met yet
        return n > 0;
    stream->fd = stranger->fd;
    stream->state = STREAM_OPEN;
    streams->n_awaited--;
    stranger->fd = -1;
    return true;
}

bool streams_meet_callers(struct wire_streams *streams)
{
    bool happened = false;
    for (int i = 0; i < STREAM_STRANGERS_MAX && streams->n_awaited; i++) {
        int fd = accept4(streams->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            break;
        set_no_delay(fd);
        // whoever has said nothing the longest makes room
        struct stranger *stranger = &streams->strangers[streams->next_stranger];
        streams->next_stranger = (streams->next_stranger + 1) % STREAM_STRANGERS_MAX;
        drop(&stranger->fd);
        *stranger = (struct stranger){.fd = fd};
        happened = true;
    }
    for (int i = 0; i < STREAM_STRANGERS_MAX; i++)
        if (streams->strangers[i].fd >= 0)
            happened |= hear_caller(streams, &streams->strangers[i]);
    return happened;
}
