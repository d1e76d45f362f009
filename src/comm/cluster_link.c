#include "comm/cluster_link.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "comm/cluster_key.h"

enum {
    KEEPALIVE_SECONDS = 1, // idle before the first probe, and between probes
    KEEPALIVE_PROBES = 3,
    READ_BYTES = 64 << 10,
    OUT_BYTES_MAX = 4 << 20, // unread by the other side: it is not there
};

void cluster_link_init(struct cluster_link *link)
{
    memset(link, 0, sizeof *link);
    link->fd = -1;
    bytes_init(&link->in);
    bytes_init(&link->out);
}

static bool set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

bool cluster_socket_set_up(int fd, int deadline_ms)
{
    return set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
           set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
           set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_SECONDS) &&
           set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_SECONDS) &&
           set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES) &&
           set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, deadline_ms);
}

enum status cluster_link_open(struct cluster_link *link, int fd, int deadline_ms)
{
    cluster_link_close(link);
    int flags = fcntl(fd, F_GETFL);
    bool good = flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
                fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && cluster_socket_set_up(fd, deadline_ms);
    if (!good) {
        enum status status = fail_errno("set up", "a connection between nodes");
        close(fd);
        return status;
    }
    link->fd = fd;
    link->heard_ns = link->said_ns = clock_ns();
    link->payload_max = SIZE_MAX;
    return OK;
}

void cluster_link_close(struct cluster_link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    bytes_fini(&link->in);
    bytes_fini(&link->out);
    cluster_link_init(link);
}

void cluster_link_end(struct cluster_link *link, const char *why)
{
    if (!link->ended)
        snprintf(link->why, sizeof link->why, "%s", why);
    link->ended = true;
}

static void end_for_errno(struct cluster_link *link)
{
    char why[sizeof link->why];
    snprintf(why, sizeof why, "its connection broke (%s)", strerror(errno));
    cluster_link_end(link, why);
}

short cluster_link_events(const struct cluster_link *link)
{
    return (short)(POLLIN | (cluster_link_flushed(link) ? 0 : POLLOUT));
}

void cluster_link_read(struct cluster_link *link)
{
    static _Thread_local char buffer[READ_BYTES];
    if (link->fd < 0 || link->ended)
        return;
    ssize_t n = recv(link->fd, buffer, sizeof buffer, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0)
        end_for_errno(link);
    else if (n == 0)
        cluster_link_end(link, "its connection ended without a word");
    if (n <= 0)
        return;
    link->heard_ns = clock_ns();
    // What was taken goes before more comes: the buffer never holds more than a frame and a read.
    if (link->in_taken > 0) {
        memmove(link->in.data, link->in.data + link->in_taken, link->in.length - link->in_taken);
        link->in.length -= link->in_taken;
        link->in_taken = 0;
    }
    if (bytes_append(&link->in, buffer, (size_t)n) != OK)
        cluster_link_end(link, "there is no memory for what it says");
}

bool cluster_link_next(struct cluster_link *link, struct frame *out)
{
    if (link->fd < 0 || !link->in.data || link->in_taken == link->in.length)
        return false;
    size_t bytes = link->in.length - link->in_taken;
    enum frame_state state = frame_read(link->in.data + link->in_taken, bytes, out);
    bool header = state != FRAME_BAD && bytes >= FRAME_HEADER_BYTES;
    if (state == FRAME_BAD || (header && out->bytes > link->payload_max)) {
        link->in_taken = link->in.length;
        cluster_link_end(link, "it does not speak colrow's protocol");
        return false;
    }
    if (state == FRAME_MORE)
        return false;
    link->in_taken += FRAME_HEADER_BYTES + out->bytes;
    return true;
}

void cluster_link_flush(struct cluster_link *link)
{
    while (link->fd >= 0 && link->out_sent < link->out.length) {
        ssize_t n = send(link->fd, link->out.data + link->out_sent,
                         link->out.length - link->out_sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) { // what it said last may still be there to be read
            bytes_clear(&link->out);
            link->out_sent = 0;
            return;
        }
        link->out_sent += (size_t)n;
    }
    if (link->out_sent == link->out.length) {
        bytes_clear(&link->out);
        link->out_sent = 0;
    } else if (link->out.length > OUT_BYTES_MAX) {
        cluster_link_end(link, "it reads nothing");
    }
}

bool cluster_link_flushed(const struct cluster_link *link)
{
    return link->out_sent == link->out.length;
}

static void show_address(const struct sockaddr_storage *address, socklen_t bytes,
                         char name[CLUSTER_NAME_MAX])
{
    const struct sockaddr *plain = (const void *)address;
    if (getnameinfo(plain, bytes, name, CLUSTER_NAME_MAX, NULL, 0, NI_NUMERICHOST))
        snprintf(name, CLUSTER_NAME_MAX, "an unknown address");
    if (strncmp(name, "::ffff:", 7) == 0 && strchr(name, '.'))
        memmove(name, name + 7, strlen(name) - 6);
}

void cluster_link_peer(const struct cluster_link *link, char name[CLUSTER_NAME_MAX])
{
    struct sockaddr_storage address = {0};
    socklen_t bytes = sizeof address;
    (void)getpeername(link->fd, (void *)&address, &bytes);
    show_address(&address, bytes, name);
}

void cluster_link_own(const struct cluster_link *link, char name[CLUSTER_NAME_MAX])
{
    struct sockaddr_storage address = {0};
    socklen_t bytes = sizeof address;
    (void)getsockname(link->fd, (void *)&address, &bytes);
    show_address(&address, bytes, name);
}

bool cluster_link_is_private(const struct cluster_link *link)
{
    struct sockaddr_storage address = {0};
    socklen_t bytes = sizeof address;
    return getpeername(link->fd, (void *)&address, &bytes) == 0 &&
           address_is_private((const void *)&address);
}
