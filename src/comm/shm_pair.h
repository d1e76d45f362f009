// Messages between two ranks over shared memory. The file's entries in the table of
// transport_shm.c.
#ifndef COLROW_COMM_SHM_PAIR_H
#define COLROW_COMM_SHM_PAIR_H

#include "comm/transport.h"

enum status shm_send(struct comm *comm, const void *data, size_t bytes, int to) STATUS_MUST_USE;
enum status shm_recv(struct comm *comm, void *data, size_t bytes, int from) STATUS_MUST_USE;

#endif
