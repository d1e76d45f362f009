// Those that meet in collectives over a wire: parties, each with one rank that speaks for it, its
// lead. A call begins with a first message between those that have something to tell each other: it
// says which collective this is, so that parties that disagree are found, and takes the data along
// when there is little. The rest goes in bulk messages without a word, cut as the call implies.
//
//   wire_call_begin() … first messages, bulk messages … wire_call_end()
#ifndef COLROW_COMM_WIRE_GROUP_H
#define COLROW_COMM_WIRE_GROUP_H

#include "comm/transport.h"
#include "comm/wire.h"

enum { WIRE_HEAD_BYTES = 128, WIRE_FIRST_BYTES = 32 << 10 }; // of which the head are the first

struct wire_group {
    struct comm *comm;        // whose ranks these are; borrowed
    struct wire *wire;        // borrowed
    int n, self;              // parties
    int lead[COMM_RANKS_MAX]; // rank of the world
    uint32_t sequence;        // calls begun
    uint64_t call, place;     // of this one
    char *out;                // [WIRE_FIRST_BYTES]
    char *in[COMM_RANKS_MAX]; // likewise, by party
    struct wire_message sent[COMM_RANKS_MAX], came[COMM_RANKS_MAX]; // first messages
};

// `lead` [n] is copied. All are connected already.
enum status wire_group_init(struct wire_group *group, struct comm *comm, struct wire *wire,
                            const int *lead, int n, int self) STATUS_MUST_USE;
void wire_group_fini(struct wire_group *group);

void wire_call_begin(struct wire_group *group, enum comm_operation operation, int root,
                     uint64_t count);
// Until all first messages may be forgotten.
enum status wire_call_end(struct wire_group *group) STATUS_MUST_USE;

// Where the data of the own first message goes, the same for all parties; how much it takes.
void *wire_first_room(const struct wire_group *group);
static inline bool wire_first_fits(size_t bytes)
{
    return bytes <= WIRE_FIRST_BYTES - WIRE_HEAD_BYTES;
}
enum status wire_first_send(struct wire_group *group, int party, size_t bytes) STATUS_MUST_USE;
enum status wire_first_expect(struct wire_group *group, int party) STATUS_MUST_USE;
// Until that party's is here, for the same call and with `bytes` of data: at `*data` until the next
// call.
enum status wire_first_await(struct wire_group *group, int party, size_t bytes,
                             const void **data) STATUS_MUST_USE;

// `part` tells bulk messages between the same two in one call apart; modulo 65536.
enum status wire_bulk_send(struct wire_group *group, int party, size_t part, const void *data,
                           size_t bytes, struct wire_message *message) STATUS_MUST_USE;
enum status wire_bulk_expect(struct wire_group *group, int party, size_t part, void *data,
                             size_t bytes, struct wire_message *message) STATUS_MUST_USE;

// Until it is done, in whatever way; until it is done well. A received one must have `bytes`; of a
// sent one: 0.
enum status wire_await_end(struct comm *comm, struct wire_message *message) STATUS_MUST_USE;
enum status wire_await(struct comm *comm, struct wire_message *message,
                       size_t bytes) STATUS_MUST_USE;

#endif
