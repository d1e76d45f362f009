// A product's element is one chain of fused multiply-adds per leaf, in pairs of k, the odd element
// first (docs/numerics.md section 3); leaf sums meet along the tree (section 4). Of integer codes a
// group is such a chain, and groups meet with their scales (section 14).
#include <assert.h>
#include <math.h>

#include "device/cpu/reference.h"

struct operands {
    const struct matmul *args;
    const struct panels *w; // args->w or args->up
};

static float input(const struct matmul *args, int row, int k)
{
    size_t i = (size_t)row * args->a_stride + (size_t)k;
    return args->a_is_bf16 ? float_of_bf16(((const bf16 *)args->a)[i])
                           : ((const float *)args->a)[i];
}

static float weight(const struct panels *w, int n, int k)
{
    int panel = n / PANEL_WIDTH, column = n % PANEL_WIDTH, width = panel_width(w, panel);
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
    case PANELS_INT8:
    case PANELS_INT4:
        return (float)panels_code(w, n, k);
    }
    return 0;
}

static float chain(const struct operands *o, int row, int n, int k_begin, int k_end)
{
    float sum = 0;
    for (int k = k_begin; k < k_end; k += 2) {
        sum = fmaf(input(o->args, row, k + 1), weight(o->w, n, k + 1), sum);
        sum = fmaf(input(o->args, row, k), weight(o->w, n, k), sum);
    }
    return sum;
}

static float chain_of_tiles(const struct operands *o, int row, int n, int k_begin, int k_end)
{
    float sum = 0, x[TILE_BLOCK], w[TILE_BLOCK];
    for (int k = k_begin; k < k_end; k += TILE_BLOCK) {
        int count = k_end - k < TILE_BLOCK ? k_end - k : TILE_BLOCK;
        for (int i = 0; i < count; i++) {
            x[i] = input(o->args, row, k + i);
            w[i] = weight(o->w, n, k + i);
        }
        sum = reference_tile_block(x, w, count, sum);
    }
    return sum;
}

// The inputs of a part of a group, in the lanes of section 5.
static float sum_of_inputs(const struct operands *o, int row, int k_begin, int k_end)
{
    float lane[16] = {0};
    for (int k = k_begin; k < k_end; k++)
        lane[(k - k_begin) % 16] += input(o->args, row, k);
    for (int half = 8; half >= 1; half /= 2)
        for (int j = 0; j < half; j++)
            lane[j] += lane[j + half];
    return lane[0];
}

static float chain_of_groups(const struct operands *o, int row, int n, int k_begin, int k_end)
{
    float sum = 0;
    for (int k = k_begin, end; k < k_end; k = end) {
        const int group = panel_group_of(o->w, k);
        end = panel_group_end(o->w, group);
        end = end < k_end ? end : k_end;
        float codes = chain(o, row, n, k, end);
        if (o->w->groups.zeros)
            codes = fmaf(-(float)panels_zero(o->w, n, group), sum_of_inputs(o, row, k, end), codes);
        sum = fmaf(panels_scale(o->w, n, group), codes, sum);
    }
    return sum;
}

static float leaf_sum(const struct operands *o, int row, int n, int k_begin, int k_end)
{
    if (panel_format_is_integer(o->w->format))
        return chain_of_groups(o, row, n, k_begin, k_end);
    return o->args->order == ORDER_TILES ? chain_of_tiles(o, row, n, k_begin, k_end)
                                         : chain(o, row, n, k_begin, k_end);
}

// The nodes of output [row, n].
static void find_nodes(const struct operands *o, int row, int n, const float *bias,
                       float stack[LEAVES_MAX])
{
    const struct leaf_plan *leaves = o->args->leaves;
    int depth = 0;
    for (int i = 0; i < leaves->n_leaves; i++) {
        stack[depth++] = leaf_sum(o, row, n, leaves->leaf[i].k_begin, leaves->leaf[i].k_end);
        for (int merge = 0; merge < leaves->leaf[i].merges; merge++, depth--) {
            assert(depth >= 2);
            stack[depth - 2] = stack[depth - 2] + stack[depth - 1];
        }
    }
    assert(depth == leaves->n_nodes);
    if (bias)
        stack[0] = stack[0] + bias[n];
}

static void element(const struct matmul *args, int row, int n)
{
    float nodes[LEAVES_MAX] = {0},
          up[LEAVES_MAX] = {0}; // (compilers do not see that a plan has a leaf)
    find_nodes(&(struct operands){args, args->w}, row, n, args->bias, nodes);
    size_t at = (size_t)row * args->out_stride + (size_t)n,
           item = args->type == COMPUTE_BF16 ? 2 : 4;
    if (args->up)
        find_nodes(&(struct operands){args, args->up}, row, n, args->up_bias, up);
    if (args->activated) {
        reference_activate_mul(&args->activation, nodes, args->up ? up : NULL, 1, args->type,
                               (char *)args->activated + at * item);
        return;
    }
    for (int node = 0; node < args->leaves->n_nodes; node++)
        args->out[(size_t)node * args->node_stride + at] = nodes[node];
}

void reference_matmul(const struct matmul *args)
{
    assert(!args->a_is_bf16 || panel_format_takes_bf16(args->w->format));
    assert(args->order == ORDER_PAIRS || (args->a_is_bf16 && args->w->format == PANELS_BF16));
    assert(!args->activated || args->leaves->n_leaves == 1);
    assert(!args->up || (args->activated && args->up->n == args->w->n &&
                         args->up->k == args->w->k && args->up->format == args->w->format));
    for (int n = args->panel_begin * PANEL_WIDTH;
         n < args->panel_end * PANEL_WIDTH && n < args->w->n; n++)
        for (int row = 0; row < args->m; row++)
            element(args, row, n);
}
