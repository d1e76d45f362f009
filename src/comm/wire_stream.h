// Long messages between ranks over TCP, straight from and into the memory where they are: UCX's own
// TCP copies each byte once more on either side, which takes longer than all the rest
// (docs/decisions.md). One connection for each pair of ranks; messages are found by their tags, as
// on the wire that owns these streams (wire_ucx.c). Who waits calls wire_streams_progress();
// nothing blocks.
#ifndef COLROW_COMM_WIRE_STREAM_H
#define COLROW_COMM_WIRE_STREAM_H

#include <poll.h>

#include "comm/wire.h"

enum {
    STREAM_TOKEN_BYTES = 16,
    // What a send or a receive moves at once. Measured, 1 MB each way between two cores: with 16 KB
    // 663 us, 64 KB 344, 128 KB 275, 256 KB 229 to 337, 1 MB 460.
    STREAM_SLAB_BYTES = 128 << 10,
    STREAM_EARLY_BYTES_MAX = 64 << 20, // of messages that nobody has asked for yet, by stream
    STREAM_STRANGERS_MAX = 16,         // connections that have not said yet whose they are
};

// How others reach this end; as bytes in the address book.
struct stream_address {
    uint8_t token[STREAM_TOKEN_BYTES]; // who connects knows it
    uint16_t is_v6, port;              // port 0: there are no streams
    uint8_t ip[16];                    // of IPv4 the first 4, as the network has them
};

struct wire_streams;

// `device`: the interface to listen at. `*out` is NULL where that is not possible: then there are
// no streams, and nothing is wrong.
enum status wire_streams_open(int world_size, const char *device,
                              struct wire_streams **out) STATUS_MUST_USE;
void wire_streams_close(struct wire_streams *streams); // accepts NULL
// Zeros without streams.
void wire_streams_address(const struct wire_streams *streams, struct stream_address *out);

// From now on, if both sides have streams, there is one to that peer.
void wire_stream_meet(struct wire_streams *streams, int peer, const struct stream_address *address);
bool wire_stream_is_met(const struct wire_streams *streams, int peer);

// As wire_send_long() and wire_receive_long(), with a message that is zero but for its peer.
void wire_stream_send(struct wire_streams *streams, int peer, uint64_t tag, const void *data,
                      size_t bytes, struct wire_message *message);
void wire_stream_receive(struct wire_streams *streams, int peer, uint64_t tag, void *data,
                         size_t bytes, struct wire_message *message);

bool wire_streams_progress(struct wire_streams *streams); // true: something happened
// What to sleep on, at most `room`; how many.
int wire_streams_fds(const struct wire_streams *streams, struct pollfd *fds, int room);
const char *wire_stream_failure(const struct wire_streams *streams, int peer); // NULL: none

#endif
