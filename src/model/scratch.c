#include "model/scratch.h"

#include <assert.h>

#include "base/checked.h"
#include "model/expert_exchange.h"
#include "model/latent_context.h"

enum { LINE = 64 };

struct walk {
    char *memory;
    size_t bytes;
    bool overflow;
};

static void *reserve_floats(struct walk *w, size_t rows, size_t columns, size_t item_bytes)
{
    size_t begin = w->bytes, bytes;
    if (!checked_mul3(rows, columns, item_bytes, &bytes) || !checked_add(begin, bytes, &bytes) ||
        !checked_add(bytes, LINE - 1, &bytes)) {
        w->overflow = true;
        return NULL;
    }
    w->bytes = bytes / LINE * LINE;
    return w->memory ? w->memory + begin : NULL;
}

static size_t scratch_width(struct range range)
{
    return (size_t)(range.end - range.begin);
}

static size_t most_floats(size_t a, size_t b)
{
    return a > b ? a : b;
}

// The widest of what the sublayers need, in numbers of a row.
struct widths {
    size_t input, outputs, query, nodes, gathered, received;
    size_t squares, inputs, narrow, output_gates;
    size_t latent_query, latent_sums, latent_row;
    size_t index_query, index_topk, index_page;         // page: bytes of latents
    struct context_room context;                        // rows: not looked at
    size_t experts, chosen, expert_rows, expert_levels; // chosen: of a token
    size_t expert_latent;
    bool sums, held, laurel, token_gate, kept, router_input;
};

// What all ranks send: what is whole on each comes from each.
static void widen_for_gathering(const struct plan *plan, const struct cut *cut, struct widths *w)
{
    size_t all = 0;
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        const struct range *dims = cut->shares[rank].dims;
        all += scratch_width(dims[DIM_QUERY]) + scratch_width(dims[DIM_KEY]) +
               scratch_width(dims[DIM_VALUE]);
    }
    w->received = most_floats(w->received, all);
}

struct latent_columns latent_columns_of(const struct latent_config *latent, size_t queries,
                                        bool leaves_out)
{
    const size_t rank = (size_t)latent->q_rank,
                 key = (size_t)latent->kv_rank + (size_t)latent->rope_dim,
                 index_key = (size_t)index_key_dim(latent),
                 index_heads = index_key ? (size_t)latent->index.num_heads : 0;
    struct latent_columns c = {.latent = rank ? rank : queries};
    c.index_key = c.latent + key;
    c.index_weights = c.index_key + index_key;
    c.query = rank ? c.index_weights + index_heads : 0;
    c.index_query = rank ? c.query + queries : c.index_weights;
    c.stride = c.index_query + (leaves_out ? index_heads * index_key : 0);
    return c;
}

static void widen_for_context(const struct plan *plan, const struct cut *cut, int rank,
                              struct widths *w)
{
    const struct context_room room = context_room_of(plan, cut, rank);
    w->context.state = most_floats(w->context.state, room.state);
    w->context.queries = most_floats(w->context.queries, room.queries);
    w->context.exchange = most_floats(w->context.exchange, room.exchange);
    w->context.pages = most_floats(w->context.pages, room.pages);
    w->context.thread = most_floats(w->context.thread, room.thread);
}

static void widen_for_latent(const struct plan *plan, const struct cut *cut, int rank,
                             struct widths *w)
{
    const struct range *dims = cut->shares[rank].dims;
    const struct latent_config *l = &cut->sublayer->attention.latent;
    const size_t kv_rank = (size_t)l->kv_rank, key = kv_rank + (size_t)l->rope_dim,
                 heads = scratch_width(dims[DIM_HEADS]), q_rank = (size_t)l->q_rank;
    w->input = most_floats(w->input, q_rank);
    const bool leaves_out = index_leaves_out(&l->index, plan->config.max_position_embeddings);
    w->outputs = most_floats(
        w->outputs, latent_columns_of(l, scratch_width(dims[DIM_QUERY]), leaves_out).stride);
    // queries before they are absorbed
    w->query = most_floats(w->query, scratch_width(dims[DIM_QUERY]));
    w->latent_query = most_floats(w->latent_query, heads * key);
    w->latent_sums = most_floats(w->latent_sums, heads * kv_rank);
    w->latent_row = most_floats(w->latent_row, most_floats(key, (size_t)l->value_dim));
    if (plan->context_ranks > 1)
        widen_for_context(plan, cut, rank, w);
    if (!leaves_out)
        return;
    w->index_topk = most_floats(w->index_topk, (size_t)l->index.topk);
    w->index_page = most_floats(w->index_page, KV_PAGE_TOKENS * key * compute_bytes(plan->cache));
    if (!l->index.shared)
        w->index_query =
            most_floats(w->index_query, (size_t)l->index.num_heads * (size_t)l->index.head_dim);
}

static void widen_for_attention(const struct plan *plan, const struct cut *cut, int rank,
                                struct widths *w)
{
    const struct range *dims = cut->shares[rank].dims;
    const struct attention_config *a = &cut->sublayer->attention;
    size_t heads = (size_t)a->num_attention_heads, kv_heads = (size_t)a->num_key_value_heads;
    w->input = most_floats(w->input, scratch_width(dims[DIM_ATTENDED]));
    if (a->latent.kv_rank) {
        widen_for_latent(plan, cut, rank, w);
        return;
    }
    w->query = most_floats(w->query, scratch_width(dims[DIM_HEADS]) * (size_t)a->head_dim);
    w->outputs =
        most_floats(w->outputs, scratch_width(dims[DIM_QUERY]) + scratch_width(dims[DIM_KEY]) +
                                    scratch_width(dims[DIM_VALUE]));
    if (a->output_gate) { // attention's f32 output lies in `outputs`
        w->output_gates = most_floats(w->output_gates, scratch_width(dims[DIM_ATTENDED]));
        w->outputs = most_floats(w->outputs, scratch_width(dims[DIM_ATTENDED]));
    }
    if (a->qk_norm_width == QK_NORM_WHOLE) {
        w->squares = most_floats(w->squares, heads + kv_heads);
        w->received = most_floats(w->received, w->squares);
    }
    if (cut_gathers(plan, cut)) {
        w->gathered = most_floats(w->gathered, (heads + kv_heads) * (size_t)a->head_dim +
                                                   kv_heads * (size_t)attention_value_dim(a));
        widen_for_gathering(plan, cut, w);
    }
}

// A row of the statistics of a sparse gate: the sums of its leaves, then their spreads.
static void widen_for_spreads(const struct plan *plan, struct widths *w)
{
    w->squares = most_floats(w->squares, 2 * (size_t)plan->reduction_leaves);
    w->received = most_floats(w->received, w->squares);
}

// What stands beside the residual, and the products that are made of it.
static void widen_for_streams(const struct model_config *c, struct widths *w)
{
    const size_t n = (size_t)c->altup.num_inputs;
    if (!n)
        return;
    w->narrow = most_floats(w->narrow, (n + 1) / 2 * 2);
    w->outputs = most_floats(w->outputs, ALTUP_COEFS(n));
    w->outputs = most_floats(w->outputs, (size_t)c->hidden_size);
    w->sums = true;
}

static void widen_for_laurel(const struct laurel_config *laurel, struct widths *w)
{
    const size_t rank = ((size_t)laurel->rank + 1) / 2 * 2;
    w->narrow = most_floats(w->narrow, rank);
    w->outputs = most_floats(w->outputs, rank);
    w->laurel = w->sums = true;
}

static void widen_for_experts(const struct plan *plan, const struct cut *cut, int rank,
                              struct widths *w)
{
    const struct experts_config *e = &cut->sublayer->experts;
    size_t levels = 1; // of a stack of leaf sums
    for (int leaves = 1; leaves < plan->reduction_leaves; leaves *= 2)
        levels++;
    w->experts = most_floats(w->experts, (size_t)e->num_experts);
    w->chosen = most_floats(w->chosen, (size_t)e->num_experts_per_tok);
    w->expert_rows = most_floats(w->expert_rows, scratch_width(cut->shares[rank].dims[DIM_MLP]));
    w->expert_levels = levels;
    w->router_input = w->router_input || e->router_norm.kind != NORM_NONE;
    w->expert_latent = most_floats(w->expert_latent, (size_t)e->latent_size);
    w->outputs = most_floats(w->outputs, (size_t)e->latent_size);
}

static void widen_for_mlp(const struct plan *plan, const struct cut *cut, int rank,
                          struct widths *w)
{
    const struct range *dims = cut->shares[rank].dims;
    w->input = most_floats(w->input, scratch_width(dims[DIM_ACTIVATED]));
    w->outputs = most_floats(w->outputs, 2 * scratch_width(dims[DIM_MLP]));
    w->token_gate = w->token_gate || cut->sublayer->mlp.token_gate;
    if (cut->sublayer->mlp.sparse)
        widen_for_spreads(plan, w);
    if (cut_gathers(plan, cut)) {
        w->gathered = most_floats(w->gathered, 2 * (size_t)cut->width);
        w->received = most_floats(w->received, 2 * (size_t)cut->width);
    }
}

static void widen_for_mamba(const struct cut *cut, int rank, struct widths *w)
{
    const struct range *dims = cut->shares[rank].dims;
    const size_t inner = scratch_width(dims[DIM_MAMBA]);
    w->input = most_floats(w->input, inner);
    w->outputs = most_floats(w->outputs, 2 * inner + 2 * scratch_width(dims[DIM_MAMBA_GROUPS]) +
                                             scratch_width(dims[DIM_MAMBA_HEADS]));
    if (cut->sublayer->mamba.norm.kind == NORM_NONE)
        return;
    w->squares = most_floats(w->squares, (size_t)cut->sublayer->mamba.num_heads);
    w->received = most_floats(w->received, w->squares);
}

static void widen_for_delta(const struct cut *cut, int rank, struct widths *w)
{
    const struct range *dims = cut->shares[rank].dims;
    const size_t values = scratch_width(dims[DIM_DELTA_VALUES]);
    const size_t low = 2 * scratch_width(dims[DIM_DELTA_RANK]); // of the gate and of the decays
    w->input = most_floats(w->input, most_floats(values, low));
    w->outputs = most_floats(w->outputs, 2 * scratch_width(dims[DIM_DELTA_KEYS]) + 2 * values +
                                             scratch_width(dims[DIM_DELTA_HEADS]) +
                                             scratch_width(dims[DIM_DELTA_STEPS]) + low);
}

// Of the rank's stage.
static size_t inputs_width(const struct plan *plan, int stage)
{
    return scratch_width(plan_stage_layers(plan, stage)) *
           (size_t)layer_inputs_width(&plan->config);
}

static struct widths find_widths(const struct plan *plan, int rank, int stage)
{
    size_t hidden = (size_t)plan->config.hidden_size;
    struct widths w = {.input = hidden + hidden % 2};
    if (plan->n_ranks > 1 && (plan->embed_sharded || plan->residual_sharded))
        w.received = hidden;
    w.inputs = inputs_width(plan, stage);
    w.outputs = w.inputs; // rows of the table
    widen_for_streams(&plan->config, &w);
    if (plan->n_ranks > 1 && plan->table_sharded)
        w.received = most_floats(w.received, w.inputs);
    for (int i = 0; i < plan->n_cuts; i++) {
        const struct cut *cut = &plan->cuts[i];
        int tree_rank = cut->tree.n_ranks > 1 ? rank : 0;
        w.nodes = most_floats(w.nodes, (size_t)reduction_tree_node_count(&cut->tree, tree_rank));
        switch (cut->sublayer->kind) {
        case MIX_ATTENTION:
            widen_for_attention(plan, cut, rank, &w);
            break;
        case MIX_MLP:
            widen_for_mlp(plan, cut, rank, &w);
            break;
        case MIX_EXPERTS:
            widen_for_experts(plan, cut, rank, &w);
            break;
        case MIX_MAMBA:
            widen_for_mamba(cut, rank, &w);
            break;
        case MIX_DELTA:
            widen_for_delta(cut, rank, &w);
            break;
        case MIX_CONVOLUTION:
            w.input = most_floats(w.input, scratch_width(cut->shares[rank].dims[DIM_CHANNELS]));
            w.outputs =
                most_floats(w.outputs, 3 * scratch_width(cut->shares[rank].dims[DIM_CHANNELS]));
            break;
        }
    }
    for (int kind = 0; kind < plan->config.n_layer_kinds; kind++)
        for (int i = 0; i < plan->config.layer_kinds[kind].n_sublayers; i++) {
            const struct sublayer_config *s = &plan->config.layer_kinds[kind].sublayers[i];
            w.sums = w.sums || s->after.kind != NORM_NONE;
            w.held = w.held || s->parallel;
            w.kept = w.kept || s->keeps_sum;
            if (plan->joins_next[kind][i]) {
                const struct reduction_tree *tree = &plan->cuts[plan->cut_of[kind][i]].tree;
                w.nodes = most_floats(w.nodes, 2 * (size_t)reduction_tree_node_count(tree, rank));
            }
            if (s->laurel.rank)
                widen_for_laurel(&s->laurel, &w);
        }
    return w;
}

static void place_exchange(struct walk *w, const struct widths *widths, size_t rows,
                           struct scratch *out)
{
    size_t received = widths->received, gathered = widths->gathered;
    out->received = received ? reserve_floats(w, rows, received, sizeof(float)) : NULL;
    out->gathered = gathered ? reserve_floats(w, rows, gathered, sizeof(float)) : NULL;
}

static void place_streams_of(struct walk *w, const struct plan *plan, const struct widths *widths,
                             size_t rows, struct scratch *out)
{
    const size_t n = (size_t)plan->config.altup.num_inputs,
                 hidden = (size_t)plan->config.hidden_size, item = input_bytes(plan->compute);
    out->streams = n ? reserve_floats(w, rows, n * hidden, sizeof(float)) : NULL;
    out->laurel = widths->laurel ? reserve_floats(w, rows, hidden, sizeof(float)) : NULL;
    out->narrow = widths->narrow ? reserve_floats(w, rows, widths->narrow, item) : NULL;
}

static size_t fewer_bytes(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t mul_floats(struct walk *w, size_t a, size_t b)
{
    size_t product = 0;
    w->overflow = w->overflow || !checked_mul(a, b, &product);
    return product;
}

static void place_pairs(struct walk *w, const struct plan *plan, const struct widths *widths,
                        size_t rows, size_t threads, struct scratch *out)
{
    const size_t k = widths->chosen, item = input_bytes(plan->compute),
                 column = PANEL_WIDTH * sizeof(float),
                 hidden = ((size_t)plan->config.hidden_size + 1) / 2 * 2,
                 pairs = mul_floats(w, rows, k);
    if (!k)
        return;
    out->router = reserve_floats(w, rows, widths->experts, sizeof(float));
    out->chosen = reserve_floats(w, rows, k, sizeof(int32_t));
    out->chosen_weights = reserve_floats(w, rows, k, sizeof(float));
    out->pair_of = reserve_floats(w, rows, k, sizeof(int32_t));
    out->pair_merges = reserve_floats(w, rows, k, 1);
    out->pair_rows = reserve_floats(w, rows, k, sizeof(int32_t));
    out->first_pair = reserve_floats(w, widths->experts + 1, 1, sizeof(int32_t));
    out->pair_inputs = reserve_floats(w, pairs, hidden, item);
    out->pair_activated = reserve_floats(w, pairs, widths->expert_rows, item);
    out->expert_latents =
        widths->expert_latent ? reserve_floats(w, rows, widths->expert_latent, item) : NULL;
    // leaf sums of pairs, and the stack of their sums of rows: see experts_block.c
    const size_t leaves = (size_t)plan->reduction_leaves,
                 row = mul_floats(w, divide_up(hidden, PANEL_WIDTH), column),
                 sums = most_floats(
                     fewer_bytes(FAR_SUM_BYTES, mul_floats(w, mul_floats(w, pairs, leaves), row)),
                     mul_floats(w, pairs, column)),
                 stack = most_floats(
                     fewer_bytes(FAR_SUM_BYTES, mul_floats(w, mul_floats(w, rows, leaves), row)),
                     mul_floats(w, mul_floats(w, rows, widths->expert_levels), column));
    out->pair_sum_bytes = sums + stack;
    out->pair_sums = reserve_floats(w, threads, out->pair_sum_bytes, 1);
}

static void place_latent_rows(struct walk *w, const struct plan *plan, const struct widths *widths,
                              size_t rows, size_t threads, struct scratch *out)
{
    out->latent_query = out->latent_sums = NULL;
    out->latent_rows = NULL;
    out->latent_stride = LATENT_ROWS * widths->latent_row;
    if (!widths->latent_row)
        return;
    out->latent_query = reserve_floats(w, rows, widths->latent_query, input_bytes(plan->cache));
    out->latent_sums = reserve_floats(w, rows, widths->latent_sums, input_bytes(plan->compute));
    out->latent_rows = reserve_floats(w, threads, out->latent_stride, sizeof(float));
}

static void place_index(struct walk *w, const struct plan *plan, const struct widths *widths,
                        size_t rows, size_t threads, struct scratch *out)
{
    const size_t pages = divide_up(widths->index_topk, KV_PAGE_TOKENS);
    out->index_query = NULL;
    out->positions = out->chosen_pages_of = NULL;
    out->index_scores = NULL;
    out->chosen_pages = NULL;
    out->index_stride = round_up((size_t)plan->config.max_position_embeddings, KV_PAGE_TOKENS);
    out->chosen_stride = mul_floats(w, pages, widths->index_page);
    if (!widths->index_topk)
        return;
    out->index_query = reserve_floats(w, rows, widths->index_query, input_bytes(plan->cache));
    out->positions = reserve_floats(w, rows, widths->index_topk, sizeof(int32_t));
    out->index_scores = reserve_floats(w, threads, out->index_stride, sizeof(float));
    out->chosen_pages = reserve_floats(w, threads, out->chosen_stride, 1);
    out->chosen_pages_of = reserve_floats(w, pages, 1, sizeof(int32_t));
    for (size_t i = 0; w->memory && i < pages; i++)
        out->chosen_pages_of[i] = (int32_t)i;
}

static void place_context(struct walk *w, const struct context_room *room, size_t rows,
                          size_t threads, struct scratch *out)
{
    if (!room->thread)
        return;
    out->context_state = reserve_floats(w, rows, room->state, sizeof(float));
    out->context_rows_stride = room->thread;
    out->context_rows = reserve_floats(w, threads, room->thread, sizeof(float));
    out->context_queries = reserve_floats(w, room->queries, 1, 1);
    out->context_sums = reserve_floats(w, room->exchange, 1, 1);
    out->context_packed = reserve_floats(w, room->exchange, 1, 1);
    out->context_pages = reserve_floats(w, room->pages, 1, 1);
}

static void place_angles(struct walk *w, const struct model_config *c, size_t rows,
                         struct scratch *out)
{
    for (int i = 0; i < c->n_ropes; i++) {
        size_t half = (size_t)c->ropes[i].n_dimensions / 2;
        out->cosines[i] = reserve_floats(w, rows, half, sizeof(float));
        out->sines[i] = reserve_floats(w, rows, half, sizeof(float));
    }
}

// Of ranks with whole experts.
static void place_expert_exchange(struct walk *w, const struct plan *plan, int rank, int rows_max,
                                  struct scratch *out)
{
    size_t nodes = 0, received = 0;
    for (int i = 0; i < plan->n_cuts && plan->n_ranks > 1; i++) {
        const struct cut *cut = &plan->cuts[i];
        if (!cut->by_experts)
            continue;
        nodes = most_floats(nodes, expert_nodes_room(plan, cut, rank, rows_max));
        received = most_floats(received, expert_received_room(plan, cut, rows_max));
    }
    out->expert_nodes = nodes ? reserve_floats(w, nodes, 1, sizeof(float)) : NULL;
    out->expert_received = received ? reserve_floats(w, received, 1, sizeof(float)) : NULL;
}

enum status scratch_place(const struct plan *plan, int world_rank, struct scratch_size size,
                          void *memory, struct scratch *out, size_t *bytes)
{
    assert(size.rows_max > 0 && size.logit_rows_max >= 0 && size.n_threads > 0);
    struct walk w = {.memory = memory};
    int stage = world_rank / plan->n_ranks;
    const struct widths widths = find_widths(plan, world_rank % plan->n_ranks, stage);
    bool keeps_first = widths.inputs && stage < plan->n_stages - 1;
    size_t rows = (size_t)size.rows_max, hidden = (size_t)plan->config.hidden_size,
           threads = (size_t)size.n_threads;
    out->kernel = reserve_floats(&w, threads, MATMUL_SCRATCH_BYTES, 1);
    out->residual = reserve_floats(&w, rows, hidden, sizeof(float));
    out->input = reserve_floats(&w, rows, widths.input, input_bytes(plan->compute));
    out->outputs = reserve_floats(&w, rows, widths.outputs, sizeof(float));
    out->query = reserve_floats(&w, rows, widths.query, input_bytes(plan->cache));
    out->nodes = reserve_floats(&w, rows, widths.nodes * hidden, sizeof(float));
    out->held = widths.held
                    ? reserve_floats(&w, rows, hidden + hidden % 2, input_bytes(plan->compute))
                    : NULL;
    out->layer_inputs =
        widths.inputs ? reserve_floats(&w, rows, widths.inputs, sizeof(float)) : NULL;
    out->first_stream = keeps_first ? reserve_floats(&w, rows, hidden, sizeof(float)) : NULL;
    place_streams_of(&w, plan, &widths, rows, out);
    out->output_gates =
        widths.output_gates ? reserve_floats(&w, rows, widths.output_gates, sizeof(float)) : NULL;
    out->squares = out->own_squares = NULL;
    if (widths.squares) {
        out->own_squares = reserve_floats(&w, rows, widths.squares, sizeof(float));
        out->squares = reserve_floats(&w, rows, widths.squares, sizeof(float));
    }
    place_latent_rows(&w, plan, &widths, rows, threads, out);
    place_index(&w, plan, &widths, rows, threads, out);
    place_context(&w, &widths.context, rows, threads, out);
    place_pairs(&w, plan, &widths, rows, threads, out);
    out->router_input = widths.router_input ? reserve_floats(&w, rows, hidden + hidden % 2,
                                                             input_bytes(plan->compute))
                                            : NULL;
    out->kept = widths.kept ? reserve_floats(&w, rows, hidden, sizeof(float)) : NULL;
    place_expert_exchange(&w, plan, world_rank % plan->n_ranks, size.rows_max, out);
    out->token_gates = widths.token_gate ? reserve_floats(&w, rows, 1, sizeof(float)) : NULL;
    out->sums = widths.sums ? reserve_floats(&w, rows, hidden, sizeof(float)) : NULL;
    out->summed = reserve_floats(&w, rows, 1, sizeof(int32_t));
    place_angles(&w, &plan->config, rows, out);
    place_exchange(&w, &widths, rows, out);
    out->logits =
        reserve_floats(&w, threads * (size_t)size.logit_rows_max, LOGIT_COLUMNS, sizeof(float));
    out->best = reserve_floats(&w, threads, (size_t)size.logit_rows_max, sizeof *out->best);
    if (w.overflow)
        return fail(ERR_INPUT,
                    "activations for %d rows and %d rows of logits do not fit into memory",
                    size.rows_max, size.logit_rows_max);
    *bytes = w.bytes;
    return OK;
}
