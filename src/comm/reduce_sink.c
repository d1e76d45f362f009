#include "comm/reduce_sink.h"

#include <string.h>

enum { SINK_BLOCK = 1024 }; // floats handed to a consumer at once: they stay in the first cache

void reduce_sink_finish(const struct reduce_sink *sink, const struct reduction_tree *tree,
                        const float *const *nodes, size_t stride, size_t offset, size_t count,
                        const struct kernels *kernels)
{
    if (sink->out) {
        reduction_tree_finish(tree, nodes, stride, sink->out + offset, count, kernels);
        return;
    }
    _Alignas(64) float sum[SINK_BLOCK];
    const float *moved[COMM_RANKS_MAX];
    for (size_t i = 0; i < count; i += SINK_BLOCK) {
        size_t n = count - i < SINK_BLOCK ? count - i : SINK_BLOCK;
        for (int r = 0; r < tree->n_ranks; r++)
            moved[r] = nodes[r] + i;
        reduction_tree_finish(tree, moved, stride, sum, n, kernels);
        sink->consume(sink->context, offset + i, sum, n);
    }
}

void reduce_sink_put(const struct reduce_sink *sink, const float *sum, size_t offset, size_t count)
{
    if (count && !sink->out)
        sink->consume(sink->context, offset, sum, count);
    else if (count && sink->out + offset != sum)
        memcpy(sink->out + offset, sum, count * sizeof *sum);
}
