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
    comm_mark(m->comm, run->step->number, layer, "normed rows");
    run->status = gather_rows(run, counts,
                              (size_t)m->plan->config.hidden_size * input_bytes(m->plan->compute),
                              m->scratch.input);
}

static void norm_row(const struct model *m, const float *weight, size_t row)
{
    const struct model_config *c = &m->plan->config;
    size_t hidden = (size_t)c->hidden_size;
    m->kernels->rmsnorm(m->scratch.residual + row * hidden, weight, (float)c->rms_norm_eps,
                        c->hidden_size, m->plan->compute,
                        (char *)m->scratch.input + row * hidden * input_bytes(m->plan->compute));
}

static void norm_own_rows(const struct worker *w, const float *weight)
{
    struct range rows = range_part(w, w->run->own_rows);
    for (int row = rows.begin; row < rows.end; row++)
        norm_row(w->run->model, weight, (size_t)row);
    team_barrier(w->run->model->team);
}

// Where rows are cut among ranks, each has normed its own.
static void share_normed_rows(const struct worker *w, int layer)
{
    const struct model *m = w->run->model;
    if (!m->plan->residual_sharded || m->plan->n_ranks == 1)
        return;
    if (w->thread == 0 && w->run->status == OK)
        gather_normed(w, layer);
    team_barrier(m->team);
}

void norm_rows(const struct worker *w, int layer, const float *weight)
{
    norm_own_rows(w, weight);
    share_normed_rows(w, layer);
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

// Where a sum goes: residual += sum, or, with a bias, residual += (sum + bias). With a norm, each
// row is normed as soon as its last number is there: the rest of it is in the first-level cache
// still. A row's numbers come in pieces, in any order and between those of other rows.
struct sink {
    const struct model *m;
    const float *bias; // [hidden] or NULL
    const float *norm; // [hidden] or NULL
};

static void add_product_piece(const struct sink *sink, size_t row, size_t column, const float *sum,
                              size_t count)
{
    enum { BLOCK = 1024 };
    const struct kernels *kernels = sink->m->kernels;
    float *residual =
        sink->m->scratch.residual + row * (size_t)sink->m->plan->config.hidden_size + column;
    float biased[BLOCK];
    if (!sink->bias) {
        kernels->add(residual, sum, count);
        return;
    }
    for (size_t done = 0, n; done < count; done += n) {
        n = count - done < BLOCK ? count - done : BLOCK;
        kernels->add_to(biased, sum + done, sink->bias + column + done, n);
        kernels->add(residual + done, biased, n);
    }
}

static void add_sum(void *context, size_t offset, const float *sum, size_t count)
{
    const struct sink *sink = context;
    const size_t hidden = (size_t)sink->m->plan->config.hidden_size;
    size_t row = offset / hidden, column = offset % hidden;
    for (size_t n; count; sum += n, count -= n, row++, column = 0) {
        n = hidden - column < count ? hidden - column : count;
        add_product_piece(sink, row, column, sum, n);
        if (!sink->norm)
            continue;
        int32_t *summed = &sink->m->scratch.summed[row];
        *summed += (int32_t)n;
        if (*summed == (int32_t)hidden) {
            *summed = 0;
            norm_row(sink->m, sink->norm, row);
        }
    }
}

// sequence_parallel: each rank gets the sums of its own rows.
static enum status reduce_own_rows(const struct run *run, const struct reduction_tree *tree,
                                   struct sink *sink)
{
    const struct model *m = run->model;
    size_t counts[COMM_RANKS_MAX], hidden = (size_t)m->plan->config.hidden_size;
    for (int rank = 0; rank < m->plan->n_ranks; rank++)
        counts[rank] = (size_t)range_width(rows_of_rank(run, rank)) * hidden;
    TRY(comm_reduce_scatter(m->comm, tree, m->scratch.nodes, counts, m->scratch.received));
    add_sum(sink, (size_t)run->own_rows.begin * hidden, m->scratch.received, counts[m->rank]);
    return OK;
}

// The sums of the nodes of all ranks, into the residual.
static void reduce_nodes(const struct worker *w, int layer, const struct row_product *product,
                         struct sink *sink)
{
    struct run *run = w->run;
    const struct model *m = run->model;
    size_t hidden = (size_t)m->plan->config.hidden_size, n = (size_t)run->step->n_rows * hidden;
    if (product->tree->n_ranks == 1) { // this rank's only node is the sum
        assert(product->leaves->n_nodes == 1);
        struct range rows = range_part(w, run->own_rows);
        size_t begin = (size_t)rows.begin * hidden, count = (size_t)range_width(rows) * hidden;
        add_sum(sink, begin, m->scratch.nodes + begin, count);
    } else if (w->thread == 0) {
        comm_mark(m->comm, run->step->number, layer, product->what);
        run->status =
            m->plan->residual_sharded
                ? reduce_own_rows(run, product->tree, sink)
                : comm_all_reduce_into(m->comm, product->tree, m->scratch.nodes, n, add_sum, sink);
    }
}

void multiply_and_reduce(const struct worker *w, int layer, const struct row_product *product)
{
    struct run *run = w->run;
    struct model *m = run->model;
    struct matmul matmul = product_of(w, product->panels, product->leaves);
    matmul.a = product->input;
    matmul.a_stride = product->input_stride;
    matmul.out = m->scratch.nodes;
    matmul.node_stride = (size_t)run->step->n_rows * (size_t)m->plan->config.hidden_size;
    run_part(w, &matmul);
    team_barrier(m->team);
    // Thread 0 alone hears of other ranks. Where there are rows for all threads, they norm them
    // afterwards.
    bool norms =
        product->tree->n_ranks == 1 || w->n_threads == 1 || run->step->n_rows < w->n_threads;
    struct sink sink = {m, product->bias, norms ? product->next_norm : NULL};
    reduce_nodes(w, layer, product, &sink);
    team_barrier(m->team);
    if (!product->next_norm)
        return;
    if (!sink.norm)
        norm_own_rows(w, product->next_norm);
    share_normed_rows(w, layer);
}
