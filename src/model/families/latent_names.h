// The names that DeepSeek gave the tensors of latent attention and of its experts.
#ifndef COLROW_MODEL_FAMILIES_LATENT_NAMES_H
#define COLROW_MODEL_FAMILIES_LATENT_NAMES_H

#include "model/families/moe_names.h"

#define LATENT_ATTENTION                                                                           \
    PARAMETER(LLAMA_LAYER "input_layernorm", 0, SLOT_BEFORE_NORM),                                 \
        PARAMETER(LLAMA_LAYER "self_attn.q_proj", 0, SLOT_QUERY),                                  \
        PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.q_a_proj", 0, SLOT_QUERY_DOWN),                 \
        PARAMETER(LLAMA_LAYER "self_attn.q_a_layernorm", 0, SLOT_QUERY_DOWN_NORM),                 \
        PARAMETER(LLAMA_LAYER "self_attn.q_b_proj", 0, SLOT_QUERY_UP),                             \
        PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.kv_a_proj_with_mqa", 0, SLOT_LATENT),           \
        PARAMETER(LLAMA_LAYER "self_attn.kv_a_layernorm", 0, SLOT_LATENT_NORM),                    \
        PARAMETER(LLAMA_LAYER "self_attn.kv_b_proj", 0, SLOT_LATENT_UP),                           \
        PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.o_proj", 0, SLOT_ATTENDED),                     \
        PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM)
// Of an indexer.
#define LATENT_INDEXER                                                                             \
    PARAMETER(LLAMA_LAYER "self_attn.indexer.wq_b", 0, SLOT_INDEX_QUERY),                          \
        PARAMETER(LLAMA_LAYER "self_attn.indexer.wk", 0, SLOT_INDEX_KEY),                          \
        PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.indexer.k_norm", 0, SLOT_INDEX_KEY_NORM),       \
        PARAMETER(LLAMA_LAYER "self_attn.indexer.weights_proj", 0, SLOT_INDEX_WEIGHTS)
#define LATENT_CHOICE_BIAS                                                                         \
    PARAMETER_NAMED(LLAMA_LAYER "mlp.gate.e_score_correction_bias", 1, SLOT_CHOICE_BIAS)
// Of a model whose experts have one tensor each.
#define LATENT_PARAMETERS                                                                          \
    LLAMA_EMBED, LATENT_ATTENTION, LLAMA_MLP, QWEN_EXPERTS, LATENT_CHOICE_BIAS,                    \
        MOE_SHARED(PARAMETER_WITH_BIAS, "mlp.shared_experts"), LLAMA_END

// Layers of these families: latent attention, then an MLP or experts with one for all tokens.
struct latent_model {
    struct plain_keys keys;
    struct latent_keys latent;
    struct experts_keys experts;
    int64_t n_shared, n_dense; // n_shared_experts, first_k_dense_replace
    double scaling_factor;
    bool by_types; // mlp_layer_types counts, not first_k_dense_replace,
    bool or_first; // unless it is absent
    bool choice_bias, normalised;
    bool mlp_bias;           // the key mlp_bias counts
    struct index_keys index; // absent_topk 0: there is no indexer
};
// Reads all of it; `choose` (may be NULL) sets what else the family's router does.
typedef enum status latent_choice(const struct config_reader *reader, struct experts_config *out);
// ... and `turn` (may be NULL) the rope, where the family reads it otherwise.
typedef enum status latent_turn(const struct config_reader *reader, struct latent_model *model,
                                struct model_config *out, struct attention_config *attention);
enum status describe_latent_model(const struct config_reader *reader, struct latent_model *model,
                                  latent_choice *choose, latent_turn *turn,
                                  struct model_config *out) STATUS_MUST_USE;
// A choice: V3's, where every layer has an indexer or shares another's.
enum status describe_indexed_choice(const struct config_reader *reader,
                                    struct experts_config *out) STATUS_MUST_USE;

#endif
