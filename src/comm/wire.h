// Messages between ranks of a world, over a network: one end of it for each process (wire_ucx.c).
//
// A message goes from one rank to another and is found by its tag, all 64 bits of it. What is done
// with it goes on in wire_progress() alone, so whoever waits for anything calls it; who is about to
// do something else calls wire_push() first. After a failure no function but wire_close() is called
// any more.
#ifndef COLROW_COMM_WIRE_H
#define COLROW_COMM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct wire;

// The library is loaded now: its sentence says what is missing.
enum status wire_open(int world_size, struct wire **out) STATUS_MUST_USE;
// `in_peace` false: messages may still be under way, whose memory is not touched any more.
void wire_close(struct wire *wire, bool in_peace); // accepts NULL

// How others reach this end, in at most ADDRESS_BYTES_MAX bytes; valid until wire_close().
enum status wire_address(struct wire *wire, const void **address, size_t *bytes) STATUS_MUST_USE;
// Needed before the first message to that rank; again: nothing happens.
enum status wire_connect(struct wire *wire, int peer, const void *address) STATUS_MUST_USE;
bool wire_is_connected(const struct wire *wire, int peer);

// Of the caller, until it is done.
struct wire_message {
    struct wire *wire;
    int peer; // rank of the world
    bool done;
    bool failed;   // done, but nothing, or not all, has come or gone
    bool too_long; // ... because more was sent than there is room for
    size_t bytes;  // received
    void *request; // the library's, until it is done
    // of one on a stream (wire_stream.h)
    struct wire_message *next;
    uint64_t tag;
    char *data;
    size_t room, moved; // bytes
};
// `data` belongs to the message until it is done. Tags are unique among what is under way between
// two ranks. A longer message than `bytes` fails.
enum status wire_send(struct wire *wire, int peer, uint64_t tag, const void *data, size_t bytes,
                      struct wire_message *message) STATUS_MUST_USE;
enum status wire_receive(struct wire *wire, int peer, uint64_t tag, void *data, size_t bytes,
                         struct wire_message *message) STATUS_MUST_USE;
// A long one, of which both sides know how long it is: over sockets of our own where these are as
// good a way as any (wire_stream.h).
enum status wire_send_long(struct wire *wire, int peer, uint64_t tag, const void *data,
                           size_t bytes, struct wire_message *message) STATUS_MUST_USE;
enum status wire_receive_long(struct wire *wire, int peer, uint64_t tag, void *data, size_t bytes,
                              struct wire_message *message) STATUS_MUST_USE;

bool wire_progress(struct wire *wire); // true: something happened
// What has been sent leaves this process, as far as the kernel takes it. Messages that are done may
// still have been here.
void wire_push(struct wire *wire);
// Sleeps until there may be something to do, or `milliseconds` are over.
void wire_sleep(struct wire *wire, int milliseconds);
// What the library says about that peer's end; NULL: nothing bad.
const char *wire_failure(const struct wire *wire, int peer);

#endif
