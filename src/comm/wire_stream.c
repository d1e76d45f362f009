#include "comm/wire_stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "comm/wire_stream_parts.h"

static void queue_message(struct message_list *list, struct wire_message *message)
{
    message->next = NULL;
    if (list->last)
        list->last->next = message;
    else
        list->first = message;
    list->last = message;
}

static void unqueue_message(struct message_list *list, const struct wire_message *message)
{
    struct wire_message *before = NULL, *one = list->first;
    while (one != message) {
        before = one;
        one = one->next;
    }
    if (before)
        before->next = one->next;
    else
        list->first = one->next;
    if (list->last == one)
        list->last = before;
}

static struct wire_message *find_wanted(const struct stream *stream, uint64_t tag)
{
    struct wire_message *one = stream->wanted.first;
    while (one && one->tag != tag)
        one = one->next;
    return one;
}

static void finish_message_of(struct wire_streams *streams, struct wire_message *message,
                              size_t bytes)
{
    message->bytes = bytes;
    message->done = true;
    streams->n_pending--;
}

static bool not_now(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

// ---- sending

// True: it has been sent, all of it.
static bool send_hello(struct wire_streams *streams, struct stream *stream)
{
    const char *rest = (const char *)&stream->hello + sizeof stream->hello - stream->hello_left;
    if (!stream->hello_left)
        return true;
    ssize_t n = send(stream->fd, rest, stream->hello_left, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && !not_now())
        stream_end(streams, stream, "its connection failed", errno);
    if (n <= 0)
        return false;
    stream->hello_left -= (size_t)n;
    streams->n_hellos -= stream->hello_left == 0;
    return stream->hello_left == 0;
}

// The first message's next piece, with its head if that has not left. Bytes; 0: not now.
static size_t send_piece(struct wire_streams *streams, struct stream *stream)
{
    struct wire_message *message = stream->out.first;
    size_t head_left = sizeof stream->out_head - stream->out_head_sent,
           left = message->room - message->moved;
    struct iovec parts[2] = {
        {(char *)&stream->out_head + stream->out_head_sent, head_left},
        {message->data + message->moved, left < STREAM_SLAB_BYTES ? left : STREAM_SLAB_BYTES},
    };
    const struct msghdr what = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t n = sendmsg(stream->fd, &what, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && !not_now())
        stream_end(streams, stream, "its connection failed", errno);
    if (n <= 0)
        return 0;
    size_t of_head = (size_t)n < head_left ? (size_t)n : head_left;
    stream->out_head_sent += of_head;
    message->moved += (size_t)n - of_head;
    return (size_t)n;
}

static void name_next_out(struct stream *stream)
{
    const struct wire_message *message = stream->out.first;
    stream->out_head_sent = 0;
    if (message)
        stream->out_head = (struct stream_head){message->tag, message->room};
}

static bool send_some(struct wire_streams *streams, struct stream *stream)
{
    size_t sent = 0;
    while (stream->state == STREAM_OPEN && stream->out.first && sent < STREAM_SLAB_BYTES &&
           send_hello(streams, stream)) {
        struct wire_message *message = stream->out.first;
        size_t n = send_piece(streams, stream);
        if (n == 0)
            break;
        sent += n;
        if (message->moved < message->room || stream->out_head_sent < sizeof stream->out_head)
            continue;
        unqueue_message(&stream->out, message);
        name_next_out(stream);
        finish_message_of(streams, message, 0);
    }
    return sent > 0;
}

// ---- receiving

static void fail_too_long(struct wire_streams *streams, struct stream *stream,
                          struct wire_message *message)
{
    unqueue_message(&stream->wanted, message);
    message->failed = message->too_long = true;
    finish_message_of(streams, message, 0);
    stream_end(streams, stream, "it sent more than it was to", 0);
}

// Nobody has asked for it, but for another one that lies behind it.
static bool keep_early(struct stream *stream)
{
    size_t bytes = stream->in_head.bytes;
    if (!stream->wanted.first || bytes > STREAM_EARLY_BYTES_MAX - stream->early_bytes)
        return false;
    struct early_message *early = malloc(sizeof *early + bytes);
    if (!early)
        return false;
    *early = (struct early_message){.head = stream->in_head};
    *stream->early_end = early;
    stream->early_end = &early->next;
    stream->early_bytes += bytes;
    stream->filling = early;
    return true;
}

// Where the message goes whose head is here. False: nowhere yet; then it stays in the kernel.
static bool find_place(struct wire_streams *streams, struct stream *stream)
{
    if (stream->into || stream->filling)
        return true;
    if (stream->in_head.bytes == 0) {
        stream_end(streams, stream, "it sent what no rank of this version sends", 0);
        return false;
    }
    struct wire_message *message = find_wanted(stream, stream->in_head.tag);
    if (!message)
        return keep_early(stream);
    if (stream->in_head.bytes > message->room) {
        fail_too_long(streams, stream, message);
        return false;
    }
    stream->into = message;
    return true;
}

static bool give_early(struct wire_streams *streams, struct stream *stream,
                       struct wire_message *message);

static void end_message(struct wire_streams *streams, struct stream *stream)
{
    stream->in_head_have = 0;
    if (stream->into) {
        struct wire_message *message = stream->into;
        stream->into = NULL;
        unqueue_message(&stream->wanted, message);
        finish_message_of(streams, message, stream->in_head.bytes);
        return;
    }
    stream->filling = NULL;
    struct wire_message *message = find_wanted(stream, stream->in_head.tag);
    if (message) // asked for while it came
        (void)give_early(streams, stream, message);
}

// Bytes; 0: not now.
static size_t receive_into(struct wire_streams *streams, struct stream *stream, void *to,
                           size_t left)
{
    ssize_t n =
        recv(stream->fd, to, left < STREAM_SLAB_BYTES ? left : STREAM_SLAB_BYTES, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && !not_now()))
        stream_end(streams, stream, n ? "its connection failed" : "its connection ended",
                   n ? errno : 0);
    return n > 0 ? (size_t)n : 0;
}

static size_t receive_data(struct wire_streams *streams, struct stream *stream)
{
    struct early_message *early = stream->filling;
    size_t *have = early ? &early->have : &stream->into->moved;
    char *to = (early ? early->data : stream->into->data) + *have;
    size_t n = receive_into(streams, stream, to, stream->in_head.bytes - *have);
    *have += n;
    if (n && *have == stream->in_head.bytes)
        end_message(streams, stream);
    return n;
}

static bool receive_some(struct wire_streams *streams, struct stream *stream)
{
    size_t received = 0, n = 1;
    while (stream->state == STREAM_OPEN && stream->wanted.first && n > 0 &&
           received < STREAM_SLAB_BYTES) {
        if (stream->in_head_have < sizeof stream->in_head) {
            n = receive_into(streams, stream, (char *)&stream->in_head + stream->in_head_have,
                             sizeof stream->in_head - stream->in_head_have);
            stream->in_head_have += n;
            if (stream->in_head_have < sizeof stream->in_head)
                continue;
        }
        if (!find_place(streams, stream))
            break;
        n = receive_data(streams, stream);
        received += n;
    }
    return received > 0;
}

// ---- what the wire calls

void wire_stream_send(struct wire_streams *streams, int peer, uint64_t tag, const void *data,
                      size_t bytes, struct wire_message *message)
{
    struct stream *stream = &streams->of[peer];
    assert(bytes > 0);
    message->tag = tag;
    message->data = (char *)data; // only read
    message->room = bytes;
    streams->n_pending++;
    queue_message(&stream->out, message);
    if (stream->out.first == message)
        name_next_out(stream);
    (void)send_some(streams, stream);
}

// True: that message had come early.
static bool give_early(struct wire_streams *streams, struct stream *stream,
                       struct wire_message *message)
{
    struct early_message **link = &stream->early, *early;
    while (*link && (*link)->head.tag != message->tag)
        link = &(*link)->next;
    early = *link;
    if (!early || early->have < early->head.bytes)
        return false;
    if (early->head.bytes > message->room) {
        fail_too_long(streams, stream, message);
        return true;
    }
    memcpy(message->data, early->data, early->head.bytes);
    unqueue_message(&stream->wanted, message);
    finish_message_of(streams, message, early->head.bytes);
    *link = early->next;
    if (stream->early_end == &early->next)
        stream->early_end = link;
    stream->early_bytes -= early->head.bytes;
    free(early);
    return true;
}

void wire_stream_receive(struct wire_streams *streams, int peer, uint64_t tag, void *data,
                         size_t bytes, struct wire_message *message)
{
    struct stream *stream = &streams->of[peer];
    message->tag = tag;
    message->data = data;
    message->room = bytes;
    streams->n_pending++;
    queue_message(&stream->wanted, message);
    (void)give_early(streams, stream, message);
}

bool wire_streams_progress(struct wire_streams *streams)
{
    bool happened = false;
    if (!streams->n_pending && !streams->n_hellos)
        return false;
    if (streams->n_awaited)
        happened = streams_meet_callers(streams);
    for (int i = 0; i < streams->n; i++) {
        struct stream *stream = &streams->of[i];
        if (stream->state != STREAM_OPEN)
            continue;
        (void)send_hello(streams, stream);
        happened |= send_some(streams, stream);
        happened |= receive_some(streams, stream);
    }
    return happened;
}

int wire_streams_fds(const struct wire_streams *streams, struct pollfd *fds, int room)
{
    int n = 0;
    if (streams->n_awaited && n < room)
        fds[n++] = (struct pollfd){.fd = streams->listen_fd, .events = POLLIN};
    for (int i = 0; i < STREAM_STRANGERS_MAX && streams->n_awaited && n < room; i++)
        if (streams->strangers[i].fd >= 0 &&
            streams->strangers[i].have < sizeof streams->strangers[i].hello)
            fds[n++] = (struct pollfd){.fd = streams->strangers[i].fd, .events = POLLIN};
    for (int i = 0; i < streams->n && n < room; i++) {
        const struct stream *stream = &streams->of[i];
        short events = (short)((stream->wanted.first ? POLLIN : 0) |
                               (stream->out.first || stream->hello_left ? POLLOUT : 0));
        if (stream->state == STREAM_OPEN && events)
            fds[n++] = (struct pollfd){.fd = stream->fd, .events = events};
    }
    return n;
}

const char *wire_stream_failure(const struct wire_streams *streams, int peer)
{
    return streams && streams->of[peer].state == STREAM_OVER ? streams->of[peer].why : NULL;
}
