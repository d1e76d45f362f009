// Inside comm/: what colrow_parallel_init() made, for parallel.c and parallel_linear.c.
#ifndef COLROW_COMM_PARALLEL_STATE_H
#define COLROW_COMM_PARALLEL_STATE_H

#include "comm/comm.h"
#include "device/kernels.h"

struct parallel_state {
    struct comm *world, *tensor; // NULL: not initialised
    int tensor_size, pipeline_size;
    const struct kernels *kernels;
    void *scratch; // MATMUL_SCRATCH_BYTES
};
extern struct parallel_state parallel_state;

enum status parallel_ready(void) STATUS_MUST_USE; // an error before colrow_parallel_init()
// What public functions return.
static inline int parallel_result(enum status status)
{
    return status == OK ? 0 : -1;
}

#endif
