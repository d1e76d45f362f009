#include <assert.h>

#include "model/forward.h"

struct range range_part(const struct worker *w, struct range range)
{
    int begin, end;
    team_part(range.end - range.begin, w->thread, w->n_threads, &begin, &end);
    return (struct range){range.begin + begin, range.begin + end};
}

static void gather_normed(const struct worker *w, int layer)
{
    struct run *run = w->run;
    const struct model *m = run->model;
    int counts[COMM_RANKS_MAX];
    for (int rank = 0; rank < m->plan->n_ranks; rank++)
        counts[rank] = range_width(rows_of_rank(run, rank));
    comm_mark(m->comm, run->step->number, layer, "all-gather of normed rows");
    run->status = gather_rows(run, counts,
                              (size_t)m->plan->config.hidden_size * input_bytes(m->plan->compute),
                              m->scratch.input);
}

void norm_rows(const struct worker *w, int layer, const float *weight)
{
    const struct model *m = w->run->model;
    const struct model_config *c = &m->plan->config;
    size_t hidden = (size_t)c->hidden_size, item = input_bytes(m->plan->compute);
    struct range rows = range_part(w, w->run->own_rows);
    for (int row = rows.begin; row < rows.end; row++)
        m->kernels->rmsnorm(m->scratch.residual + (size_t)row * hidden, weight,
                            (float)c->rms_norm_eps, c->hidden_size, m->plan->compute,
                            (char *)m->scratch.input + (size_t)row * hidden * item);
    if (!m->plan->residual_sharded || m->plan->n_ranks == 1)
        return;
    team_barrier(m->team);
    if (w->thread == 0)
        gather_normed(w, layer);
}

static struct matmul product_of(const struct worker *w, const struct panels *panels,
                                const struct leaf_plan *leaves)
{
    const struct model *m = w->run->model;
    struct matmul product = {
        .w = panels,
        .leaves = leaves,
        .m = w->run->step->n_rows,
        .a = m->scratch.input,
        .a_is_bf16 = m->plan->compute == COMPUTE_BF16,
        .a_stride = (size_t)panels->k,
        .out_stride = (size_t)panels->n,
        .scratch = m->scratch.kernel + (size_t)w->thread * MATMUL_SCRATCH_BYTES,
        .order = m->order,
    };
    team_part(panels->n_panels, w->thread, w->n_threads, &product.panel_begin, &product.panel_end);
    return product;
}

static void run_part(const struct worker *w, const struct matmul *matmul)
{
    if (matmul->panel_begin < matmul->panel_end)
        w->run->model->kernels->matmul(matmul);
}

void multiply(const struct worker *w, const struct column_product *product)
{
    struct matmul matmul = product_of(w, product->panels, &w->run->model->whole);
    matmul.out = product->out;
    matmul.out_stride = product->out_stride;
    matmul.bias = product->bias;
    run_part(w, &matmul);
}

void multiply_gated(const struct worker *w, const struct gated_product *product)
{
    const struct model *m = w->run->model;
    struct matmul matmul = product_of(w, product->gate, &m->whole);
    matmul.bias = product->gate_bias;
    matmul.up = product->up;
    matmul.up_bias = product->up_bias;
    matmul.type = m->plan->compute;
    matmul.activated = product->out;
    matmul.out_stride = product->out_stride;
    run_part(w, &matmul);
}

// Where a sum goes: residual += sum, or, with a bias, residual += (sum + bias).
struct sink {
    const struct kernels *kernels;
    float *residual;
    const float *bias; // [hidden] or NULL
    size_t hidden;
};

static void add_sum(void *context, size_t offset, const float *sum, size_t count)
{
    enum { BLOCK = 1024 };
    const struct sink *sink = context;
    float biased[BLOCK];
    if (!sink->bias) {
        sink->kernels->add(sink->residual + offset, sum, count);
        return;
    }
    for (size_t done = 0, n; done < count; done += n) {
        size_t column = (offset + done) % sink->hidden;
        n = sink->hidden - column < BLOCK ? sink->hidden - column : BLOCK;
        n = n < count - done ? n : count - done;
        sink->kernels->add_to(biased, sum + done, sink->bias + column, n);
        sink->kernels->add(sink->residual + offset + done, biased, n);
    }
}

// sequence_parallel: each rank gets the sums of its own rows.
static enum status reduce_own_rows(const struct run *run, const struct reduction_tree *tree,
                                   struct sink *sink)
{
    const struct model *m = run->model;
    size_t counts[COMM_RANKS_MAX];
    for (int rank = 0; rank < m->plan->n_ranks; rank++)
        counts[rank] = (size_t)range_width(rows_of_rank(run, rank)) * sink->hidden;
    TRY(comm_reduce_scatter(m->comm, tree, m->scratch.nodes, counts, m->scratch.received));
    if (counts[m->rank])
        add_sum(sink, (size_t)run->own_rows.begin * sink->hidden, m->scratch.received,
                counts[m->rank]);
    return OK;
}

void multiply_and_reduce(const struct worker *w, int layer, const struct row_product *product)
{
    struct run *run = w->run;
    struct model *m = run->model;
    size_t hidden = (size_t)m->plan->config.hidden_size, n = (size_t)run->step->n_rows * hidden;
    struct matmul matmul = product_of(w, product->panels, product->leaves);
    matmul.a = product->input;
    matmul.a_stride = product->input_stride;
    matmul.out = m->scratch.nodes;
    matmul.node_stride = n;
    run_part(w, &matmul);
    team_barrier(m->team);
    struct sink sink = {m->kernels, m->scratch.residual, product->bias, hidden};
    if (product->tree->n_ranks == 1) { // this rank's only node is the sum
        assert(product->leaves->n_nodes == 1);
        struct range rows = range_part(w, run->own_rows);
        size_t begin = (size_t)rows.begin * hidden, count = (size_t)range_width(rows) * hidden;
        if (count)
            add_sum(&sink, begin, m->scratch.nodes + begin, count);
    } else if (w->thread == 0) {
        comm_mark(m->comm, run->step->number, layer, product->what);
        run->status =
            m->plan->residual_sharded
                ? reduce_own_rows(run, product->tree, &sink)
                : comm_all_reduce_into(m->comm, product->tree, m->scratch.nodes, n, add_sum, &sink);
    }
    team_barrier(m->team);
}
