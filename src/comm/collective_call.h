// What ranks of a communicator must agree on when they meet in a collective, in one word.
#ifndef COLROW_COMM_COLLECTIVE_CALL_H
#define COLROW_COMM_COLLECTIVE_CALL_H

#include "comm/transport.h"

// The operation, a root (or another number of eight bits), and how many numbers or bytes.
uint64_t collective_call(enum comm_operation operation, int root, uint64_t count);
// How a whole is cut among `n` ranks or nodes: eight bits of it.
int collective_cut(const size_t *parts, int n);

// Rank `peer` of the world makes another call than we do, or makes it elsewhere in the step.
enum status break_for_mismatch(struct comm *comm, int peer, uint64_t own, uint64_t other,
                               const struct flight_record *others_flight);

#endif
