// All-reduce between two ranks that bring one node each: what tensor parallelism over two cores,
// sockets or processes calls all day. The general case is in shm_all_reduce.c; the bits are the
// same.
#ifndef COLROW_COMM_SHM_TWO_RANKS_H
#define COLROW_COMM_SHM_TWO_RANKS_H

#include "comm/transport.h"

bool shm_two_ranks_fits(const struct comm *comm, const struct reduction_tree *tree);
enum status shm_two_ranks_all_reduce(struct comm *comm, const float *in, size_t n,
                                     const struct reduce_sink *sink) STATUS_MUST_USE;

#endif
