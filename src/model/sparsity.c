// Sparse activations (struct mlp_config): what a row's gate is held against, its mean and so many
// of its deviations. The row may lie on many ranks: each finds sum and spread of its leaves, the
// statistics of all leaves go to all ranks, and are put together in the order of the leaves.
#include <math.h>

#include "model/forward.h"

// Columns of a leaf, without the zero that makes an odd width even.
static struct range gate_leaf(const struct cut *cut, int leaf)
{
    int32_t begin = cut->leaf_bounds[leaf], end = cut->leaf_bounds[leaf + 1],
            width = cut->sublayer->mlp.intermediate_size;
    return (struct range){begin, end < width ? end : width};
}

static size_t spreads_stride(const struct cut *cut)
{
    return 2 * (size_t)cut->tree.n_leaves;
}

// Sums of the leaves, then their spreads; of empty ones nothing is read.
static void measure_leaves(const struct model *m, const struct cut *cut, const float *gate,
                           struct range leaves, float *out)
{
    const size_t n = (size_t)range_width(leaves);
    const int32_t first = cut->leaf_bounds[leaves.begin];
    for (int i = leaves.begin; i < leaves.end; i++) {
        const struct range columns = gate_leaf(cut, i);
        float *sum = out + (i - leaves.begin);
        sum[0] = sum[n] = 0;
        if (range_width(columns) > 0)
            sum[n] = m->kernels->spread(gate + (columns.begin - first),
                                        (size_t)range_width(columns), sum);
    }
}

void find_spreads(const struct worker *w, int layer, const struct cut *cut, const float *gate,
                  size_t stride)
{
    struct run *run = w->run;
    const struct model *m = run->model;
    const int n = cut->tree.n_leaves;
    const bool shares = cut->sharded && m->plan->n_ranks > 1;
    const struct range own = shares ? cut->shares[m->rank].dims[DIM_LEAVES] : (struct range){0, n};
    float *out = shares ? m->scratch.own_squares : m->scratch.squares;
    const struct range rows = step_rows(w);
    for (int row = rows.begin; row < rows.end; row++)
        measure_leaves(m, cut, gate + (size_t)row * stride, own,
                       out + (size_t)row * 2 * (size_t)range_width(own));
    team_barrier(m->team);
    if (!shares)
        return;
    const struct column_part parts[] = {{cut->shares, DIM_LEAVES, 0}, {cut->shares, DIM_LEAVES, n}};
    if (w->thread == 0) {
        comm_mark(m->comm, run->step->number, layer, "spreads of gate");
        run->status = gather_columns(run, parts, 2, m->scratch.own_squares, m->scratch.squares,
                                     spreads_stride(cut));
    }
    team_barrier(m->team);
}

float sparsity_cutoff(const struct model *m, const struct cut *cut, float deviations, size_t row)
{
    const int n = cut->tree.n_leaves;
    const float *sums = m->scratch.squares + row * spreads_stride(cut), *spreads = sums + n;
    const float width = (float)cut->sublayer->mlp.intermediate_size;
    float mean = 0, squares = 0;
    for (int i = 0; i < n; i++)
        mean += sums[i];
    mean /= width;
    for (int i = 0; i < n; i++) {
        const float count = (float)range_width(gate_leaf(cut, i));
        if (count <= 0)
            continue;
        const float away = sums[i] / count - mean;
        squares += spreads[i] + count * (away * away);
    }
    return mean + sqrtf(squares / width) * deviations;
}
