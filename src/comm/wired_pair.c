// A message from one rank to another: within a node that shares memory over memory, else over the
// wire, from rank to rank. Its first piece says how long it is and leaves without being asked for;
// the rest, if any, is one message straight into the receiver's memory.
#include <stdio.h>
#include <string.h>

#include "comm/shm_pair.h"
#include "comm/wired.h"

enum { PIECE_HEAD_BYTES = 8, FIRST_BYTES = 8 << 10, REST = 1 };

// 0, the sender (8 bits), which piece, the how manieth between these two (32).
static uint64_t pair_tag(int sender, int piece, uint32_t number)
{
    return (uint64_t)sender << 48 | (uint64_t)piece << 32 | number;
}

// The rank of the party's communicator, or -1: another party's.
static int near_rank(const struct comm *comm, int rank)
{
    const struct wired *w = wired_of(comm);
    return w->node && rank >= w->first[w->self] && rank < w->first[w->self + 1]
               ? rank - w->first[w->self]
               : -1;
}

enum status wired_send(struct comm *comm, const void *data, size_t bytes, int to)
{
    if (near_rank(comm, to) >= 0) {
        enum status status = shm_send(wired_of(comm)->node, data, bytes, near_rank(comm, to));
        wired_count_node(comm);
        return status;
    }
    struct wired_world *world = wired_of(comm)->world;
    int self = comm->first_rank + comm->rank, peer = comm->first_rank + to;
    uint32_t number = world->sent[peer]++;
    char first[FIRST_BYTES];
    uint64_t whole = bytes;
    size_t most = sizeof first - PIECE_HEAD_BYTES, n = bytes < most ? bytes : most;
    struct wire_message head, rest;
    TRY(wired_connect(world, peer));
    memcpy(first, &whole, sizeof whole);
    if (n)
        memcpy(first + PIECE_HEAD_BYTES, data, n);
    TRY(wire_send(world->wire, peer, pair_tag(self, 0, number), first, PIECE_HEAD_BYTES + n,
                  &head));
    if (n < bytes)
        TRY(wire_send_long(world->wire, peer, pair_tag(self, REST, number), (const char *)data + n,
                           bytes - n, &rest));
    TRY(wire_await(comm, &head, 0));
    if (n < bytes)
        TRY(wire_await(comm, &rest, 0));
    comm->statistics.bytes_sent += bytes;
    wire_push(world->wire);
    return OK;
}

enum status wired_recv(struct comm *comm, void *data, size_t bytes, int from)
{
    if (near_rank(comm, from) >= 0)
        return shm_recv(wired_of(comm)->node, data, bytes, near_rank(comm, from));
    struct wired_world *world = wired_of(comm)->world;
    int peer = comm->first_rank + from;
    uint32_t number = world->received[peer]++;
    char first[FIRST_BYTES];
    uint64_t whole;
    size_t most = sizeof first - PIECE_HEAD_BYTES, n = bytes < most ? bytes : most;
    struct wire_message head, rest;
    TRY(wired_connect(world, peer)); // so that its end is told
    TRY(wire_receive(world->wire, peer, pair_tag(peer, 0, number), first, sizeof first, &head));
    TRY(wire_await_end(comm, &head));
    if (head.failed || head.bytes < PIECE_HEAD_BYTES)
        return wire_await(comm, &head, PIECE_HEAD_BYTES + n);
    memcpy(&whole, first, sizeof whole);
    if (whole != bytes)
        return comm_break_for_size(comm, from, bytes, whole);
    TRY(wire_await(comm, &head, PIECE_HEAD_BYTES + n));
    if (n)
        memcpy(data, first + PIECE_HEAD_BYTES, n);
    wire_push(world->wire);
    if (n == bytes)
        return OK;
    TRY(wire_receive_long(world->wire, peer, pair_tag(peer, REST, number), (char *)data + n,
                          bytes - n, &rest));
    return wire_await(comm, &rest, bytes - n);
}
