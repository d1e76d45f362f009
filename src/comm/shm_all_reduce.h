// The file's one entry in the table of transport_shm.c.
#ifndef COLROW_COMM_SHM_ALL_REDUCE_H
#define COLROW_COMM_SHM_ALL_REDUCE_H

#include "comm/shm_round.h"

// Bytes of comm->part that a two-shot sum for a consumer needs.
size_t shm_all_reduce_part_bytes(int n_ranks);
enum status shm_all_reduce(struct comm *comm, const struct reduction_tree *tree, const float *in,
                           size_t n, const struct reduce_sink *sink) STATUS_MUST_USE;

#endif
