#include "comm/wire_group.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "comm/collective_call.h"

struct wire_head {
    uint64_t call, place;
    struct flight_call flight; // where the sender is, for people
};
static_assert(sizeof(struct wire_head) <= WIRE_HEAD_BYTES, "a head fits");

enum { PART_FIRST = 0, PARTS = 65536 };

// Of a collective's messages: 1, channel (7 bits), the sender (8), its part (16), the call (32).
// Those of comm_send() begin with 0 (transport_wired.c).
static uint64_t collective_tag(const struct wire_group *group, int sender, unsigned part)
{
    return (uint64_t)1 << 63 | (uint64_t)group->comm->channel << 56 |
           (uint64_t)group->lead[sender] << 48 | (uint64_t)part << 32 | group->sequence;
}

enum status wire_group_init(struct wire_group *group, struct comm *comm, struct wire *wire,
                            const int *lead, int n, int self)
{
    memset(group, 0, sizeof *group);
    group->comm = comm;
    group->wire = wire;
    group->n = n;
    group->self = self;
    memcpy(group->lead, lead, (size_t)n * sizeof *lead);
    TRY(memory_new((size_t)n, WIRE_FIRST_BYTES, "the first messages of a communicator",
                   &group->out));
    // The own part of it is for what is sent.
    for (int p = 0; p < n; p++)
        group->in[p] = group->out + (size_t)p * WIRE_FIRST_BYTES;
    group->out = group->in[self];
    return OK;
}

void wire_group_fini(struct wire_group *group)
{
    free(group->in[0]);
}

void wire_call_begin(struct wire_group *group, enum comm_operation operation, int root,
                     uint64_t count)
{
    group->sequence++;
    group->call = collective_call(operation, root, count);
    group->place = flight_fingerprint(group->comm->flight);
    struct wire_head head = {.call = group->call, .place = group->place};
    flight_call_read(group->comm->flight, &head.flight);
    memcpy(group->out, &head, sizeof head);
    for (int p = 0; p < group->n; p++)
        group->sent[p] = group->came[p] = (struct wire_message){.done = true};
}

enum status wire_call_end(struct wire_group *group)
{
    for (int p = 0; p < group->n; p++)
        TRY(wire_await(group->comm, &group->sent[p], 0));
    wire_push(group->wire);
    return OK;
}

void *wire_first_room(const struct wire_group *group)
{
    return group->out + WIRE_HEAD_BYTES;
}

enum status wire_first_send(struct wire_group *group, int party, size_t bytes)
{
    assert(party != group->self && wire_first_fits(bytes));
    group->comm->statistics.bytes_sent += bytes;
    return wire_send(group->wire, group->lead[party],
                     collective_tag(group, group->self, PART_FIRST), group->out,
                     WIRE_HEAD_BYTES + bytes, &group->sent[party]);
}

enum status wire_first_expect(struct wire_group *group, int party)
{
    assert(party != group->self);
    return wire_receive(group->wire, group->lead[party], collective_tag(group, party, PART_FIRST),
                        group->in[party], WIRE_FIRST_BYTES, &group->came[party]);
}

enum status wire_first_await(struct wire_group *group, int party, size_t bytes, const void **data)
{
    struct wire_message *message = &group->came[party];
    struct wire_head head;
    // How much came is compared last: another call has other data.
    TRY(wire_await_end(group->comm, message));
    if (message->failed || message->bytes < WIRE_HEAD_BYTES)
        TRY(wire_await(group->comm, message, WIRE_HEAD_BYTES + bytes));
    memcpy(&head, group->in[party], sizeof head);
    if (head.call != group->call || head.place != group->place) {
        struct flight_record others = {0};
        flight_call_write(&others, &head.flight);
        return break_for_mismatch(group->comm, group->lead[party], group->call, head.call, &others);
    }
    *data = group->in[party] + WIRE_HEAD_BYTES;
    return wire_await(group->comm, message, WIRE_HEAD_BYTES + bytes);
}

static unsigned bulk_part(size_t part)
{
    return 1 + (unsigned)(part % (PARTS - 1));
}

enum status wire_bulk_send(struct wire_group *group, int party, size_t part, const void *data,
                           size_t bytes, struct wire_message *message)
{
    group->comm->statistics.bytes_sent += bytes;
    return wire_send_long(group->wire, group->lead[party],
                          collective_tag(group, group->self, bulk_part(part)), data, bytes,
                          message);
}

enum status wire_bulk_expect(struct wire_group *group, int party, size_t part, void *data,
                             size_t bytes, struct wire_message *message)
{
    return wire_receive_long(group->wire, group->lead[party],
                             collective_tag(group, party, bulk_part(part)), data, bytes, message);
}
