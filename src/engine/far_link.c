#include "engine/far_link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_BYTES = 256 << 10,
    READ_TURN_BYTES = 16 << 20,
    KEPT_BYTES = 64 << 20, // a buffer that was larger for once is given back
};

void far_link_init(struct far_link *link, int fd, size_t payload_max)
{
    memset(link, 0, sizeof *link);
    link->fd = fd;
    link->payload_max = payload_max;
    bytes_init(&link->in);
    bytes_init(&link->out);
}

void far_link_fini(struct far_link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    bytes_fini(&link->in);
    bytes_fini(&link->out);
    far_link_init(link, -1, 0);
}

void far_link_end(struct far_link *link, const char *why)
{
    if (!link->ended)
        snprintf(link->why, sizeof link->why, "%s", why);
    link->ended = true;
}

static void end_link_for_errno(struct far_link *link)
{
    char why[sizeof link->why];
    snprintf(why, sizeof why, "its connection broke (%s)", strerror(errno));
    far_link_end(link, why);
}

void far_link_flush(struct far_link *link)
{
    while (!link->ended && link->out_sent < link->out.length) {
        ssize_t n = send(link->fd, link->out.data + link->out_sent,
                         link->out.length - link->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0) {
            end_link_for_errno(link);
            return;
        }
        link->out_sent += (size_t)n;
    }
    link->out_sent = 0;
    if (link->out.capacity > KEPT_BYTES)
        bytes_fini(&link->out);
    else
        bytes_clear(&link->out);
}

bool far_link_flushed(const struct far_link *link)
{
    return link->ended || link->out_sent == link->out.length;
}

// What was taken goes before more comes.
static void drop_taken(struct far_link *link)
{
    size_t left = link->in.length - link->in_taken;
    if (link->in_taken == 0)
        return;
    memmove(link->in.data, link->in.data + link->in_taken, left);
    link->in.length = left;
    link->in_taken = 0;
    if (left == 0 && link->in.capacity > KEPT_BYTES)
        bytes_fini(&link->in);
}

void far_link_read(struct far_link *link)
{
    static _Thread_local char buffer[READ_BYTES];
    drop_taken(link);
    for (size_t total = 0; !link->ended && total < READ_TURN_BYTES;) {
        ssize_t n = recv(link->fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0)
            end_link_for_errno(link);
        else if (n == 0)
            far_link_end(link, "its connection ended");
        else if (bytes_append(&link->in, buffer, (size_t)n) != OK)
            far_link_end(link, "there is no memory for what it says");
        if (n <= 0)
            return;
        total += (size_t)n;
        if ((size_t)n < sizeof buffer)
            return;
    }
}

bool far_link_next(struct far_link *link, struct far_frame *out)
{
    size_t left = link->in.length - link->in_taken;
    if (left == 0)
        return false;
    switch (far_read(link->in.data + link->in_taken, left, link->payload_max, out)) {
    case FAR_MORE_BYTES:
        return false;
    case FAR_GARBAGE:
        link->in_taken = link->in.length;
        far_link_end(link, "it said what no node of this version says");
        return false;
    case FAR_FRAME:
        link->in_taken += sizeof(struct far_head) + out->bytes;
        return true;
    }
    return false;
}

void far_link_wrote(struct far_link *link, enum status status)
{
    if (status != OK)
        far_link_end(link, "there is no memory for what it is to be told");
}
