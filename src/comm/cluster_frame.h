// The bytes that the nodes of a group say to each other (rendezvous.h): frames of a type and a
// payload, numbers with their low byte first. Every type has a largest payload, and nothing longer
// is ever taken into memory.
//
//   u32 payload bytes | u8 type | 3 zero bytes | payload
#ifndef COLROW_COMM_CLUSTER_FRAME_H
#define COLROW_COMM_CLUSTER_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "comm/reduction_tree.h"

enum {
    FRAME_HEADER_BYTES = 8,
    NONCE_BYTES = 32,
    CLUSTER_NODES_MAX = COMM_RANKS_MAX, // each has a rank at least
    CLUSTER_NAME_MAX = 128,             // of a version, a run, an address, with the NUL
    CLUSTER_SENTENCE_MAX = 1024,
    CLUSTER_PLACE_MAX = 256,
    AGREEMENT_BYTES_MAX = 16 << 10,
    RANK_ADDRESS_BYTES_MAX = 4096,
};

// What a guest may say before it has proved anything is less than what it may say afterwards.
enum frame_type {
    FRAME_CHALLENGE = 1, // host: who it is, and a number that nobody can foresee
    FRAME_HELLO,         // guest: who it is, and the proof of the key
    FRAME_WELCOME,       // host: its own proof
    FRAME_REFUSAL,       // either: a sentence, then the connection ends
    FRAME_WAITING,       // host: who is missing
    FRAME_WORLD,         // host: all are here, and who has which ranks
    FRAME_BEAT,          // either: still here, and the last collective
    FRAME_ADDRESSES,     // guest: where its ranks can be reached
    FRAME_BOOK,          // host: where all ranks can be reached
    FRAME_FAULT,         // either: what broke the group
    FRAME_DONE,          // guest: all its ranks have left in peace; host: so have all
    FRAME_TYPES_END,
};
size_t frame_bytes_max(enum frame_type type); // of the payload

struct frame {
    enum frame_type type;
    const uint8_t *payload; // in the buffer that was read; valid until that changes
    size_t bytes;
};
// The first frame of `data`: FRAME_MORE asks for more bytes; FRAME_BAD: no frame begins so.
enum frame_state { FRAME_READY, FRAME_MORE, FRAME_BAD };
enum frame_state frame_read(const void *data, size_t bytes, struct frame *out);

// ---- writing: between frame_begin() and frame_end()
enum status frame_begin(struct bytes *out, enum frame_type type, size_t *begin) STATUS_MUST_USE;
enum status frame_u32(struct bytes *out, uint32_t number) STATUS_MUST_USE;
enum status frame_blob(struct bytes *out, const void *data, size_t bytes) STATUS_MUST_USE;
enum status frame_text(struct bytes *out, const char *text) STATUS_MUST_USE;
void frame_end(struct bytes *out, size_t begin);

// ---- reading a payload: after a fault everything read is 0 or empty, and `bad` stays
struct frame_cursor {
    const uint8_t *at;
    size_t left;
    bool bad;
};
struct frame_cursor frame_cursor_of(const struct frame *frame);
uint32_t take_u32(struct frame_cursor *cursor);
// A number from `least` to `most`; else a fault.
int take_number_between(struct frame_cursor *cursor, int least, int most);
void take_bytes(struct frame_cursor *cursor, void *out, size_t bytes);
// At most `most` bytes, borrowed.
const uint8_t *take_blob(struct frame_cursor *cursor, size_t most, size_t *bytes);
// Shorter than `room`, without a NUL; what a terminal would obey is shown as ?.
void take_text(struct frame_cursor *cursor, char *out, size_t room);
void take_lines(struct frame_cursor *cursor, char *out, size_t room); // may have line ends
bool frame_cursor_done(const struct frame_cursor *cursor);            // all read, and good

#endif
