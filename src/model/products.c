#include <assert.h>
#include <math.h>
#include <string.h>

#include "model/forward.h"

struct range range_part(const struct worker *w, struct range range)
{
    int begin, end;
    team_part(range.end - range.begin, w->thread, w->n_threads, &begin, &end);
    return (struct range){range.begin + begin, range.begin + end};
}

struct range step_rows(const struct worker *w)
{
    return range_part(w, (struct range){0, w->run->step->n_rows});
}

struct range sequence_rows(const struct step_sequence *sequence, struct range rows)
{
    int32_t first = sequence->first_row, last = first + sequence->n_tokens;
    return (struct range){first > rows.begin ? first : rows.begin,
                          last < rows.end ? last : rows.end};
}

static void gather_normed(const struct worker *w, int layer, void *rows)
{
    struct run *run = w->run;
    const struct model *m = run->model;
    int counts[COMM_RANKS_MAX];
    for (int rank = 0; rank < m->plan->n_ranks; rank++)
        counts[rank] = range_width(rows_of_rank(run, rank));
    comm_mark(m->comm, run->step->number, layer, "normed rows");
    run->status = gather_rows(run, counts, input_width(m) * input_bytes(m->plan->compute), rows);
}

static struct stream_norm norm_before(const struct model *m, int layer, int sublayer)
{
    return (struct stream_norm){
        &model_config_layer(&m->plan->config, layer)->sublayers[sublayer].before,
        &m->weights.layers[layer][sublayer].before};
}

// Of experts whose router does not read what they read.
static struct stream_norm norm_of_router(const struct model *m, int layer, int sublayer)
{
    const struct sublayer_config *s =
        &model_config_layer(&m->plan->config, layer)->sublayers[sublayer];
    if (s->kind != MIX_EXPERTS || s->experts.router_norm.kind == NORM_NONE)
        return (struct stream_norm){NULL, NULL};
    return (struct stream_norm){&s->experts.router_norm,
                                &m->weights.layers[layer][sublayer].experts.router_norm};
}

struct next_inputs inputs_of(const struct model *m, int layer, int sublayer)
{
    const struct layer_config *l = model_config_layer(&m->plan->config, layer);
    struct next_inputs next = {.input = norm_before(m, layer, sublayer),
                               .router = norm_of_router(m, layer, sublayer)};
    if (sublayer + 1 < l->n_sublayers && l->sublayers[sublayer + 1].parallel) {
        next.held =
            norm_before(m, layer, l->sublayers[sublayer + 1].same_input ? sublayer : sublayer + 1);
        if (!next.router.config)
            next.router = norm_of_router(m, layer, sublayer + 1);
    }
    return next;
}

struct next_inputs inputs_after(const struct model *m, int layer, int sublayer)
{
    const struct layer_config *l = model_config_layer(&m->plan->config, layer);
    const struct next_inputs none = {{NULL, NULL}, {NULL, NULL}, {NULL, NULL}};
    int next = sublayer + 1;
    if (next == l->n_sublayers) {
        if (++layer == m->layers.end)
            return none;
        next = 0;
    }
    const struct sublayer_config *follows =
        &model_config_layer(&m->plan->config, layer)->sublayers[next];
    bool elsewhere = follows->parallel || follows->predicts || l->sublayers[sublayer].corrects;
    return elsewhere ? none : inputs_of(m, layer, next);
}

const void *sublayer_input(const struct model *m, int layer, int sublayer)
{
    const struct layer_config *l = model_config_layer(&m->plan->config, layer);
    return l->sublayers[sublayer].parallel ? m->scratch.held : m->scratch.input;
}

void apply_norm(const struct model *m, const struct norm_config *config,
                const struct norm_weights *weights, const float *x, int n, enum compute_type type,
                void *y)
{
    const float *weight = weights->weight ? weights->weight : m->ones;
    switch (config->kind) {
    case NORM_NONE:
        m->kernels->round(x, (size_t)n, type, y);
        return;
    case NORM_RMS:
        m->kernels->rmsnorm(x, weight, config->eps, n, type, y);
        return;
    case NORM_LAYER:
        m->kernels->layernorm(x, weight, weights->bias, config->eps, n, type, y);
        return;
    }
}

void norm_row(const struct model *m, const struct stream_norm *norm, const float *x,
              enum compute_type type, void *y)
{
    apply_norm(m, norm->config, norm->weights, x, m->plan->config.hidden_size, type, y);
}

void end_input_row(const struct model *m, void *row)
{
    const size_t hidden = (size_t)m->plan->config.hidden_size, item = input_bytes(m->plan->compute);
    memset((char *)row + hidden * item, 0, (input_width(m) - hidden) * item);
}

void norm_input(const struct model *m, const struct stream_norm *norm, const float *x, size_t to,
                void *rows)
{
    char *row = (char *)rows + to * input_width(m) * input_bytes(m->plan->compute);
    norm_row(m, norm, x, m->plan->compute, row);
    end_input_row(m, row);
}

void round_input(const struct model *m, const float *x, size_t to)
{
    char *row = (char *)m->scratch.input + to * input_width(m) * input_bytes(m->plan->compute);
    m->kernels->round(x, (size_t)m->plan->config.hidden_size, m->plan->compute, row);
    end_input_row(m, row);
}

static void norm_into(const struct model *m, const struct stream_norm *norm, size_t row, void *rows)
{
    size_t hidden = (size_t)m->plan->config.hidden_size;
    if (norm->config)
        norm_input(m, norm, m->scratch.residual + row * hidden, row, rows);
}

// A row of the residual, as the next products' inputs.
static void norm_residual(const struct model *m, const struct next_inputs *next, size_t row)
{
    norm_into(m, &next->input, row, m->scratch.input);
    norm_into(m, &next->held, row, m->scratch.held);
    norm_into(m, &next->router, row, m->scratch.router_input);
}

// Where rows are cut among ranks, each has normed its own.
static void share_normed_rows(const struct worker *w, int layer, const struct next_inputs *next)
{
    const struct model *m = w->run->model;
    if (!m->plan->residual_sharded || m->plan->n_ranks == 1)
        return;
    if (w->thread == 0 && w->run->status == OK)
        gather_normed(w, layer, m->scratch.input);
    if (w->thread == 0 && w->run->status == OK && next->held.config)
        gather_normed(w, layer, m->scratch.held);
    if (w->thread == 0 && w->run->status == OK && next->router.config)
        gather_normed(w, layer, m->scratch.router_input);
    team_barrier(m->team);
}

void norm_residual_itself(const struct worker *w, int layer, int sublayer)
{
    const struct model *m = w->run->model;
    const struct stream_norm norm = norm_before(m, layer, sublayer);
    size_t hidden = (size_t)m->plan->config.hidden_size;
    struct range rows = range_part(w, w->run->own_rows);
    team_barrier(m->team); // whoever looked at other rows is done
    for (int row = rows.begin; row < rows.end; row++) {
        float *x = m->scratch.residual + (size_t)row * hidden;
        norm_row(m, &norm, x, COMPUTE_F32, x);
    }
    team_barrier(m->team);
}

void norm_rows(const struct worker *w, int layer, const struct next_inputs *next)
{
    struct range rows = range_part(w, w->run->own_rows);
    for (int row = rows.begin; row < rows.end; row++)
        norm_residual(w->run->model, next, (size_t)row);
    team_barrier(w->run->model->team);
    share_normed_rows(w, layer, next);
}

struct matmul product_of(const struct worker *w, const struct panels *panels,
                         const struct leaf_plan *leaves)
{
    const struct model *m = w->run->model;
    struct matmul product = {
        .w = panels,
        .leaves = leaves,
        .m = w->run->step->n_rows,
        .a_is_bf16 = m->plan->compute == COMPUTE_BF16,
        .a_stride = (size_t)panels->k,
        .out_stride = (size_t)panels->n,
        .scratch = m->scratch.kernel + (size_t)w->thread * MATMUL_SCRATCH_BYTES,
        .order = product_order_of(panels, m->order),
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
    const struct leaf_plan *leaves = product->leaves ? product->leaves : &w->run->model->whole;
    struct matmul matmul = product_of(w, product->panels, leaves);
    matmul.m = product->n_rows ? product->n_rows : matmul.m;
    matmul.a = product->input;
    matmul.out = product->out;
    matmul.out_stride = product->out_stride;
    matmul.bias = product->bias;
    run_part(w, &matmul);
}

void multiply_gated(const struct worker *w, const struct gated_product *product)
{
    const struct model *m = w->run->model;
    struct matmul matmul = product_of(w, product->gate, &m->whole);
    matmul.a = product->input;
    matmul.activation = product->activation;
    matmul.bias = product->gate_bias;
    matmul.up = product->up;
    matmul.up_bias = product->up_bias;
    matmul.type = m->plan->compute;
    matmul.activated = product->out;
    matmul.out_stride = product->out_stride;
    run_part(w, &matmul);
}

// Where a sum goes: residual += multiplier · (sum + bias). A sum that is normed is kept until it is
// whole. What is done with whole rows is done as soon as a row's last number is there: the rest of
// it is in the first-level cache still. A row's numbers come in pieces, in any order and between
// those of other rows.
struct sink {
    const struct model *m;
    const float *bias;        // [hidden] or NULL
    struct stream_norm after; // of the sum
    float multiplier;
    const float *token_gates; // [rows] what a row's sum is multiplied by, or NULL
    const float *laurel;      // [rows, hidden] what is added beside it, or NULL
    int others;               // streams beside the first one, to which it goes; 0: to the residual
    const float *scalar;      // of the residual afterwards, or NULL
    bool keeps;               // the normed sum, for the next sublayer
    struct stream_norm joint; // of the sum and the one that was kept
    struct next_inputs next;
    bool ends_rows; // here, not by all threads afterwards
};

static bool has_row_end(const struct sink *sink)
{
    return sink->after.config || sink->next.input.config || sink->scalar || sink->laurel;
}

static void add_product_piece(const struct sink *sink, size_t row, size_t column, const float *sum,
                              size_t count)
{
    enum { BLOCK = 1024 };
    const struct kernels *kernels = sink->m->kernels;
    const size_t at = row * (size_t)sink->m->plan->config.hidden_size + column;
    float *residual = sink->m->scratch.residual + at, changed[BLOCK];
    assert(!sink->after.config || !sink->token_gates);
    if (sink->after.config) {
        if (sink->bias)
            kernels->add_to(sink->m->scratch.sums + at, sum, sink->bias + column, count);
        else
            kernels->copy(sink->m->scratch.sums + at, sum, count);
        return;
    }
    if (!sink->bias && sink->multiplier == 1 && !sink->token_gates) {
        kernels->add(residual, sum, count);
        return;
    }
    for (size_t done = 0, n; done < count; done += n) {
        n = count - done < BLOCK ? count - done : BLOCK;
        if (sink->bias)
            kernels->add_to(changed, sum + done, sink->bias + column + done, n);
        else
            kernels->copy(changed, sum + done, n);
        if (sink->token_gates)
            kernels->scale(changed, sink->token_gates[row], n);
        if (sink->multiplier != 1)
            kernels->scale(changed, sink->multiplier, n);
        kernels->add(residual + done, changed, n);
    }
}

static void end_row(const struct sink *sink, size_t row)
{
    const struct model *m = sink->m;
    size_t hidden = (size_t)m->plan->config.hidden_size;
    float *residual = m->scratch.residual + row * hidden;
    if (sink->after.config) {
        float *sum = m->scratch.sums + row * hidden;
        norm_row(m, &sink->after, sum, COMPUTE_F32, sum);
        if (sink->keeps) {
            m->kernels->copy(m->scratch.kept + row * hidden, sum, hidden);
            return;
        }
        if (sink->joint.config) {
            m->kernels->add(sum, m->scratch.kept + row * hidden, hidden);
            norm_row(m, &sink->joint, sum, COMPUTE_F32, sum);
        }
        if (sink->multiplier != 1)
            m->kernels->scale(sum, sink->multiplier, hidden);
        for (int i = 1; i <= sink->others; i++)
            m->kernels->add(stream_row(m, i, row), sum, hidden);
        if (!sink->others)
            m->kernels->add(residual, sum, hidden);
    }
    if (sink->laurel) {
        m->kernels->add(residual, sink->laurel + row * hidden, hidden);
        m->kernels->scale(residual, (float)sqrt(0.5), hidden);
    }
    if (sink->scalar)
        m->kernels->scale(residual, *sink->scalar, hidden);
    norm_residual(m, &sink->next, row);
}

static void add_sum(void *context, size_t offset, const float *sum, size_t count)
{
    const struct sink *sink = context;
    const size_t hidden = (size_t)sink->m->plan->config.hidden_size;
    size_t row = offset / hidden, column = offset % hidden;
    for (size_t n; count; sum += n, count -= n, row++, column = 0) {
        n = hidden - column < count ? hidden - column : count;
        add_product_piece(sink, row, column, sum, n);
        if (!sink->ends_rows)
            continue;
        int32_t *summed = &sink->m->scratch.summed[row];
        *summed += (int32_t)n;
        if (*summed == (int32_t)hidden) {
            *summed = 0;
            end_row(sink, row);
        }
    }
}

static void end_own_rows(const struct worker *w, const struct sink *sink)
{
    struct range rows = range_part(w, w->run->own_rows);
    for (int row = rows.begin; row < rows.end; row++)
        end_row(sink, (size_t)row);
    team_barrier(w->run->model->team);
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
static void reduce_nodes(const struct worker *w, int layer, const char *what,
                         const struct reduction_tree *tree, struct sink *sink)
{
    struct run *run = w->run;
    const struct model *m = run->model;
    size_t hidden = (size_t)m->plan->config.hidden_size, n = (size_t)run->step->n_rows * hidden;
    if (tree->n_ranks == 1) { // this rank's only node is the sum
        struct range rows = range_part(w, run->own_rows);
        size_t begin = (size_t)rows.begin * hidden, count = (size_t)range_width(rows) * hidden;
        add_sum(sink, begin, m->scratch.nodes + begin, count);
    } else if (w->thread == 0) {
        comm_mark(m->comm, run->step->number, layer, what);
        run->status = m->plan->residual_sharded
                          ? reduce_own_rows(run, tree, sink)
                          : comm_all_reduce_into(m->comm, tree, m->scratch.nodes, n, add_sum, sink);
    }
}

static struct sink sink_of(const struct worker *w, int layer, int sublayer,
                           const struct row_product *product, const struct reduction_tree *tree)
{
    const struct model *m = w->run->model;
    const struct sublayer_config *config =
        &model_config_layer(&m->plan->config, layer)->sublayers[sublayer];
    const struct sublayer_weights *weights = &m->weights.layers[layer][sublayer];
    struct sink sink = {.m = m,
                        .bias = product->bias,
                        .multiplier = config->multiplier,
                        .token_gates = config->kind == MIX_MLP && config->mlp.token_gate
                                           ? m->scratch.token_gates
                                           : NULL,
                        .laurel = config->laurel.rank ? m->scratch.laurel : NULL,
                        .scalar = weights->scalar,
                        .keeps = config->keeps_sum,
                        .next = inputs_after(m, layer, sublayer)};
    if (config->adds_to_others) {
        sink.others = m->plan->config.altup.num_inputs - 1;
        assert(config->after.kind != NORM_NONE);
    }
    if (config->after.kind != NORM_NONE)
        sink.after = (struct stream_norm){&config->after, &weights->after};
    if (config->joint.kind != NORM_NONE)
        sink.joint = (struct stream_norm){&config->joint, &weights->joint};
    // Thread 0 alone hears of other ranks. Where there are rows for all threads, they end them
    // afterwards.
    sink.ends_rows = has_row_end(&sink) && (tree->n_ranks == 1 || w->n_threads == 1 ||
                                            w->run->step->n_rows < w->n_threads);
    return sink;
}

// The sums of this sublayer and of the one before it, which ran beside it, in one all-reduce; then
// they are added one after the other, as without.
static void reduce_both(const struct worker *w, int layer, int sublayer,
                        const struct row_product *product, const struct reduction_tree *tree)
{
    struct run *run = w->run;
    const struct model *m = run->model;
    const size_t hidden = (size_t)m->plan->config.hidden_size,
                 n = (size_t)run->step->n_rows * hidden;
    float *sums = m->scratch.nodes;
    const struct row_product before = {.bias = run->joined_bias};
    const struct sink first = sink_of(w, layer, sublayer - 1, &before, tree),
                      second = sink_of(w, layer, sublayer, product, tree);
    if (w->thread == 0) {
        comm_mark(m->comm, run->step->number, layer, "o_proj,down_proj");
        run->status = comm_all_reduce(m->comm, tree, sums, sums, 2 * n);
    }
    team_barrier(m->team);
    struct range rows = range_part(w, run->own_rows);
    for (int row = rows.begin; row < rows.end; row++) {
        size_t at = (size_t)row * hidden;
        add_product_piece(&first, (size_t)row, 0, sums + at, hidden);
        add_product_piece(&second, (size_t)row, 0, sums + n + at, hidden);
        end_row(&second, (size_t)row);
    }
    team_barrier(m->team);
}

float *nodes_of(const struct worker *w, int layer, int sublayer, size_t *stride)
{
    const struct model *m = w->run->model;
    const bool first = plan_joins_next(m->plan, layer, sublayer),
               second = sublayer > 0 && plan_joins_next(m->plan, layer, sublayer - 1);
    const size_t n = (size_t)w->run->step->n_rows * (size_t)m->plan->config.hidden_size;
    *stride = first || second ? 2 * n : n;
    return m->scratch.nodes + (second ? n : 0);
}

void multiply_and_reduce(const struct worker *w, int layer, int sublayer,
                         const struct row_product *product)
{
    const struct model *m = w->run->model;
    const struct cut *cut = plan_cut_of(m->plan, layer, sublayer);
    const struct leaf_plan *leaves = &m->leaves[cut - m->plan->cuts];
    assert(cut->tree.n_ranks > 1 || leaves->n_nodes == 1);
    struct matmul matmul = product_of(w, product->panels, leaves);
    matmul.a = product->input;
    matmul.a_stride = product->input_stride;
    matmul.out = nodes_of(w, layer, sublayer, &matmul.node_stride);
    run_part(w, &matmul);
    reduce_product(w, layer, sublayer, product);
}

// The sums of one sublayer alone go where they belong.
static void reduce_of_one(const struct worker *w, int layer, int sublayer,
                          const struct row_product *product, const struct reduction_tree *tree)
{
    const struct model *m = w->run->model;
    struct sink sink = sink_of(w, layer, sublayer, product, tree);
    reduce_nodes(w, layer, product->what, tree, &sink);
    team_barrier(m->team);
    if (!sink.ends_rows && has_row_end(&sink))
        end_own_rows(w, &sink);
    if (sink.next.input.config)
        share_normed_rows(w, layer, &sink.next);
}

void add_whole_product(const struct worker *w, int layer, int sublayer,
                       const struct row_product *product)
{
    static const struct reduction_tree alone = {.n_ranks = 1};
    assert(!plan_joins_next(w->run->model->plan, layer, sublayer));
    team_barrier(w->run->model->team);
    reduce_of_one(w, layer, sublayer, product, &alone);
}

void reduce_product(const struct worker *w, int layer, int sublayer,
                    const struct row_product *product)
{
    struct run *run = w->run;
    struct model *m = run->model;
    const struct cut *cut = plan_cut_of(m->plan, layer, sublayer);
    const bool first = plan_joins_next(m->plan, layer, sublayer),
               second = sublayer > 0 && plan_joins_next(m->plan, layer, sublayer - 1);
    if (first && w->thread == 0)
        run->joined_bias = product->bias;
    team_barrier(m->team);
    if (first)
        return;
    if (second) {
        reduce_both(w, layer, sublayer, product, &cut->tree);
        return;
    }
    reduce_of_one(w, layer, sublayer, product, &cut->tree);
}
