// x += Σ weight · down(act(gate(norm(x))) · up(norm(x))) over the experts that each token chooses
// (docs/numerics.md section 11).
//
// Pairs of a row and an expert are sorted by expert, so that each expert's weights are read once
// and those that nobody chose not at all. The leaf sums of pairs become a row's leaf sums, and
// these its nodes, column by column: a thread's part stays in its cache.
#include <assert.h>
#include <string.h>

#include "model/expert_exchange.h"
#include "model/forward.h"

enum {
    STREAMED_ROWS = 8, // a panel's weights take as long to read as so many rows' products
    ROW_COLUMN_BYTES = PANEL_WIDTH * 4,
    FEW_PANELS = 8, // of a product of down that is worth its beginning
};

struct mixing {
    const struct worker *w;
    struct model *m;
    const struct experts_config *config;
    const struct experts_weights *weights;
    const struct cut *cut;
    const struct leaf_plan *leaves;
    const void *input;           // of the router
    const void *rows;            // of experts: that, or latents made of it
    size_t row_width;            // of these: elements
    struct leaf_plan row_leaves; // and of a product of one
    int width;                   // of a row that experts give
    struct range own;            // experts
    // Experts of each of the rank's nodes in their tree: all, or where ranks have whole experts
    int n_nodes;
    struct range node_experts[2 * EXPERT_LEAVES];
};

static bool has_whole_experts(const struct mixing *x)
{
    return x->cut->by_experts && x->m->plan->n_ranks > 1;
}

static void find_nodes_of_experts(struct mixing *x)
{
    struct tree_node nodes[2 * LEAVES_MAX];
    const struct reduction_tree *tree = &x->cut->expert_tree;
    const int64_t n = x->config->num_experts;
    x->n_nodes = 1;
    x->node_experts[0] = (struct range){0, (int32_t)n};
    if (!has_whole_experts(x))
        return;
    const int group = expert_group(x->cut, x->m->rank);
    x->n_nodes =
        reduction_tree_nodes(tree, tree->first_leaf[group], tree->first_leaf[group + 1], nodes);
    for (int i = 0; i < x->n_nodes; i++)
        x->node_experts[i] = (struct range){expert_leaf_begin(n, nodes[i].first),
                                            expert_leaf_begin(n, nodes[i].first + nodes[i].width)};
}

// Which of a row's chosen experts, ascending, are of a node.
static struct range chosen_in(const struct mixing *x, int row, int node)
{
    const int k = x->config->num_experts_per_tok;
    const int32_t *chosen = x->m->scratch.chosen + (size_t)row * (size_t)k;
    struct range in = {0, 0};
    while (in.begin < k && chosen[in.begin] < x->node_experts[node].begin)
        in.begin++;
    in.end = in.begin;
    while (in.end < k && chosen[in.end] < x->node_experts[node].end)
        in.end++;
    return in;
}

static bool has_first_leaf(const struct mixing *x)
{
    return x->cut->shares[x->m->rank].leaves.begin <= __builtin_ctzll(x->cut->tree.present);
}

static int n_pairs_of(const struct mixing *x, int expert)
{
    const int32_t *first = x->m->scratch.first_pair;
    return first[expert + 1] - first[expert];
}

// ---- who goes where ----

static void find_choices(const struct mixing *x)
{
    const struct scratch *s = &x->m->scratch;
    const size_t n = (size_t)x->config->num_experts, k = (size_t)x->config->num_experts_per_tok;
    const void *input = x->config->router_norm.kind == NORM_NONE ? x->input : s->router_input;
    const struct column_product product = {.input = input,
                                           .panels = &x->weights->router,
                                           .bias = x->weights->router_bias,
                                           .out = s->router,
                                           .out_stride = n};
    multiply(x->w, &product);
    team_barrier(x->m->team);
    const struct range rows = step_rows(x->w);
    for (int row = rows.begin; row < rows.end; row++)
        router_choose(x->m->kernels, x->config, x->weights->choice_bias,
                      s->router + (size_t)row * n, s->chosen + (size_t)row * k,
                      s->chosen_weights + (size_t)row * k);
    for (size_t i = (size_t)rows.begin * k; x->weights->expert_scales && i < (size_t)rows.end * k;
         i++)
        s->chosen_weights[i] = s->chosen_weights[i] * x->weights->expert_scales[s->chosen[i]];
    for (int row = rows.begin; row < rows.end; row++)
        for (int node = 0; node < x->n_nodes; node++) {
            const struct range in = chosen_in(x, row, node);
            const size_t first = (size_t)row * k + (size_t)in.begin;
            expert_merges(x->config->num_experts, s->chosen + first, range_width(in),
                          s->pair_merges + first);
        }
    team_barrier(x->m->team);
}

// Pairs by expert, those of an expert by row. By thread 0; ends with a barrier.
static void sort_pairs(const struct mixing *x)
{
    const struct scratch *s = &x->m->scratch;
    const int n_experts = range_width(x->own), k = x->config->num_experts_per_tok,
              n = x->w->run->step->n_rows * k;
    int32_t *first = s->first_pair;
    if (x->w->thread == 0) {
        memset(first, 0, ((size_t)n_experts + 1) * sizeof *first);
        for (int i = 0; i < n; i++)
            if (s->chosen[i] >= x->own.begin && s->chosen[i] < x->own.end)
                first[s->chosen[i] - x->own.begin + 1]++;
        for (int e = 0; e < n_experts; e++)
            first[e + 1] += first[e];
        for (int i = 0; i < n; i++) {
            const int e = s->chosen[i] - x->own.begin;
            s->pair_of[i] = e >= 0 && e < n_experts ? first[e]++ : -1;
            if (s->pair_of[i] >= 0)
                s->pair_rows[s->pair_of[i]] = i / k;
        }
        memmove(first + 1, first, (size_t)n_experts * sizeof *first); // each had become the next
        first[0] = 0;
        count_expert_pairs(x->w, x->cut);
    }
    team_barrier(x->m->team);
}

// An input row. One that an expert has by itself is read where it lies, unless it is scaled.
static const void *pair_input(const struct mixing *x, int expert)
{
    const struct scratch *s = &x->m->scratch;
    const size_t bytes = x->row_width * input_bytes(x->m->plan->compute),
                 first = (size_t)s->first_pair[expert];
    if (n_pairs_of(x, expert) == 1 && !x->config->scales_inputs)
        return (const char *)x->rows + (size_t)s->pair_rows[first] * bytes;
    return (const char *)s->pair_inputs + first * bytes;
}

// A row that is a product's input, times its weight, as another.
static void scale_input(const struct model *m, const char *row, float weight, char *out)
{
    enum { BLOCK = 512 };
    const enum compute_type type = m->plan->compute;
    const size_t width = input_width(m), item = input_bytes(type);
    float numbers[BLOCK];
    for (size_t done = 0, n; done < width; done += n) {
        n = width - done < BLOCK ? width - done : BLOCK;
        if (type == COMPUTE_BF16)
            for (size_t i = 0; i < n; i++)
                numbers[i] = float_of_bf16(((const bf16 *)(const void *)row)[done + i]);
        else
            memcpy(numbers, row + done * item, n * item);
        m->kernels->scale(numbers, weight, n);
        m->kernels->round(numbers, n, type, out + done * item);
    }
}

// Inputs that are multiplied by weights. Ends with a barrier.
static void gather_scaled_inputs(const struct mixing *x)
{
    const struct scratch *s = &x->m->scratch;
    const size_t bytes = input_width(x->m) * input_bytes(x->m->plan->compute);
    const int k = x->config->num_experts_per_tok;
    const struct range choices = range_part(x->w, (struct range){0, x->w->run->step->n_rows * k});
    for (int i = choices.begin; i < choices.end; i++) {
        if (s->pair_of[i] >= 0)
            scale_input(x->m, (const char *)x->input + (size_t)(i / k) * bytes,
                        s->chosen_weights[i],
                        (char *)s->pair_inputs + (size_t)s->pair_of[i] * bytes);
        s->chosen_weights[i] = 1; // it has counted
    }
    team_barrier(x->m->team);
}

// Inputs of experts that several rows have chosen, side by side. Ends with a barrier.
static void gather_inputs(const struct mixing *x)
{
    const struct scratch *s = &x->m->scratch;
    const size_t bytes = x->row_width * input_bytes(x->m->plan->compute);
    const struct range pairs =
        range_part(x->w, (struct range){0, s->first_pair[range_width(x->own)]});
    if (x->config->scales_inputs) {
        gather_scaled_inputs(x);
        return;
    }
    if (x->w->run->step->n_rows == 1)
        return;
    for (int pair = pairs.begin; pair < pairs.end; pair++)
        memcpy((char *)s->pair_inputs + (size_t)pair * bytes,
               (const char *)x->rows + (size_t)s->pair_rows[pair] * bytes, bytes);
    team_barrier(x->m->team);
}

// ---- gate and up ----

static int64_t cost_of(const struct mixing *x, int expert)
{
    const int n = n_pairs_of(x, expert);
    return n ? n + STREAMED_ROWS : 0;
}

static void activate_expert(const struct mixing *x, int expert, int panel_begin, int panel_end)
{
    const struct model *m = x->m;
    const struct scratch *s = &m->scratch;
    const struct panels gate = equal_panels_at(&x->weights->gate, expert),
                        up = equal_panels_at(&x->weights->up, expert);
    const size_t item = input_bytes(m->plan->compute), width = (size_t)gate.n,
                 first = (size_t)s->first_pair[expert];
    struct matmul product = product_of(x->w, &gate, &x->row_leaves);
    product.panel_begin = panel_begin;
    product.panel_end = panel_end;
    product.m = n_pairs_of(x, expert);
    product.a = pair_input(x, expert);
    product.up = x->config->gated ? &up : NULL;
    product.bias = x->weights->gate_bias ? x->weights->gate_bias + (size_t)expert * width : NULL;
    product.up_bias = x->weights->up_bias ? x->weights->up_bias + (size_t)expert * width : NULL;
    product.activation = (struct activation_args){
        .kind = x->config->activation, .alpha = x->config->alpha, .limit = x->config->limit};
    product.type = m->plan->compute;
    product.activated = (char *)s->pair_activated + first * width * item;
    product.out_stride = width;
    m->kernels->matmul(&product);
}

// Every thread's part of all panels of all experts takes as long as any other's. Ends with a
// barrier.
static void activate_experts(const struct mixing *x)
{
    const int n = range_width(x->own), panels = x->weights->gate.first.n_panels;
    int64_t all = 0, at = 0;
    for (int e = 0; e < n; e++)
        all += cost_of(x, e) * panels;
    const int64_t begin = all * x->w->thread / x->w->n_threads,
                  end = all * (x->w->thread + 1) / x->w->n_threads;
    for (int e = 0; e < n; e++) {
        const int64_t cost = cost_of(x, e);
        int first = panels, last = 0;
        for (int p = 0; p < panels && cost; p++) {
            const int64_t panel = at + p * cost;
            if (panel < begin || panel >= end)
                continue;
            first = p < first ? p : first;
            last = p + 1;
        }
        at += cost * panels;
        if (first < last)
            activate_expert(x, e, first, last);
    }
    team_barrier(x->m->team);
}

// ---- down, and the sums ----

// A thread's columns at one time: whole panels of down.
struct column_block {
    int panel_begin, panel_end, column, width; // columns; width: of a row of the buffers
    int n_columns;                             // that there are
    int n_leaves;                              // at one time
    float *sums;                               // [leaves at one time][pairs][width]
    float *stack;                              // [levels][rows][width]
};

static size_t at_least_one(size_t n)
{
    return n ? n : 1;
}

// Leaf sums of few pairs, all of them, stay in a core's own cache. Where there are more, as many
// panels of one leaf as stay in the cache behind it: a product of one panel packs its rows for
// little work.
static void measure_block(const struct mixing *x, const struct range *panels,
                          struct column_block *out)
{
    const struct scratch *s = &x->m->scratch;
    const size_t pairs = at_least_one((size_t)s->first_pair[range_width(x->own)]),
                 rows = (size_t)x->w->run->step->n_rows, leaves = (size_t)x->leaves->n_leaves,
                 near = PAIR_SUM_BYTES / ROW_COLUMN_BYTES, far = FAR_SUM_BYTES / ROW_COLUMN_BYTES;
    const size_t most = pairs > rows ? pairs : rows;
    size_t n = near / (leaves * most);
    if (n < FEW_PANELS) {
        const size_t of_pairs = far / pairs,
                     of_rows = far / (rows * leaves); // levels: at most leaves
        n = of_pairs < of_rows ? of_pairs : of_rows;
        n = n < FEW_PANELS ? n : FEW_PANELS;
    }
    n = at_least_one(n);
    n = n < (size_t)range_width(*panels) ? n : (size_t)range_width(*panels);
    *out = (struct column_block){.panel_begin = panels->begin, .width = (int)n * PANEL_WIDTH};
    out->n_leaves = (int)at_least_one((n < FEW_PANELS ? far : near) / (pairs * n));
    out->n_leaves = out->n_leaves < (int)leaves ? out->n_leaves : (int)leaves;
    char *own = s->pair_sums + (size_t)x->w->thread * s->pair_sum_bytes;
    size_t sum_bytes = (size_t)out->n_leaves * pairs * (size_t)n * ROW_COLUMN_BYTES;
    out->sums = (float *)(void *)own;
    out->stack = (float *)(void *)(own + sum_bytes);
    assert(sum_bytes % 64 == 0);
}

// Of the leaf of down that is the first one present, before it is weighted.
static void add_biases(const struct mixing *x, const struct column_block *b)
{
    const float *biases = x->weights->down_bias;
    const size_t hidden = input_width(x->m), n = (size_t)b->n_columns;
    for (int e = 0; biases && e < range_width(x->own); e++)
        for (int pair = x->m->scratch.first_pair[e]; pair < x->m->scratch.first_pair[e + 1]; pair++)
            x->m->kernels->add(b->sums + (size_t)pair * (size_t)b->width,
                               biases + (size_t)e * hidden + (size_t)b->column, n);
}

// Leaf sums [begin, end) of all pairs.
static void multiply_leaves(const struct mixing *x, const struct column_block *b, int begin,
                            int end)
{
    const struct model *m = x->m;
    const struct scratch *s = &m->scratch;
    // a rank that has all of gate and up reads the columns that are its down's
    const struct range *dims = x->cut->shares[m->rank].dims;
    const size_t pairs = (size_t)s->first_pair[range_width(x->own)],
                 item = input_bytes(m->plan->compute), width = (size_t)x->weights->gate.first.n,
                 skipped = (size_t)(dims[DIM_ACTIVATED].begin - dims[DIM_MLP].begin);
    struct leaf_plan leaves = {.n_leaves = end - begin, .n_nodes = end - begin};
    for (int i = begin; i < end; i++) {
        leaves.leaf[i - begin] = x->leaves->leaf[i];
        leaves.leaf[i - begin].merges = 0;
    }
    for (int e = 0; e < range_width(x->own); e++) {
        if (!n_pairs_of(x, e))
            continue;
        const struct panels down = equal_panels_at(&x->weights->down, e);
        const size_t first = (size_t)s->first_pair[e];
        struct matmul product = product_of(x->w, &down, &leaves);
        product.panel_begin = b->panel_begin;
        product.panel_end = b->panel_end;
        product.m = n_pairs_of(x, e);
        product.a = (const char *)s->pair_activated + (first * width + skipped) * item;
        product.a_stride = width;
        product.out = b->sums + first * (size_t)b->width - b->column;
        product.out_stride = (size_t)b->width;
        product.node_stride = pairs * (size_t)b->width;
        m->kernels->matmul(&product);
    }
    if (begin == 0 && has_first_leaf(x))
        add_biases(x, b);
}

// A row's sum of one leaf: of its experts, or those of a node, along their tree.
static void sum_row(const struct mixing *x, const struct column_block *b, int leaf, int row,
                    int node, float *out)
{
    const struct scratch *s = &x->m->scratch;
    const struct range in = chosen_in(x, row, node);
    const size_t first = (size_t)row * (size_t)x->config->num_experts_per_tok + (size_t)in.begin,
                 pairs = (size_t)s->first_pair[range_width(x->own)];
    const float *rows[CHOSEN_EXPERTS_MAX];
    for (int i = 0; i < range_width(in); i++)
        rows[i] = b->sums +
                  ((size_t)leaf * pairs + (size_t)s->pair_of[first + (size_t)i]) * (size_t)b->width;
    const struct weighted_rows sum = {.n = range_width(in),
                                      .rows = rows,
                                      .weights = s->chosen_weights + first,
                                      .merges = s->pair_merges + first,
                                      .columns = b->n_columns,
                                      .out = out};
    x->m->kernels->sum_weighted(&sum);
}

// Where sums of columns go: nodes [rows, width], or, of whole experts, [nodes][leaves][rows,
// width].
struct sums_place {
    float *nodes;
    size_t stride; // floats from one matrix to the next
    size_t width;  // of a row
    int column;    // of its first number
};

// One leaf more on the stack of leaf sums, and the sums that it completes. Returns the depth.
static int push_leaf(const struct mixing *x, const struct column_block *b, int leaf, int merges,
                     int depth)
{
    const int n_rows = x->w->run->step->n_rows;
    const size_t width = (size_t)b->width, level = (size_t)n_rows * width;
    float *top = b->stack + (size_t)depth * level;
    for (int row = 0; row < n_rows; row++)
        sum_row(x, b, leaf, row, 0, top + (size_t)row * width);
    for (int i = 0; i < merges; i++, depth--, top -= level)
        for (int row = 0; row < n_rows; row++)
            x->m->kernels->add(top - level + (size_t)row * width, top + (size_t)row * width,
                               (size_t)b->n_columns);
    return depth + 1;
}

// A leaf of each of the rank's nodes of experts.
static void put_leaf(const struct mixing *x, const struct column_block *b, int leaf, int number,
                     const struct sums_place *to)
{
    for (int node = 0; node < x->n_nodes; node++) {
        float *out = to->nodes +
                     ((size_t)node * (size_t)x->leaves->n_leaves + (size_t)number) * to->stride +
                     (b->column - to->column);
        for (int row = 0; row < x->w->run->step->n_rows; row++)
            sum_row(x, b, leaf, row, node, out + (size_t)row * to->width);
    }
}

// One block of columns.
static void sum_columns(const struct mixing *x, const struct column_block *b,
                        const struct sums_place *to)
{
    const int n_rows = x->w->run->step->n_rows;
    const size_t width = (size_t)b->width;
    int depth = 0;
    for (int begin = 0; begin < x->leaves->n_leaves; begin += b->n_leaves) {
        const int rest = x->leaves->n_leaves - begin, n = rest < b->n_leaves ? rest : b->n_leaves;
        multiply_leaves(x, b, begin, begin + n);
        for (int leaf = 0; leaf < n; leaf++)
            if (has_whole_experts(x))
                put_leaf(x, b, leaf, begin + leaf, to);
            else
                depth = push_leaf(x, b, leaf, x->leaves->leaf[begin + leaf].merges, depth);
    }
    for (int node = 0; node < depth; node++)
        for (int row = 0; row < n_rows; row++)
            x->m->kernels->copy(to->nodes + (size_t)node * to->stride + (size_t)row * to->width +
                                    (b->column - to->column),
                                b->stack + ((size_t)node * (size_t)n_rows + (size_t)row) * width,
                                (size_t)b->n_columns);
}

// Of these panels of down.
static void sum_panels(const struct mixing *x, struct range all, const struct sums_place *to)
{
    const struct range panels = range_part(x->w, all);
    struct column_block b;
    if (panels.begin == panels.end)
        return;
    measure_block(x, &panels, &b);
    const int at_once = b.width / PANEL_WIDTH;
    for (int panel = panels.begin; panel < panels.end; panel += at_once) {
        b.panel_begin = panel;
        b.panel_end = panel + at_once < panels.end ? panel + at_once : panels.end;
        b.column = panel * PANEL_WIDTH;
        const int end = b.panel_end * PANEL_WIDTH;
        b.n_columns = (end < x->width ? end : x->width) - b.column;
        sum_columns(x, &b, to);
    }
}

// Ranks with whole experts give each other their nodes of every leaf, columns after columns.
static void sum_whole_experts(const struct mixing *x, int layer, float *sums)
{
    const struct plan *plan = x->m->plan;
    const int n_rows = x->w->run->step->n_rows, width = x->width,
              n_panels = x->weights->down.first.n_panels,
              at_once = expert_pass_panels(plan, x->cut, n_rows);
    for (int panel = 0; panel < n_panels; panel += at_once) {
        const int end = panel + at_once < n_panels ? panel + at_once : n_panels,
                  column = panel * PANEL_WIDTH,
                  last = end * PANEL_WIDTH < width ? end * PANEL_WIDTH : width;
        const struct expert_pass pass = {x->cut, column, last - column, (size_t)width};
        const struct sums_place to = {.nodes = x->m->scratch.expert_nodes,
                                      .stride = (size_t)n_rows * (size_t)pass.width,
                                      .width = (size_t)pass.width,
                                      .column = column};
        sum_panels(x, (struct range){panel, end}, &to);
        exchange_experts(x->w, layer, &pass, sums);
        LEAVE_IF_FAILED(x->w);
    }
}

static void sum_experts(const struct mixing *x, int layer, int sublayer)
{
    struct sums_place to = {.width = (size_t)x->width};
    to.nodes = nodes_of(x->w, layer, sublayer, &to.stride);
    if (x->config->latent_size)
        to.stride = (size_t)x->w->run->step->n_rows * to.width;
    if (has_whole_experts(x))
        sum_whole_experts(x, layer, to.nodes);
    else
        sum_panels(x, (struct range){0, x->weights->down.first.n_panels}, &to);
}

// ---- latents ----

// Rows [rows, latent] as products' inputs. Barriers before and after.
static void round_latents(const struct mixing *x, const float *latents)
{
    const struct range rows = step_rows(x->w);
    const size_t width = (size_t)x->config->latent_size,
                 bytes = width * input_bytes(x->m->plan->compute);
    team_barrier(x->m->team);
    for (int row = rows.begin; row < rows.end; row++)
        x->m->kernels->round(latents + (size_t)row * width, width, x->m->plan->compute,
                             (char *)x->m->scratch.expert_latents + (size_t)row * bytes);
    team_barrier(x->m->team);
}

// What experts read, where that is not what the router reads.
static void find_latents(struct mixing *x)
{
    if (!x->config->latent_size)
        return;
    multiply(x->w, &(struct column_product){.input = x->input,
                                            .panels = &x->weights->latent_down,
                                            .bias = x->weights->latent_down_bias,
                                            .out = x->m->scratch.outputs,
                                            .out_stride = (size_t)x->config->latent_size});
    round_latents(x, x->m->scratch.outputs);
    x->rows = x->m->scratch.expert_latents;
    x->row_width = (size_t)x->config->latent_size;
    x->row_leaves = leaf_plan_whole(x->config->latent_size);
}

// The experts' sum, of which each rank has its nodes, and what the stream gets of it.
static void raise_sum(const struct mixing *x, int layer, int sublayer)
{
    const struct worker *w = x->w;
    struct model *m = x->m;
    const size_t n = (size_t)w->run->step->n_rows * (size_t)x->width;
    float *sums = m->scratch.nodes;
    team_barrier(m->team);
    if (w->thread == 0 && x->cut->tree.n_ranks > 1) {
        comm_mark(m->comm, w->run->step->number, layer, "experts");
        w->run->status = comm_all_reduce(m->comm, &x->cut->tree, sums, sums, n);
    }
    round_latents(x, sums);
    LEAVE_IF_FAILED(w);
    multiply(w, &(struct column_product){.input = m->scratch.expert_latents,
                                         .panels = &x->weights->latent_up,
                                         .leaves = &x->row_leaves,
                                         .out = sums,
                                         .out_stride = (size_t)m->plan->config.hidden_size});
    add_whole_product(w, layer, sublayer,
                      &(struct row_product){.what = "experts", .bias = x->weights->latent_up_bias});
}

void experts_block(const struct worker *w, int layer, int sublayer)
{
    struct model *m = w->run->model;
    const struct cut *cut = plan_cut_of(m->plan, layer, sublayer);
    struct mixing x = {
        .w = w,
        .m = m,
        .config = &model_config_layer(&m->plan->config, layer)->sublayers[sublayer].experts,
        .weights = &m->weights.layers[layer][sublayer].experts,
        .cut = cut,
        .leaves = &m->leaves[cut - m->plan->cuts],
        .input = sublayer_input(m, layer, sublayer),
        .row_width = input_width(m),
        .row_leaves = m->whole,
        .own = cut->shares[m->rank].dims[DIM_OWN_EXPERTS]};
    const struct row_product down = {.what = "experts"};
    x.rows = x.input;
    x.width = experts_width(&m->plan->config, x.config);
    find_latents(&x);
    find_nodes_of_experts(&x);
    find_choices(&x);
    sort_pairs(&x);
    gather_inputs(&x);
    activate_experts(&x);
    sum_experts(&x, layer, sublayer);
    LEAVE_IF_FAILED(w);
    if (x.config->latent_size)
        raise_sum(&x, layer, sublayer);
    else
        reduce_product(w, layer, sublayer, &down);
}
