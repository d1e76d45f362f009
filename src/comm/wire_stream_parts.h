// What wire_stream.c (messages) and wire_stream_meet.c (connections) share.
#ifndef COLROW_COMM_WIRE_STREAM_PARTS_H
#define COLROW_COMM_WIRE_STREAM_PARTS_H

#include "comm/wire_stream.h"

// The first bytes of who connects.
struct stream_hello {
    char magic[4];
    uint32_t version;
    uint8_t to[STREAM_TOKEN_BYTES], from[STREAM_TOKEN_BYTES];
};

struct stream_head {
    uint64_t tag, bytes;
};

struct message_list {
    struct wire_message *first, *last;
};

// Came before it was asked for.
struct early_message {
    struct early_message *next;
    struct stream_head head;
    size_t have;
    char data[];
};

enum stream_state {
    STREAM_NONE,
    STREAM_AWAITED, // the peer connects
    STREAM_OPEN,    // or about to be: the kernel knows
    STREAM_OVER,
};

struct stream {
    enum stream_state state;
    int fd;
    char why[96]; // STREAM_OVER
    uint8_t token[STREAM_TOKEN_BYTES];
    struct stream_hello hello;
    size_t hello_left; // bytes of it that are to be sent
    struct message_list out, wanted;
    struct stream_head out_head, in_head;
    size_t out_head_sent, in_head_have;
    // Where the message goes that comes; at most one of the two is set.
    struct wire_message *into;
    struct early_message *filling; // the last of `early`
    struct early_message *early, **early_end;
    size_t early_bytes;
};

struct stranger {
    int fd; // -1: none
    size_t have;
    struct stream_hello hello;
};

struct wire_streams {
    int listen_fd, n;
    struct stream_address own;
    int n_pending; // messages that are not done
    int n_awaited; // streams that the peer has yet to open
    int n_hellos;  // that have yet to be sent
    int next_stranger;
    struct stranger strangers[STREAM_STRANGERS_MAX];
    struct stream of[];
};

void stream_end(struct wire_streams *streams, struct stream *stream, const char *why, int error);
// Accepts who is at the door, and finds out whose stream it is. True: something happened.
bool streams_meet_callers(struct wire_streams *streams);

#endif
