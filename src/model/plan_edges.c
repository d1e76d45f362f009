// The edges between the parts of the model, and what crosses them.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/plan_build.h"

enum { EDGES_MAX = 16, FLOAT_BYTES = 4 };

static const struct placement whole = {PLACE_REPLICATE, 0}, by_rows = {PLACE_SHARD, 0},
                              by_columns = {PLACE_SHARD, 1}, summand = {PLACE_PARTIAL, 0};

static uint64_t edge_width(struct range range)
{
    return (uint64_t)(range.end - range.begin);
}

// What a rank puts into each collective for one token. One rank sends nothing.
static uint64_t sum_bytes(const struct plan *plan, const struct reduction_tree *tree, int rank)
{
    if (tree->n_ranks == 1)
        return 0;
    return (uint64_t)reduction_tree_node_count(tree, rank) * (uint64_t)plan->config.hidden_size *
           FLOAT_BYTES;
}

static uint64_t embed_bytes(const struct plan *plan, int rank)
{
    uint64_t hidden = (uint64_t)plan->config.hidden_size;
    const struct rank_share *s = &plan->shares[rank];
    if (plan->n_ranks == 1 || !plan->embed_sharded)
        return 0;
    if (plan->styles.embed == TP_EMBEDDING_COLWISE)
        return edge_width(s->embed_columns) * FLOAT_BYTES;
    // The owner of a token's row sends it: on average its share of the vocabulary.
    return hidden * FLOAT_BYTES * edge_width(s->embed_vocab) / (uint64_t)plan->config.vocab_size;
}

static uint64_t qkv_bytes(const struct plan *plan, int rank)
{
    const struct rank_share *s = &plan->shares[rank];
    if (plan->n_ranks == 1 || plan->styles.qkv != TP_COLWISE_GATHER_OUTPUT)
        return 0;
    return (edge_width(s->q_rows) + 2 * edge_width(s->kv_rows)) * FLOAT_BYTES;
}

static uint64_t gate_up_bytes(const struct plan *plan, int rank)
{
    if (plan->n_ranks == 1 || plan->styles.gate_up != TP_COLWISE_GATHER_OUTPUT)
        return 0;
    return 2 * edge_width(plan->shares[rank].gate_up_rows) * FLOAT_BYTES;
}

// With sequence_parallel a normed row, rounded as the product's input, goes from its owner to all.
static uint64_t norm_bytes(const struct plan *plan, int rank)
{
    (void)rank;
    if (plan->n_ranks == 1 || !plan->residual_sharded)
        return 0;
    uint64_t item = plan->compute == COMPUTE_BF16 ? sizeof(bf16) : sizeof(float);
    return (uint64_t)plan->config.hidden_size * item / (uint64_t)plan->n_ranks;
}

static uint64_t o_bytes(const struct plan *plan, int rank)
{
    return sum_bytes(plan, &plan->attention_tree, rank);
}

static uint64_t down_bytes(const struct plan *plan, int rank)
{
    return sum_bytes(plan, &plan->mlp_tree, rank);
}

static uint64_t logit_bytes(const struct plan *plan, int rank)
{
    return plan->n_ranks > 1 && plan->lm_head_sharded
               ? edge_width(plan->shares[rank].vocab) * FLOAT_BYTES
               : 0;
}

static uint64_t none(const struct plan *plan, int rank)
{
    (void)plan;
    (void)rank;
    return 0;
}

static enum status add_edge_sum(struct plan *plan, const char *name, bool per_layer,
                                struct placement have, struct placement need,
                                uint64_t (*bytes)(const struct plan *plan, int rank))
{
    assert(plan->n_edges < EDGES_MAX);
    struct plan_edge *edge = &plan->edges[plan->n_edges++];
    snprintf(edge->name, sizeof edge->name, "%s", name);
    edge->have = have;
    edge->need = need;
    edge->per_layer = per_layer;
    for (int rank = 0; rank < plan->n_ranks; rank++)
        edge->bytes_per_token =
            bytes(plan, rank) > edge->bytes_per_token ? bytes(plan, rank) : edge->bytes_per_token;
    return placement_action(have, need, &edge->action);
}

// From a column-parallel product over an element-wise operation to a row-parallel one.
static enum status add_middle(struct plan *plan, const char *const *names, enum tp_style out,
                              enum tp_style in,
                              uint64_t (*gathered)(const struct plan *plan, int rank),
                              uint64_t (*summed)(const struct plan *plan, int rank))
{
    bool split = out == TP_COLWISE, summing = style_is_rowwise(in);
    struct placement residual = plan->residual_sharded ? by_rows : whole;
    struct placement made = style_is_colwise(out) ? by_columns : whole;
    TRY(add_edge_sum(plan, names[0], true, made, split ? by_columns : whole, gathered));
    TRY(add_edge_sum(plan, names[1], true, split ? by_columns : whole, summing ? by_columns : whole,
                     none));
    return add_edge_sum(plan, names[2], true, summing ? summand : whole, residual, summed);
}

enum status plan_list_edges(struct plan *plan)
{
    static const char *const attention[] = {"q,k,v -> attention", "attention -> o_proj",
                                            "o_proj -> residual"};
    static const char *const mlp[] = {"gate,up -> activation", "activation -> down_proj",
                                      "down_proj -> residual"};
    const struct plan_styles *s = &plan->styles;
    struct placement normed = plan->residual_sharded ? by_rows : whole;
    TRY(arena_take(&plan->arena, EDGES_MAX, sizeof *plan->edges, &plan->edges));
    memset(plan->edges, 0, EDGES_MAX * sizeof *plan->edges);
    // A looked-up row is with the rank that owns the token's part of the vocabulary: rows, not
    // summands. HuggingFace sums zeros to it; gathering sends each row once and keeps even the sign
    // of a zero.
    TRY(add_edge_sum(plan, "embed_tokens -> residual", false,
                     s->embed == TP_EMBEDDING_ROWWISE   ? by_rows
                     : s->embed == TP_EMBEDDING_COLWISE ? by_columns
                                                        : whole,
                     whole, embed_bytes));
    TRY(add_edge_sum(plan, "input_layernorm -> q,k,v", true, normed, whole, norm_bytes));
    TRY(add_middle(plan, attention, s->qkv, s->o, qkv_bytes, o_bytes));
    TRY(add_edge_sum(plan, "post_attention_layernorm -> gate,up", true, normed, whole, norm_bytes));
    TRY(add_middle(plan, mlp, s->gate_up, s->down, gate_up_bytes, down_bytes));
    TRY(add_edge_sum(plan, "norm -> lm_head", false, normed, whole, norm_bytes));
    return add_edge_sum(plan, "lm_head -> logits", false,
                        plan->lm_head_sharded ? by_columns : whole, whole, logit_bytes);
}

uint64_t plan_bytes_sent_per_token(const struct plan *plan, int rank)
{
    assert(rank >= 0 && rank < plan->n_ranks);
    uint64_t layer = qkv_bytes(plan, rank) + o_bytes(plan, rank) + gate_up_bytes(plan, rank) +
                     down_bytes(plan, rank) + 2 * norm_bytes(plan, rank);
    return embed_bytes(plan, rank) + norm_bytes(plan, rank) +
           layer * (uint64_t)plan->config.num_hidden_layers + logit_bytes(plan, rank);
}
