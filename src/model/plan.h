// The sharding plan of a model on a group: compiled once from config, tp_plan and the number of
// ranks; printed by `colrow plan`, executed by model/.
#ifndef COLROW_MODEL_PLAN_H
#define COLROW_MODEL_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "comm/reduction_tree.h"
#include "device/number.h"
#include "hf/checkpoint.h"
#include "hf/tp_plan_rules.h"
#include "hf/weight_recipe.h"
#include "model/family.h"
#include "model/kv_layout.h"
#include "model/placement.h"
#include "model/slot.h"

enum { REDUCTION_LEAVES_DEFAULT = 8, CUTS_MAX = LAYER_KINDS_MAX * SUBLAYERS_MAX };

// How weights are quantised as they are loaded: round to nearest, symmetric, a scale in bf16 for
// each row and group of columns.
enum {
    QUANTIZATION_GROUP_DEFAULT = 128,
    QUANTIZATION_GROUP_UNIT = 32,
    QUANTIZATION_GROUP_MAX = 1024,
};
struct quantization {
    int bits;         // 8 or 4; 0: not
    int lm_head_bits; // of lm_head; 0: it is not
    int group;
};
// Of options as users write them; NULL and 0: none, the defaults. lm_head is int8 unless it is
// said.
enum status quantization_parse(const char *name, int group_size, const char *lm_head,
                               struct quantization *out) STATUS_MUST_USE;
// "int4-g128-lm_head-int8", or "none"
void quantization_show(const struct quantization *q, char *out, size_t room);
enum { QUANTIZATION_TEXT = 64 };

struct plan_options {
    int n_ranks;  // of a stage: tensor-parallel size
    int n_stages; // pipeline-parallel size; 0: 1
    // "16,16": layers of each stage; NULL: evenly
    const char *layer_partition, *layer_partition_name; // ... and who says so, for messages
    int reduction_leaves;                               // 0: REDUCTION_LEAVES_DEFAULT
    enum compute_type compute;                          // resolved dtype
    bool expert_parallel; // ranks have whole experts, not leaves of each
    // ... groups of so many ranks together, each rank leaves of its group's; 0: each rank by itself
    int expert_parallel_size;
    // Groups of so many ranks divide the cache of latent attention by position among themselves; 0:
    // each rank has all of it
    int context_ranks;
    enum kv_cache kv_cache; // what keys and values are kept as
    struct quantization quantization;
    const struct tp_plan_rules *rules; // NULL: colrow's default
    // What no rule names is replicated. False: it keeps colrow's default, over which the rules lie.
    bool rules_replace;
    // What it stores decides whether the embeddings are tied; NULL: config.json alone does.
    const struct checkpoint *checkpoint;
    bool head_is_embed; // what plan_head_is_embed() found
};

// Half-open ranges of what a rank holds. Replicated parts are [0, all).
struct range {
    int32_t begin, end;
};

// A rank's share of one cut, or of what lies outside the layers.
struct share {
    struct range heads; // query heads that it attends
    // KV heads it computes and caches (shared with neighbours when a group is split)
    struct range kv_heads;
    struct range leaves;
    // Rows and columns of weights. They follow from the above except where a style gathers its
    // output or splits its input.
    struct range dims[DIMS];
};

// How sublayers of one kind and size are cut. Sublayers of many layers share it.
struct cut {
    const struct sublayer_config *sublayer; // in plan.config: the first of them
    int place;                              // which sublayer of a layer it is
    bool sharded; // a rank caches and attends to its own heads only, or activates its own columns
    // of the projections before it and of the product after it: TP_REPLICATE without a rule
    enum tp_style query, key, value, gate_up, out;
    int32_t width;        // k of the product after it, rounded up to a pair (numerics section 4)
    int32_t *leaf_bounds; // [leaves + 1], in that k (elements)
    struct reduction_tree tree; // of one rank where that product is whole on each
    // Each group of ranks has some of the experts, each of its ranks some of the leaves of these
    bool by_experts;
    struct reduction_tree expert_tree; // of all experts (numerics section 11), among groups, then
    struct reduction_tree leaf_tree;   // `tree` among the ranks of a group, then
    struct share *shares;              // [n_ranks]
};

// One parameter as `colrow plan` shows it.
struct plan_parameter {
    char name[160];      // with a star for the number of a head or of a stream, each of which has a
                         // tensor
    enum tp_style style; // TP_NONE: no rule names it, replicated
    const char *rule;    // the pattern that says so; NULL: none
    struct placement placement;
    // In the checkpoint, as config.json has it; ELEMENT_NONE when it is not there (tied lm_head).
    enum element_type stored;
    double bits; // of each number there, as config.json has it
    // As the checkpoint of plan_options has it, the first of n_tensors; NULL: numbers as they are,
    // or there was no checkpoint
    const struct stored_weight *recipe;
    int64_t rows, columns;   // columns 1 for vectors
    bool is_bias, is_vector; // a bias that the checkpoint lacks is zero
    int8_t sublayer;         // of its layer; -1: outside the layers
    int n_tensors;           // more than one: of each head or stream one, their rows one behind the
                             // other; or of each expert
    int n_parts;             // more than one: fused, their rows one behind the other
    int32_t n_heads;         // not 0: fused by head, of so many some rows of each part in turn
    bool transposed;         // [experts, columns, rows], where they are numbers
    // not 0: there are so many, each of `rows` and `columns`, in n_tensors or all in one
    int32_t n_experts, n_chosen; // by a token
    enum slot slots[FUSED_MAX];
    int32_t part_rows[FUSED_MAX + 1]; // where each begins; the last one is `rows`
    // Which rows and columns: [n_ranks * n_parts], [n_ranks]; out of the plan's arena. Rows count
    // from the tensor's first, as if parts lay one behind the other: plan_rows_of(),
    // plan_has_row().
    const struct range *rank_rows, *rank_columns;
    const struct range *rank_experts; // which experts: [n_ranks]; NULL: of none
};

enum edge_place {
    EDGE_OF_EMBED,   // embedding -> residual
    EDGE_OF_TABLE,   // table -> inputs of layers
    EDGE_OF_OUTPUTS, // norm -> column-parallel products
    EDGE_OF_MIX,     // those -> attention or activation
    EDGE_OF_INPUTS,  // that -> row-parallel product
    EDGE_OF_SUM,     // that -> residual
    EDGE_OF_LM_HEAD, // norm -> lm_head
    EDGE_OF_LOGITS,  // lm_head -> logits
};

struct plan {
    struct arena arena;
    struct model_config config;
    enum compute_type compute;
    enum compute_type cache; // of attention's products, and of the KV cache unless it has codes
    enum kv_codes kv_codes;
    struct quantization quantization;
    int n_ranks; // of each stage; struct share and the like are by a rank's number in its stage
    int n_stages;
    int32_t first_layer[COMM_RANKS_MAX + 1]; // [n_stages + 1] of each stage
    int reduction_leaves;
    enum tp_style embed, norms, lm_head; // TP_REPLICATE where no rule says otherwise
    bool expert_parallel;
    int expert_parallel_size; // as in plan_options
    int context_ranks;        // among which a page lies on one; 1: on each
    bool residual_sharded;    // sequence_parallel: between blocks a rank has some of the tokens
    bool lm_head_sharded, embed_sharded;
    bool table_sharded;    // of the inputs of layers: a rank has some of the rows
    bool lm_head_is_embed; // tied and cut alike: one matrix in memory
    bool is_untied;        // config.json ties, but the checkpoint stores both; `config` says no
    bool head_is_repeated; // ... with the same bits: `config` says yes, and one copy is loaded
    struct share *shares;  // [n_ranks], outside the layers: of the vocabulary
    struct kv_layout kv;
    int n_cuts;
    struct cut *cuts;
    uint8_t cut_of[LAYER_KINDS_MAX][SUBLAYERS_MAX]; // of each kind's sublayers
    // The sublayer's sum goes through the all-reduce of the one beside it, which is the next.
    bool joins_next[LAYER_KINDS_MAX][SUBLAYERS_MAX];
    struct plan_parameter *parameters;
    int n_parameters;
    int32_t *first_of_layer; // [num_hidden_layers + 1] in `parameters`
    // Where the styles come from: a file's name; NULL: all are colrow's own.
    const char *rules_source;
    bool rules_replace;
    // Rules that name what Transformers' models of this family have, and this one has not.
    const char **idle_rules;
    int n_idle_rules;
    // Of the sublayers, each way of cutting once, and those before and after the layers, with their
    // actions, for printing: "o_proj -> residual: all-reduce"
    struct plan_edge {
        char name[64];
        enum edge_place place;
        const struct cut *cut; // NULL: outside the layers
        int n_times;           // in a step: sublayers that are cut so, or 1
        int n_joined;          // of these, in the all-reduce of the sublayer beside it
        struct placement have, need;
        enum edge_action action;
        uint64_t bytes_per_token; // sent by the rank that sends most, each time
    } * edges;
    int n_edges;
};

// Refuses, with a sentence that says why and lists the valid sizes, a rank count without work for
// each rank; a rule that matches nothing; rules that contradict the edges.
enum status plan_compile(const struct model_config *config, const struct plan_options *options,
                         struct plan **out) STATUS_MUST_USE;
void plan_free(struct plan *plan); // accepts NULL

// Of the whole group: rank `world_rank` is number world_rank % n_ranks of stage world_rank /
// n_ranks.
static inline int plan_world_size(const struct plan *plan)
{
    return plan->n_ranks * plan->n_stages;
}
// Of the context_ranks adjacent ranks that have a page together, the number of `rank`: it has page
// p where that is p % context_ranks, as its own page p / context_ranks.
static inline int plan_context_rank(const struct plan *plan, int rank)
{
    return rank % plan->context_ranks;
}
static inline struct range plan_stage_layers(const struct plan *plan, int stage)
{
    return (struct range){plan->first_layer[stage], plan->first_layer[stage + 1]};
}
// The partition that COLROW_PP_LAYER_PARTITION or vLLM's variable names, and which of them; NULL:
// none.
const char *plan_partition_of_environment(const char **name);
static inline const struct cut *plan_cut_of(const struct plan *plan, int layer, int sublayer)
{
    return &plan->cuts[plan->cut_of[plan->config.layer_kind[layer]][sublayer]];
}
static inline bool plan_joins_next(const struct plan *plan, int layer, int sublayer)
{
    return plan->joins_next[plan->config.layer_kind[layer]][sublayer];
}
// Messages of a step that every rank waits for; those of its layers among them. 0 with one rank.
int plan_collectives(const struct plan *plan, int *in_layers);
// Whether each rank's columns of the cut's projections go to all ranks.
static inline bool cut_gathers(const struct plan *plan, const struct cut *cut)
{
    return plan->n_ranks > 1 &&
           (cut->query == TP_COLWISE_GATHER_OUTPUT || cut->key == TP_COLWISE_GATHER_OUTPUT ||
            cut->value == TP_COLWISE_GATHER_OUTPUT || cut->gate_up == TP_COLWISE_GATHER_OUTPUT);
}
// Of Mamba: whether the norm over a group's heads needs the squares of other ranks' heads.
bool plan_shares_groups(const struct plan *plan, const struct cut *cut);
// Of a parameter that is fused by head: rows of a part for each.
static inline int32_t plan_head_rows(const struct plan_parameter *p, int part)
{
    return (p->part_rows[part + 1] - p->part_rows[part]) / p->n_heads;
}
// Whether a rank has a row, by its place in the tensor. Of parameters that are one tensor.
bool plan_has_row(const struct plan_parameter *p, int rank, int64_t row);
// Rows of each of a parameter's n_tensors; where one holds all experts, of each of these.
int64_t plan_tensor_rows(const struct plan_parameter *p);
// The name of one of a parameter's n_tensors.
void plan_tensor_name(const struct plan_parameter *p, int number, char *out, size_t room);
// Every parameter is in the checkpoint with the right shape and a type that colrow reads; nothing
// is read. Says what is unusual.
enum status plan_check_checkpoint(const struct plan *plan,
                                  const struct checkpoint *checkpoint) STATUS_MUST_USE;

// Whether config.json ties the embeddings and the checkpoint stores lm_head all the same, with the
// bits of the embedding: then one copy serves both. Reads both to the first difference, which for
// weights that differ is their first megabyte; ask once and tell all ranks.
enum status plan_head_is_embed(const struct model_config *config,
                               const struct checkpoint *checkpoint, bool *out) STATUS_MUST_USE;
// Some of its layers keep a state of each sequence (docs/numerics.md section 12).
bool plan_keeps_states(const struct model_config *config);
// The most stages that its layers can be split into.
int plan_stages_max(const struct model_config *config);
// Whether the model's keys and values can be kept as the options have it; plan_compile() asks too.
enum status plan_check_cache(const struct model_config *config,
                             const struct plan_options *options) STATUS_MUST_USE;
// Rank counts that plan_compile() accepts, ascending; returns their number (at most `max`).
int plan_valid_sizes(const struct model_config *config, const struct plan_options *options,
                     int *sizes, int max);

// The leaves that so many ranks need, where the options' do not suffice but more would; 0: there is
// no need, or no use.
int plan_leaves_needed(const struct model_config *config, const struct plan_options *options);
// As Transformers counts a model's parameters: each once, also where two tie, and no buffers.
int64_t plan_count_parameters(const struct plan *plan);
// Those that one token's computation has a use for: of experts the chosen ones.
int64_t plan_count_active(const struct plan *plan);

// What the plan predicts for a rank. Activations are for `rows_max` batch rows. `checkpoint` NULL:
// all parameters have the type that config.json names.
struct plan_memory {
    uint64_t weight_bytes;       // packed, in memory
    uint64_t file_bytes;         // to be read from the checkpoint
    uint64_t kv_bytes_per_token; // while all layers keep it
    // of each page, of which a token has one for each group. Of pages that ranks divide among
    // themselves both are the rank's part, rounded up
    uint64_t kv_page_bytes;
    uint64_t state_bytes; // of a sequence, whatever its length
    uint64_t scratch_bytes;
};
enum status plan_memory(const struct plan *plan, const struct checkpoint *checkpoint,
                        int world_rank, int rows_max, int logits_rows_max, int n_threads,
                        struct plan_memory *out) STATUS_MUST_USE;
uint64_t plan_bytes_sent_per_token(const struct plan *plan, int world_rank);
// How many of the experts `batch` tokens choose among them when each chooses as if by lot:
// expected.
double plan_experts_touched(int num_experts, int num_experts_per_tok, int batch);
// Bits of a parameter's weights in memory where they are quantised as they are loaded; 0: not.
int plan_quantised_bits(const struct plan *plan, const struct plan_parameter *p);
// Bytes of one of its numbers in memory.
double plan_weight_bytes(const struct plan *plan, const struct plan_parameter *p);
// Bytes of weights that a rank reads in a step in which so many sequences get a token each; of
// experts as many as are touched. The KV cache is not among them.
double plan_bytes_read(const struct plan *plan, int world_rank, int batch);

#endif
