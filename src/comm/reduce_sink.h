// Where the sum of an all-reduce goes.
#ifndef COLROW_COMM_REDUCE_SINK_H
#define COLROW_COMM_REDUCE_SINK_H

#include "comm/comm.h"
#include "device/kernels.h"

// Into `out`, or when that is NULL to `consume`.
struct reduce_sink {
    float *out;
    comm_consumer consume;
    void *context;
};

// reduction_tree_finish() of numbers [offset, offset + count) into it. nodes[r] begins there.
void reduce_sink_finish(const struct reduce_sink *sink, const struct reduction_tree *tree,
                        const float *const *nodes, size_t stride, size_t offset, size_t count,
                        const struct kernels *kernels);
// What has been summed already.
void reduce_sink_put(const struct reduce_sink *sink, const float *sum, size_t offset, size_t count);

#endif
