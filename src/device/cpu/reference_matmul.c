// A product's element is one chain of fused multiply-adds per leaf, in pairs of k, the odd element first
// (docs/numerics.md section 3); leaf sums meet along the tree (section 4).
#include <assert.h>
#include <math.h>

#include "device/cpu/reference.h"

static float input(const struct matmul *args, int row, int k)
{
    size_t i = (size_t)row * args->a_stride + (size_t)k;
    return args->a_is_bf16 ? float_of_bf16(((const bf16 *)args->a)[i]) : ((const float *)args->a)[i];
}

static float weight(const struct panels *w, int panel, int width, int column, int k)
{
    const void *data = panel_data(w, panel);
    size_t pair = ((size_t)(k / 2) * (size_t)width + (size_t)column) * 2 + (size_t)(k % 2);
    size_t flat = (size_t)k * (size_t)width + (size_t)column;
    switch (w->format) {
    case PANELS_BF16:
        return float_of_bf16(((const bf16 *)data)[pair]);
    case PANELS_F16:
        return float_of_f16(((const f16 *)data)[flat]);
    case PANELS_F32:
        return ((const float *)data)[flat];
    }
    return 0;
}

static float chain(const struct matmul *args, int row, int panel, int column, int k_begin, int k_end)
{
    int width = panel_width(args->w, panel);
    float sum = 0;
    for (int k = k_begin; k < k_end; k += 2) {
        sum = fmaf(input(args, row, k + 1), weight(args->w, panel, width, column, k + 1), sum);
        sum = fmaf(input(args, row, k), weight(args->w, panel, width, column, k), sum);
    }
    return sum;
}

static float chain_of_tiles(const struct matmul *args, int row, int panel, int column, int k_begin, int k_end)
{
    int width = panel_width(args->w, panel);
    float sum = 0, x[TILE_BLOCK], w[TILE_BLOCK];
    for (int k = k_begin; k < k_end; k += TILE_BLOCK) {
        int n = k_end - k < TILE_BLOCK ? k_end - k : TILE_BLOCK;
        for (int i = 0; i < n; i++) {
            x[i] = input(args, row, k + i);
            w[i] = weight(args->w, panel, width, column, k + i);
        }
        sum = reference_tile_block(x, w, n, sum);
    }
    return sum;
}

static void element(const struct matmul *args, int row, int panel, int column)
{
    const struct leaf_plan *leaves = args->leaves;
    float stack[LEAVES_MAX] = {0}; // (compilers do not see that a plan has a leaf)
    int depth = 0;
    for (int i = 0; i < leaves->n_leaves; i++) {
        int begin = leaves->leaf[i].k_begin, end = leaves->leaf[i].k_end;
        stack[depth++] = args->order == ORDER_TILES ? chain_of_tiles(args, row, panel, column, begin, end)
                                                    : chain(args, row, panel, column, begin, end);
        for (int merge = 0; merge < leaves->leaf[i].merges; merge++, depth--) {
            assert(depth >= 2);
            stack[depth - 2] = stack[depth - 2] + stack[depth - 1];
        }
    }
    assert(depth == leaves->n_nodes);

    int n = panel * PANEL_WIDTH + column;
    if (args->bias)
        stack[0] = stack[0] + args->bias[n];
    for (int node = 0; node < depth; node++)
        args->out[(size_t)node * args->node_stride + (size_t)row * args->out_stride + (size_t)n] = stack[node];
}

void reference_matmul(const struct matmul *args)
{
    assert(!args->a_is_bf16 || args->w->format == PANELS_BF16);
    assert(args->order == ORDER_PAIRS || args->a_is_bf16);
    for (int panel = args->panel_begin; panel < args->panel_end; panel++)
        for (int column = 0; column < PANEL_WIDTH && panel * PANEL_WIDTH + column < args->w->n; column++)
            for (int row = 0; row < args->m; row++)
                element(args, row, panel, column);
}
