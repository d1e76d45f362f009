// How ranks of several nodes learn each other's addresses. A rank puts its own into its node's
// memory, and reads there those of all the world; the process that owns the node's group, the
// agent, carries them from node to node. Where there is one node, nobody need carry anything.
//
//   rank: address_book_put() … address_book_wait(), address_book_read()
//   agent: address_book_take() of each of its ranks, address_book_fill() for each rank of the
//   world, address_book_complete()
//
// An address is up to ADDRESS_BYTES_MAX bytes that only transports understand, and is written once.
#ifndef COLROW_COMM_ADDRESS_BOOK_H
#define COLROW_COMM_ADDRESS_BOOK_H

#include <stdbool.h>

#include "comm/segment.h"

void address_book_put(struct segment *segment, int local_rank, const void *address, size_t bytes);
// Until the whole world is in the book. `check`: as that of signal_await().
enum status address_book_wait(struct segment *segment, signal_check check,
                              void *context) STATUS_MUST_USE;
// NULL: not there, or not an address.
const void *address_book_read(const struct segment *segment, int world_rank, size_t *bytes);

// False: that rank has not put its address there yet. Points into the memory; the same each time.
bool address_book_take(const struct segment *segment, int local_rank, const void **address,
                       size_t *bytes);
// Also its own ranks'. False: there are more bytes than an address has, or it has been written.
bool address_book_fill(struct segment *segment, int world_rank, const void *address, size_t bytes);
void address_book_complete(struct segment *segment);

#endif
