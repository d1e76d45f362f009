// How a product of either order (matmul_blocks.c, matmul_tiles.c) goes along the leaves of its k.
#ifndef COLROW_DEVICE_CPU_X86_LEAF_WALK_H
#define COLROW_DEVICE_CPU_X86_LEAF_WALK_H

#include <assert.h>

#include "device/kernels.h"

// Where a product's k stands: in leaf `leaf`, at k, with `depth` sums on the stack.
struct place {
    int leaf, k, depth;
};

// Most sums that are on the stack at once. Leaves have to follow each other without gaps.
static inline int deepest_stack(const struct leaf_plan *leaves)
{
    int depth = 0, deepest = 0;
    for (int i = 0; i < leaves->n_leaves; i++) {
        assert(i == 0 || leaves->leaf[i].k_begin == leaves->leaf[i - 1].k_end);
        deepest = depth + 1 > deepest ? depth + 1 : deepest;
        depth += 1 - leaves->leaf[i].merges;
        assert(depth >= 1);
    }
    assert(depth == leaves->n_nodes);
    return deepest;
}

static inline int round_down(int n, int unit)
{
    return n / unit * unit;
}

static inline int least(int a, int b)
{
    return a < b ? a : b;
}

#endif
