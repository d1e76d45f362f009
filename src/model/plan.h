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
#include "hf/model_config.h"
#include "hf/tp_plan_rules.h"
#include "model/placement.h"

enum { REDUCTION_LEAVES_DEFAULT = 8 };

struct plan_options {
    int n_ranks;
    int reduction_leaves;              // 0: REDUCTION_LEAVES_DEFAULT
    enum compute_type compute;         // resolved dtype
    bool f32_cache;                    // keys and values in f32, whatever `compute` is
    const struct tp_plan_rules *rules; // NULL: the family's default
    // What it stores decides whether the embeddings are tied; NULL: config.json alone does.
    const struct checkpoint *checkpoint;
    bool head_is_embed; // what plan_head_is_embed() found
};

// Half-open ranges of what a rank holds. Replicated parts are [0, all).
struct range {
    int32_t begin, end;
};
struct rank_share {
    struct range heads; // query heads
    // KV heads it computes and caches (shared with neighbours when a group is split)
    struct range kv_heads;
    struct range attention_leaves;
    struct range intermediate; // MLP columns
    struct range mlp_leaves;
    struct range vocab;       // rows of lm_head
    struct range embed_vocab; // rows of the embedding (equal to vocab when tied and sharded)
    // Rows and columns of the weights. They follow from the above except where a style gathers its
    // output or splits its input.
    struct range q_rows, kv_rows; // of q_proj; of k_proj and v_proj each
    struct range o_columns;       // of o_proj
    struct range gate_up_rows;    // of gate_proj and up_proj each
    struct range embed_columns;   // of the embedding
};

// What the forward pass follows: one style for each group of parameters that lie on the same edges.
struct plan_styles {
    enum tp_style embed, norms, qkv, o, gate_up, down,
        lm_head; // TP_REPLICATE where no rule says otherwise
};

// One parameter as `colrow plan` shows it.
struct plan_parameter {
    char name[160];
    enum tp_style style; // TP_NONE: no rule names it, replicated
    struct placement placement;
    enum element_type stored; // in the checkpoint; ELEMENT_NONE when it is not there (tied lm_head)
    int64_t rows, columns;    // columns 1 for vectors
    bool is_bias, is_vector;  // a bias that the checkpoint lacks is zero
    // of each rank: which rows and columns; out of the plan's arena
    struct range *rank_rows, *rank_columns;
};

struct plan {
    struct arena arena;
    struct model_config config;
    enum compute_type compute;
    enum compute_type cache; // of the KV cache, and of attention's products
    int n_ranks;
    int reduction_leaves;
    struct plan_styles styles;
    bool attention_sharded; // a rank attends to its own heads only
    bool residual_sharded;  // sequence_parallel: between blocks a rank has some of the tokens
    bool mlp_sharded, lm_head_sharded, embed_sharded;
    bool lm_head_is_embed; // tied and cut alike: one matrix in memory
    bool is_untied;        // config.json ties, but the checkpoint stores both; `config` says no
    bool head_is_repeated; // ... with the same bits: `config` says yes, and one copy is loaded
    int32_t intermediate;  // intermediate_size, rounded up to a pair (docs/numerics.md section 4)
    struct rank_share *shares; // [n_ranks]
    struct reduction_tree attention_tree,
        mlp_tree;                   // of one rank where o_proj or down_proj is whole on each
    int32_t *attention_leaf_bounds; // [leaves + 1], in o_proj's k (elements)
    int32_t *mlp_leaf_bounds;       // [leaves + 1]
    struct plan_parameter *parameters;
    int n_parameters;
    // for model/: where the parameter of a part stands (of layer 0, where each layer has one), or
    // -1
    int32_t parameter_at[32], parameters_per_layer;
    // edges of one layer, and those before and after the layers, with their actions, for printing:
    // "o_proj -> residual: all-reduce"
    struct plan_edge {
        char name[64];
        struct placement have, need;
        enum edge_action action;
        uint64_t bytes_per_token; // sent by the rank that sends most
        bool per_layer;           // false: once a step (embedding, lm_head)
    } * edges;
    int n_edges;
};

// Refuses, with a sentence that says why and lists the valid sizes, a rank count without work for
// each rank; a rule that matches nothing; rules that contradict the edges.
enum status plan_compile(const struct model_config *config, const struct plan_options *options,
                         struct plan **out) STATUS_MUST_USE;
void plan_free(struct plan *plan); // accepts NULL
// Whether each rank's columns of a product of this style go to all ranks.
static inline bool plan_gathers(const struct plan *plan, enum tp_style style)
{
    return plan->n_ranks > 1 && style == TP_COLWISE_GATHER_OUTPUT;
}
// Every parameter is in the checkpoint with the right shape and a type that colrow reads; nothing
// is read. Says what is unusual.
enum status plan_check_checkpoint(const struct plan *plan,
                                  const struct checkpoint *checkpoint) STATUS_MUST_USE;

// Whether config.json ties the embeddings and the checkpoint stores lm_head all the same, with the
// bits of the embedding: then one copy serves both. Reads both to the first difference, which for
// weights that differ is their first megabyte; ask once and tell all ranks.
enum status plan_head_is_embed(const struct model_config *config,
                               const struct checkpoint *checkpoint, bool *out) STATUS_MUST_USE;
// Rank counts that plan_compile() accepts, ascending; returns their number (at most `max`).
int plan_valid_sizes(const struct model_config *config, const struct plan_options *options,
                     int *sizes, int max);

// What the plan predicts for a rank. Activations are for `rows_max` batch rows. `checkpoint` NULL:
// all parameters have the type that config.json names.
struct plan_memory {
    uint64_t weight_bytes; // packed, in memory
    uint64_t file_bytes;   // to be read from the checkpoint
    uint64_t kv_bytes_per_token;
    uint64_t kv_page_bytes;
    uint64_t scratch_bytes;
};
enum status plan_memory(const struct plan *plan, const struct checkpoint *checkpoint, int rank,
                        int rows_max, int logits_rows_max, int n_threads,
                        struct plan_memory *out) STATUS_MUST_USE;
uint64_t plan_bytes_sent_per_token(const struct plan *plan, int rank);

#endif
