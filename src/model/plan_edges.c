// The edges between the parts of the model, and what crosses them.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/expert_exchange.h"
#include "model/plan_build.h"

enum { EDGES_OF_CUT = 5, EDGES_OUTSIDE = 4, FLOAT_BYTES = 4 };

static const struct placement whole = {PLACE_REPLICATE, 0}, by_rows = {PLACE_SHARD, 0},
                              by_columns = {PLACE_SHARD, 1}, summand = {PLACE_PARTIAL, 0};

// What a rank puts into each collective for one token: of a cut, or (NULL) outside the layers. One
// rank sends nothing.
typedef uint64_t count_bytes(const struct plan *plan, const struct cut *cut, int rank);

static uint64_t edge_width(struct range range)
{
    return (uint64_t)(range.end - range.begin);
}

static uint64_t embed_bytes(const struct plan *plan, const struct cut *cut, int rank)
{
    uint64_t hidden = (uint64_t)plan->config.hidden_size;
    const struct range *dims = plan->shares[rank].dims;
    assert(!cut);
    if (plan->n_ranks == 1 || !plan->embed_sharded)
        return 0;
    if (plan->embed == TP_EMBEDDING_COLWISE)
        return edge_width(dims[DIM_EMBED_COLUMNS]) * FLOAT_BYTES;
    // The owner of a token's row sends it: on average its share of the vocabulary.
    return hidden * FLOAT_BYTES * edge_width(dims[DIM_EMBED_ROWS]) /
           (uint64_t)plan->config.vocab_size;
}

// As of the embedding, for these layers.
static uint64_t table_bytes_of(const struct plan *plan, int rank, struct range layers)
{
    const struct layer_inputs_config *inputs = &plan->config.layer_inputs;
    if (plan->n_ranks == 1 || !plan->table_sharded || !inputs->size)
        return 0;
    return edge_width(layers) * (uint64_t)inputs->size * FLOAT_BYTES *
           edge_width(plan->shares[rank].dims[DIM_INPUTS_ROWS]) / (uint64_t)inputs->vocab_size;
}

static uint64_t table_bytes(const struct plan *plan, const struct cut *cut, int rank)
{
    assert(!cut);
    return table_bytes_of(plan, rank, (struct range){0, plan->config.num_hidden_layers});
}

static uint64_t gathered_bytes(const struct plan *plan, const struct cut *cut, int rank)
{
    const struct range *dims = cut->shares[rank].dims;
    uint64_t sum = 0;
    if (mix_has_state(cut->sublayer->kind))
        return 0;
    if (cut->sublayer->kind == MIX_MLP && cut_gathers(plan, cut))
        return (cut->sublayer->mlp.gated ? 2 : 1) * edge_width(dims[DIM_MLP]) * FLOAT_BYTES;
    if (cut_gathers(plan, cut)) // where one is gathered, all go along
        sum = edge_width(dims[DIM_QUERY]) + edge_width(dims[DIM_KEY]) + edge_width(dims[DIM_VALUE]);
    return sum * FLOAT_BYTES;
}

static bool gathers_squares(const struct plan *plan, const struct cut *cut)
{
    if (cut->sublayer->kind == MIX_MAMBA)
        return plan_shares_groups(plan, cut);
    return cut->sublayer->kind == MIX_ATTENTION && cut->sharded && plan->n_ranks > 1 &&
           cut->sublayer->attention.qk_norm_width == QK_NORM_WHOLE;
}

// Of a norm over all heads: one number for each head that a rank has for its own.
static uint64_t squares_bytes(const struct plan *plan, const struct cut *cut, int rank)
{
    const struct range *dims = cut->shares[rank].dims;
    if (!gathers_squares(plan, cut))
        return 0;
    if (cut->sublayer->kind == MIX_MAMBA)
        return edge_width(dims[DIM_MAMBA_HEADS]) * FLOAT_BYTES;
    return (edge_width(dims[DIM_HEADS]) + edge_width(dims[DIM_OWN_KEY_HEADS])) * FLOAT_BYTES;
}

static bool gathers_spreads(const struct plan *plan, const struct cut *cut)
{
    return cut->sublayer->kind == MIX_MLP && cut->sharded && plan->n_ranks > 1 &&
           cut->sublayer->mlp.sparse;
}

// Of a gate with sparse activations: two numbers for each of the rank's leaves.
static uint64_t spread_bytes(const struct plan *plan, const struct cut *cut, int rank)
{
    if (!gathers_spreads(plan, cut))
        return 0;
    return 2 * edge_width(cut->shares[rank].dims[DIM_LEAVES]) * FLOAT_BYTES;
}

static bool sums_latents(const struct cut *cut)
{
    return cut->sublayer->kind == MIX_EXPERTS && cut->sublayer->experts.latent_size;
}

static uint64_t sum_bytes(const struct plan *plan, const struct cut *cut, int rank)
{
    const uint64_t width = sums_latents(cut) ? (uint64_t)cut->sublayer->experts.latent_size
                                             : (uint64_t)plan->config.hidden_size;
    if (cut->by_experts && plan->n_ranks > 1) // of each leaf
        return (uint64_t)expert_sums_of(cut, rank) * width * FLOAT_BYTES;
    if (cut->tree.n_ranks == 1)
        return 0;
    return (uint64_t)reduction_tree_node_count(&cut->tree, rank) * width * FLOAT_BYTES;
}

// With sequence_parallel a normed row, rounded as the product's input, goes from its owner to all.
static uint64_t norm_bytes(const struct plan *plan, const struct cut *cut, int rank)
{
    (void)cut;
    (void)rank;
    if (plan->n_ranks == 1 || !plan->residual_sharded)
        return 0;
    uint64_t item = plan->compute == COMPUTE_BF16 ? sizeof(bf16) : sizeof(float);
    return (uint64_t)plan->config.hidden_size * item / (uint64_t)plan->n_ranks;
}

static uint64_t logit_bytes(const struct plan *plan, const struct cut *cut, int rank)
{
    assert(!cut);
    return plan->n_ranks > 1 && plan->lm_head_sharded
               ? edge_width(plan->shares[rank].dims[DIM_VOCAB]) * FLOAT_BYTES
               : 0;
}

static uint64_t no_bytes(const struct plan *plan, const struct cut *cut, int rank)
{
    (void)plan;
    (void)cut;
    (void)rank;
    return 0;
}

// How many sublayers of the model are cut so.
static int count_sublayers(const struct plan *plan, const struct cut *cut)
{
    int n = 0;
    for (int layer = 0; layer < plan->config.num_hidden_layers; layer++)
        for (int i = 0; i < model_config_layer(&plan->config, layer)->n_sublayers; i++)
            n += plan_cut_of(plan, layer, i) == cut;
    return n;
}

// ... and whose sum goes with that of the sublayer before it.
static int count_joined(const struct plan *plan, const struct cut *cut)
{
    int n = 0;
    for (int layer = 0; layer < plan->config.num_hidden_layers; layer++)
        n += cut->place > 0 && cut->place < model_config_layer(&plan->config, layer)->n_sublayers &&
             plan_cut_of(plan, layer, cut->place) == cut &&
             plan_joins_next(plan, layer, cut->place - 1);
    return n;
}

static enum status add_edge(struct plan *plan, enum edge_place place, const struct cut *cut,
                            const char *name, struct placement have, struct placement need,
                            count_bytes *bytes)
{
    struct plan_edge *edge = &plan->edges[plan->n_edges++];
    snprintf(edge->name, sizeof edge->name, "%s", name);
    edge->place = place;
    edge->cut = cut;
    edge->n_times = cut ? count_sublayers(plan, cut) : 1;
    edge->have = have;
    edge->need = need;
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        uint64_t sent = bytes(plan, cut, rank);
        edge->bytes_per_token = sent > edge->bytes_per_token ? sent : edge->bytes_per_token;
    }
    return placement_action(have, need, &edge->action);
}

// "input_layernorm -> q,k,v", by the family's name for the slot.
static void name_edge(const struct plan *plan, int place, enum slot slot, const char *rest,
                      char *out, size_t room)
{
    const struct parameter_row *row = family_row(plan->config.family, place, slot, false);
    char label[40] = "residual";
    if (row)
        family_row_label(row, label, sizeof label);
    snprintf(out, room, "%s -> %s", label, rest);
}

// From the residual stream over a column-parallel product, an operation on its outputs and a
// row-parallel product back to the stream.
static enum status add_state_sublayer(struct plan *plan, const struct cut *cut)
{
    const bool conv = cut->sublayer->kind == MIX_CONVOLUTION, summing = style_is_rowwise(cut->out);
    static const enum slot out_slots[] = {[MIX_MAMBA] = SLOT_MAMBA_OUT,
                                          [MIX_CONVOLUTION] = SLOT_CONVOLUTION_OUT,
                                          [MIX_DELTA] = SLOT_DELTA_OUT};
    struct placement residual = plan->residual_sharded ? by_rows : whole,
                     met = cut->sharded ? by_columns : whole;
    char name[64];
    name_edge(plan, cut->sublayer->same_input ? cut->place - 1 : cut->place, SLOT_BEFORE_NORM,
              "in_proj", name, sizeof name);
    TRY(add_edge(plan, EDGE_OF_OUTPUTS, cut, name, residual, whole, norm_bytes));
    TRY(add_edge(plan, EDGE_OF_MIX, cut, conv ? "in_proj -> convolution" : "in_proj -> states", met,
                 met, no_bytes));
    if (gathers_squares(plan, cut))
        TRY(add_edge(plan, EDGE_OF_MIX, cut, "squares of heads -> their groups' norm", by_columns,
                     whole, squares_bytes));
    TRY(add_edge(plan, EDGE_OF_INPUTS, cut, conv ? "convolution -> out_proj" : "states -> out_proj",
                 met, summing ? by_columns : whole, no_bytes));
    name_edge(plan, cut->place, out_slots[cut->sublayer->kind], "residual", name, sizeof name);
    TRY(add_edge(plan, EDGE_OF_SUM, cut, name, summing ? summand : whole, residual, sum_bytes));
    plan->edges[plan->n_edges - 1].n_joined = count_joined(plan, cut);
    return OK;
}

// What a sublayer projects the stream to, and what of that goes on.
struct edge_names {
    const char *projections, *mix;
};

static struct edge_names names_of_attention(const struct attention_config *a)
{
    if (!a->latent.kv_rank)
        return (struct edge_names){"q,k,v", "q,k,v -> attention"};
    if (!a->latent.q_rank)
        return (struct edge_names){"q,kv_a", "q,kv_a -> attention"};
    return (struct edge_names){"q_a,kv_a", "q_b,kv_a -> attention"};
}

static enum status add_sublayer(struct plan *plan, const struct cut *cut)
{
    if (mix_has_state(cut->sublayer->kind))
        return add_state_sublayer(plan, cut);
    bool attends = cut->sublayer->kind == MIX_ATTENTION,
         chooses = cut->sublayer->kind == MIX_EXPERTS, summing = style_is_rowwise(cut->out);
    bool gathers = cut_gathers(plan, cut);
    enum tp_style out = attends ? cut->query : cut->gate_up;
    struct placement residual = plan->residual_sharded ? by_rows : whole;
    struct placement made = style_is_colwise(out) || gathers ? by_columns : whole;
    struct placement met = cut->sharded ? by_columns : whole;
    const struct edge_names attention = names_of_attention(&cut->sublayer->attention);
    char name[64];
    name_edge(plan, cut->sublayer->same_input ? cut->place - 1 : cut->place, SLOT_BEFORE_NORM,
              attends   ? attention.projections
              : chooses ? "router and experts"
                        : "gate,up",
              name, sizeof name);
    TRY(add_edge(plan, EDGE_OF_OUTPUTS, cut, name, residual, whole, norm_bytes));
    // where one is gathered, all are, and each rank takes its heads of it
    TRY(add_edge(plan, EDGE_OF_MIX, cut,
                 attends   ? attention.mix
                 : chooses ? "experts' gate,up -> activation"
                           : "gate,up -> activation",
                 made, gathers ? whole : met, gathered_bytes));
    if (gathers_squares(plan, cut))
        TRY(add_edge(plan, EDGE_OF_MIX, cut, "squares of q,k -> their norms", by_columns, whole,
                     squares_bytes));
    if (gathers_spreads(plan, cut))
        TRY(add_edge(plan, EDGE_OF_MIX, cut, "spreads of gate -> its cutoff", by_columns, whole,
                     spread_bytes));
    TRY(add_edge(plan, EDGE_OF_INPUTS, cut,
                 attends   ? "attention -> o_proj"
                 : chooses ? "activation -> experts' down_proj"
                           : "activation -> down_proj",
                 met, summing ? by_columns : whole, no_bytes));
    name_edge(plan, cut->place,
              attends   ? SLOT_ATTENDED
              : chooses ? SLOT_EXPERT_DOWN
                        : SLOT_DOWN,
              sums_latents(cut) ? "fc2_latent_proj" : "residual", name, sizeof name);
    TRY(add_edge(plan, EDGE_OF_SUM, cut, name, summing || cut->by_experts ? summand : whole,
                 sums_latents(cut) ? whole : residual, sum_bytes));
    plan->edges[plan->n_edges - 1].n_joined = count_joined(plan, cut);
    return OK;
}

enum status plan_list_edges(struct plan *plan)
{
    struct placement normed = plan->residual_sharded ? by_rows : whole;
    size_t most = EDGES_OUTSIDE + (size_t)plan->n_cuts * EDGES_OF_CUT;
    char name[64];
    TRY(arena_take(&plan->arena, most, sizeof *plan->edges, &plan->edges));
    memset(plan->edges, 0, most * sizeof *plan->edges);
    // A looked-up row is with the rank that owns the token's part of the vocabulary: rows, not
    // summands. HuggingFace sums zeros to it; gathering sends each row once and keeps even the sign
    // of a zero.
    name_edge(plan, -1, SLOT_EMBED, "residual", name, sizeof name);
    TRY(add_edge(plan, EDGE_OF_EMBED, NULL, name,
                 plan->embed == TP_EMBEDDING_ROWWISE   ? by_rows
                 : plan->embed == TP_EMBEDDING_COLWISE ? by_columns
                                                       : whole,
                 whole, embed_bytes));
    name_edge(plan, -1, SLOT_INPUTS_TABLE, "inputs of layers", name, sizeof name);
    if (plan->config.layer_inputs.size)
        TRY(add_edge(plan, EDGE_OF_TABLE, NULL, name, plan->table_sharded ? by_rows : whole, whole,
                     table_bytes));
    for (int i = 0; i < plan->n_cuts; i++)
        TRY(add_sublayer(plan, &plan->cuts[i]));
    name_edge(plan, -1, SLOT_FINAL_NORM, "lm_head", name, sizeof name);
    TRY(add_edge(plan, EDGE_OF_LM_HEAD, NULL, name, normed, whole, norm_bytes));
    name_edge(plan, -1, SLOT_LM_HEAD, "logits", name, sizeof name);
    TRY(add_edge(plan, EDGE_OF_LOGITS, NULL, name, plan->lm_head_sharded ? by_columns : whole,
                 whole, logit_bytes));
    assert((size_t)plan->n_edges <= most);
    return OK;
}

int plan_collectives(const struct plan *plan, int *in_layers)
{
    int n = 0;
    *in_layers = 0;
    for (int i = 0; i < plan->n_edges && plan->n_ranks > 1; i++) {
        const struct plan_edge *edge = &plan->edges[i];
        int times = edge->n_times - edge->n_joined;
        // logits are written into the board, where the front-end reads them
        if (edge->action == EDGE_NOTHING || edge->action == EDGE_SLICE || !edge->bytes_per_token ||
            edge->place == EDGE_OF_LOGITS)
            continue;
        n += times;
        *in_layers += edge->cut ? times : 0;
    }
    return n;
}

// The stream goes on to the next stage, or all streams, and its first value where layers have
// inputs beside it.
static uint64_t stage_bytes(const struct plan *plan, int stage)
{
    uint64_t row = (uint64_t)plan->config.hidden_size * FLOAT_BYTES;
    if (stage == plan->n_stages - 1)
        return 0;
    uint64_t streams = plan->config.altup.num_inputs ? (uint64_t)plan->config.altup.num_inputs : 1;
    return (plan->residual_sharded ? row / (uint64_t)plan->n_ranks : row) * streams +
           (plan->config.layer_inputs.size ? row : 0);
}

uint64_t plan_bytes_sent_per_token(const struct plan *plan, int world_rank)
{
    assert(world_rank >= 0 && world_rank < plan_world_size(plan));
    int rank = world_rank % plan->n_ranks, stage = world_rank / plan->n_ranks;
    const struct range layers = plan_stage_layers(plan, stage);
    uint64_t sent = stage_bytes(plan, stage) + table_bytes_of(plan, rank, layers);
    if (stage == 0)
        sent += embed_bytes(plan, NULL, rank);
    if (stage == plan->n_stages - 1)
        sent += norm_bytes(plan, NULL, rank) + logit_bytes(plan, NULL, rank);
    for (int layer = layers.begin; layer < layers.end; layer++)
        for (int i = 0; i < model_config_layer(&plan->config, layer)->n_sublayers; i++) {
            const struct cut *cut = plan_cut_of(plan, layer, i);
            sent += norm_bytes(plan, cut, rank) + gathered_bytes(plan, cut, rank) +
                    squares_bytes(plan, cut, rank) + spread_bytes(plan, cut, rank) +
                    sum_bytes(plan, cut, rank);
        }
    return sent;
}
