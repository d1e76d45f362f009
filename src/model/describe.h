// What families have in common when they read config.json: the keys that nearly all have, and the
// layers that nearly all are made of.
#ifndef COLROW_MODEL_DESCRIBE_H
#define COLROW_MODEL_DESCRIBE_H

#include "model/family.h"

// Before reading: what an absent key means in this family. After it: what the file says.
struct plain_keys {
    int32_t hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, vocab_size;
    int32_t num_key_value_heads; // absent, 0: as many as heads
    int32_t head_dim;            // absent, 0: hidden_size / num_attention_heads
    int64_t max_position_embeddings;
    double rms_norm_eps;
    const char *eps_key;       // NULL: "rms_norm_eps"
    const char *layers_key;    // NULL: "num_hidden_layers"
    const char *heads_key;     // NULL: "num_attention_heads"
    const char *hidden_key;    // NULL: "hidden_size"
    const char *positions_key; // NULL: "max_position_embeddings"
    bool own_heads_only; // as many KV heads as heads, of hidden_size / heads: no keys say else
    int32_t mlp_factor;  // intermediate_size is so many times hidden_size; 0: a key says it
    bool layer_norm;     // norms are LayerNorms, with biases unless `no_norm_bias`
    bool no_norm_bias;
    bool fixed_head_dim;          // as above, whatever the file's head_dim says
    const char *intermediate_key; // NULL: "intermediate_size"
    bool own_intermediate;        // the family reads it by itself
    bool own_layers;              // ... has num_hidden_layers from a list
    bool tie_word_embeddings;
    double rope_theta;            // 0: 10000
    double partial_rotary_factor; // 0: whole heads, and no key may say otherwise
    bool round_partial;           // of an odd number of dimensions, one more turns
    bool allow_mrope;             // mrope_section has no effect on text
};
// Fills the numbers of `out` that stand outside its layers, and final_norm.
enum status describe_plain(const struct config_reader *reader, struct plain_keys *keys,
                           struct model_config *out) STATUS_MUST_USE;
// Reads the rope of all layers, or of one type of layer as rope_parameters names it (NULL: all),
// and adds it to out->ropes unless one like it is there.
enum status describe_rope(const struct config_reader *reader, const struct plain_keys *keys,
                          const char *layer_type, bool interleaved, struct model_config *out,
                          int32_t *index) STATUS_MUST_USE;
// What describe_rope() reads; for families that read it otherwise.
struct rope_reading describe_rope_reading(const struct plain_keys *keys);
enum status describe_rope_as(const struct config_reader *reader, const struct plain_keys *keys,
                             const struct rope_reading *reading, bool interleaved,
                             struct model_config *out, int32_t *index) STATUS_MUST_USE;
// `rope` zeroed before it was filled: equal ones are found by their bytes.
enum status describe_add_rope(const struct config_reader *reader, const struct rope_config *rope,
                              struct model_config *out, int32_t *index) STATUS_MUST_USE;
// What rope_theta, rope_scaling and rope_parameters have none of: `rope`, whose numbers are set.
enum status describe_default_rope(const struct config_reader *reader, const struct plain_keys *keys,
                                  struct rope_config *rope, struct model_config *out,
                                  int32_t *index) STATUS_MUST_USE;
// A number of the rope's set that only some families have; absent, `*value` stays.
enum status describe_rope_number(const struct config_reader *reader, const char *key, double least,
                                 double most, double *value) STATUS_MUST_USE;
// One of Transformers' ACT2FN; `absent` where the key is not there.
enum status describe_activation(const struct config_reader *reader, const char *key,
                                const char *absent, enum activation *out) STATUS_MUST_USE;

// layer_types, where every layer is of one kind: may only repeat what the other keys say.
enum status describe_same_layer_types(const struct config_reader *reader,
                                      const char *wanted) STATUS_MUST_USE;

// Whether a layer attends within a window: what layer_types says ("sliding_attention",
// "full_attention"), else `absent`.
enum status describe_slides(const struct config_reader *reader, int32_t layer, bool absent,
                            bool *out) STATUS_MUST_USE;

// no_rope_layers (1: with a rotary embedding, 0: without), else every `interval`-th layer is
// without.
enum status describe_has_rope(const struct config_reader *reader, int32_t layer, int64_t interval,
                              bool *out) STATUS_MUST_USE;

// The MLP reads what attention reads: x += attention(norm(x)) + mlp(norm(x)). `same_input`: by one
// norm for both.
void describe_parallel(struct layer_config *layer, bool same_input);
// q, k, v and o; gate, up and down.
void describe_attention_bias(struct layer_config *layer, bool qkv, bool o);
void describe_mlp_bias(struct layer_config *layer, bool bias);
// A layer's window: `window` where it slides (see above), else 0. `window` 0 is what config.json
// says with null: refused where a layer slides.
enum status describe_window(const struct config_reader *reader, int32_t layer, bool absent,
                            int64_t window, int64_t *out) STATUS_MUST_USE;

// x += o_proj(attention(norm(x))); x += down_proj(silu(gate_proj(norm(x))) · up_proj(norm(x))),
// without biases, rope 0 and no window.
struct layer_config describe_layer(const struct plain_keys *keys);

// What absent keys mean in a family with experts.
struct experts_keys {
    const char *count_key, *other_count_key; // either may say it; the second may be NULL
    const char *chosen_key;                  // NULL: "num_experts_per_tok"
    const char *intermediate_key;            // NULL: "moe_intermediate_size"
    int32_t num_experts, num_experts_per_tok, intermediate_size;
    enum router_scoring scoring;
    int32_t n_group, topk_group; // 0: 1
};
// The numbers; weights that are not normalised, a scaling factor of 1, SiLU, gates, no biases.
enum status describe_experts(const struct config_reader *reader, const struct experts_keys *keys,
                             struct experts_config *out) STATUS_MUST_USE;
// n_group (NULL: that is its key) and topk_group, where absent as describe_experts() left them:
// choice among the best groups; 1 group: among all.
enum status describe_expert_groups(const struct config_reader *reader, const char *count_key,
                                   struct experts_config *out) STATUS_MUST_USE;
// What a chosen expert counts for: `factor` where routed_scaling_factor is absent; and of scores
// that a bias corrects, divided by their sum + sum_eps unless norm_topk_prob says otherwise.
enum status describe_expert_factor(const struct config_reader *reader, double factor,
                                   struct experts_config *out) STATUS_MUST_USE;
enum status describe_corrected_weights(const struct config_reader *reader, float sum_eps,
                                       double factor, struct experts_config *out) STATUS_MUST_USE;
// The layer's MLP becomes experts.
void describe_sparse_layer(const struct experts_config *experts, struct layer_config *layer);
// Beside them an MLP that all tokens have: a sublayer of its own, which reads what they read.
void describe_shared_expert(struct layer_config *layer, const struct mlp_config *mlp);
// What absent keys mean in a family with latent attention.
struct latent_keys {
    int32_t kv_lora_rank, q_lora_rank, qk_nope_head_dim, qk_rope_head_dim, v_head_dim;
    bool interleaved;  // rope_interleave counts, and means true where it is absent
    bool pairs_always; // pairs of the rope lie side by side, whatever that key says
};
// Reads them, before describe_plain(), which then takes a head's size from `keys`.
enum status describe_latent_keys(const struct config_reader *reader, struct latent_keys *latent,
                                 struct plain_keys *keys) STATUS_MUST_USE;
// After describe_plain(): the layer's attention becomes latent, without its rope and scale; whose
// scale is what yarn leaves of it (yarn_apply_mscale() of Transformers).
enum status describe_latent(const struct config_reader *reader, const struct latent_keys *latent,
                            struct layer_config *layer) STATUS_MUST_USE;
enum status describe_latent_rope(const struct config_reader *reader, const struct plain_keys *keys,
                                 const struct latent_keys *latent, struct model_config *out,
                                 struct attention_config *attention) STATUS_MUST_USE;
void describe_latent_scale(const struct rope_config *rope, double mscale_all_dim,
                           struct attention_config *attention);
// What absent keys mean in a family with an indexer (docs/numerics.md section 15).
struct index_keys {
    int32_t topk, num_heads, head_dim; // topk 0: there is none
    bool interleaved;                  // its rope turns pairs that lie side by side
    bool may_share;                    // the keys of describe_index_types() count
};
// After describe_latent_rope(): the layer's attention is of the best positions alone.
enum status describe_index(const struct config_reader *reader, const struct index_keys *keys,
                           struct model_config *out,
                           struct attention_config *attention) STATUS_MUST_USE;
// Which layers attend what the layer before them does: indexer_types ("full", "shared"), or what
// index_topk_pattern, or index_topk_freq and index_skip_topk_offset, make of them.
enum status describe_index_types(const struct config_reader *reader, int32_t n_layers,
                                 bool shared[LAYERS_MAX]) STATUS_MUST_USE;
void describe_shared_index(struct index_config *index);
// mlp_layer_types ("dense", "sparse"): which layers have experts. Absent: all but the first so
// many.
enum status describe_mlp_types(const struct config_reader *reader, int32_t n_layers,
                               int64_t n_dense, bool sparse[LAYERS_MAX]) STATUS_MUST_USE;
// A key that may only repeat what the family does anyway.
enum status describe_expect_text(const struct config_reader *reader, const char *key,
                                 const char *expected) STATUS_MUST_USE;

// The layers that a list of numbers names; absent: none.
enum status describe_layers_of_list(const struct config_reader *reader, const char *key,
                                    bool chosen[LAYERS_MAX]) STATUS_MUST_USE;

// What each layer is, as a list of words says: the number of its word in `words` (NULL-terminated).
// layer_types, or its older name layers_block_type. `absent`: of all, where there is no list; -1:
// there must be one.
enum status describe_layer_words(const struct config_reader *reader, const char *const *words,
                                 int32_t n_layers, int absent,
                                 uint8_t out[LAYERS_MAX]) STATUS_MUST_USE;
enum { MAMBA_EXPAND_MAX = 64 };
// Before reading: under which key a family has each of Mamba's numbers, and what an absent one
// means. Names that are NULL are not read.
struct mamba_keys {
    const char *heads, *head_dim, *groups, *state_size, *taps, *conv_bias, *in_bias, *out_bias,
        *step_limit;
    struct mamba_config absent; // head_dim 0: a head's part of `inner`
    int32_t inner;              // what head_dim times heads must be; 0: whatever they give
    const char *inner_name;     // "mamba_expand times hidden_size"
};
// As Falcon-H1 and Granite 4 call them, and what absent ones mean: all but `inner`.
void describe_mamba_names(struct mamba_keys *keys);
enum status describe_mamba(const struct config_reader *reader, const struct mamba_keys *keys,
                           struct mamba_config *out) STATUS_MUST_USE;
// Of the model's activation: the convolution's is fixed.
enum status describe_expect_silu(const struct config_reader *reader,
                                 const char *key) STATUS_MUST_USE;
// The layer's attention becomes a Mamba mix.
void describe_mamba_layer(const struct mamba_config *mamba, struct layer_config *layer);

// Appends layer number `layer`, which must be the next; equal ones share a kind.
enum status describe_add_layer(const struct config_reader *reader, struct model_config *out,
                               int32_t layer, const struct layer_config *kind) STATUS_MUST_USE;
// All layers alike.
enum status describe_all_layers(const struct config_reader *reader, struct model_config *out,
                                const struct layer_config *kind) STATUS_MUST_USE;

#endif
