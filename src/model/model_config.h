// What config.json says, as a program: a list of layers, each a list of sublayers on the residual
// stream, x += multiplier · after(mix(before(x))), each with its own numbers. A family's file makes
// it (model/families); plan, memory, loading and the forward pass walk it and know no family.
#ifndef COLROW_MODEL_MODEL_CONFIG_H
#define COLROW_MODEL_MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "device/kernels.h"
#include "hf/config_reader.h"
#include "hf/element_type.h"
#include "hf/quantisation.h"
#include "hf/rope_config.h"

enum {
    ROPES_MAX = 8,
    LAYER_KINDS_MAX = 32,
    SUBLAYERS_MAX = 4,
    ALTUP_INPUTS_MAX = 8,
    EXPERTS_MAX = 4096,
    CHOSEN_EXPERTS_MAX = 64, // of a token
    EXPERT_LEAVES = 64,      // of the tree along which they are summed
};

// The first expert at a leaf of the tree along which so many are summed.
static inline int32_t expert_leaf_begin(int64_t num_experts, int64_t leaf)
{
    return (int32_t)(leaf * num_experts / EXPERT_LEAVES);
}

enum norm_kind { NORM_NONE, NORM_RMS, NORM_LAYER };
struct norm_config {
    enum norm_kind kind;
    bool plus_one;   // the weight counts from 1
    bool weightless; // the weight is 1
    bool has_bias;   // of NORM_LAYER
    float eps;
};

enum mix_kind { MIX_ATTENTION, MIX_MLP, MIX_EXPERTS, MIX_MAMBA, MIX_CONVOLUTION, MIX_DELTA };

// Sparse attention (docs/numerics.md section 15): a query attends the best of the positions that it
// sees, by scores that an indexer gives them. Its heads have one key of each position, which is
// cached beside the latent.
struct index_config {
    int32_t topk; // positions that are attended; 0: all
    bool shared;  // those of the layer before: no indexer of its own
    int32_t num_heads, head_dim;
    int32_t rope;            // of the first numbers of queries and keys: in model_config.ropes
    struct norm_config norm; // of keys
};

// Latent attention (docs/numerics.md section 13): what is cached of a token is one latent for all
// heads and one key that the rope turns. Of a query head the first numbers meet the latent, the
// last ones that key.
struct latent_config {
    int32_t kv_rank;            // kv_lora_rank, of the latent; 0: keys and values of each head
    int32_t q_rank;             // q_lora_rank; 0: one product makes the queries
    int32_t nope_dim, rope_dim; // of a query head: head_dim is their sum
    int32_t value_dim;          // of a head
    struct norm_config norm;    // of both latents
    struct index_config index;
};
// Whether there are rows that do not attend all positions.
static inline bool index_leaves_out(const struct index_config *index, int64_t positions)
{
    return index->topk && index->topk < positions;
}
// Numbers of its own that an indexer caches of a token.
static inline int32_t index_key_dim(const struct latent_config *latent)
{
    return latent->index.topk && !latent->index.shared ? latent->index.head_dim : 0;
}
// Of a latent, the key beside it and the indexer's key, if there is one.
static inline int32_t latent_cached_dim(const struct latent_config *latent)
{
    return latent->kv_rank + latent->rope_dim + index_key_dim(latent);
}

struct attention_config {
    int32_t num_attention_heads, num_key_value_heads, head_dim;
    int64_t sliding_window; // 0: none. Key j is seen from query i when i - j < sliding_window
    float scale;            // of the scores
    float softcap;          // softcap · tanh(score / softcap); 0: none
    bool sinks;             // a parameter for each query head: one more score without a value
    bool alibi;             // scores grow with the key's position, by a slope for each query head
    int32_t rope;           // index in model_config.ropes; -1: none
    bool q_bias, k_bias, v_bias, o_bias;
    float bias_factor; // all of them are multiplied by, when they are loaded; 0: none
    // Of queries and keys, before the rope turns them (or after it), and of values. Over each head
    // with one weight for all heads, or one for each; or over all heads together.
    struct norm_config q_norm, k_norm, v_norm;
    enum { QK_NORM_HEAD, QK_NORM_EACH_HEAD, QK_NORM_WHOLE } qk_norm_width;
    bool qk_norm_after_rope;
    int32_t value_dim;    // of a head's values; 0: head_dim
    float value_scale;    // of values; 0: none
    bool chunked;         // keys of the same block of sliding_window positions alone
    bool value_is_key;    // no v_proj: values are the projected keys, before norm and rope
    bool keys_of_earlier; // no k_proj and v_proj: those of layer model_config.kv_layer[]
    // What a head gives is multiplied by sigmoid(numbers that each token's input makes)
    bool output_gate;
    // Queries times 1 + beta · ln(1 + floor((position + first) / length)); length 0: none
    float temperature_beta;
    int64_t temperature_length, temperature_first;
    struct latent_config latent; // with as many KV heads as heads; k_bias: of what makes the latent
};
static inline int32_t attention_value_dim(const struct attention_config *a)
{
    return a->value_dim ? a->value_dim : a->head_dim;
}

struct mlp_config {
    int32_t intermediate_size;
    bool gated; // down(act(gate x) · up x); else down(act(up x))
    enum activation activation;
    bool gate_bias, up_bias, down_bias;
    // down(act(up x) · the layer's own part of the token's inputs), of layer_inputs
    bool times_layer_input;
    // Of a gated one: the gate is relu(gate - (mean + deviations · deviation)) first, both over all
    // of intermediate_size
    bool sparse;
    float deviations;
    // The sum is multiplied by sigmoid(a number that each token's input makes)
    bool token_gate;
    float gate_factor; // of ACTIVATION_SCALED_SILU
};

// How a router's logits become the choice of experts and their weights (numerics.md section 11).
enum router_scoring {
    ROUTER_SOFTMAX,        // of all; the largest are chosen
    ROUTER_CHOSEN_SOFTMAX, // the largest logits are chosen; the softmax of these
    ROUTER_SIGMOID,        // of each
    ROUTER_CHOSEN_SIGMOID, // the largest logits are chosen; the sigmoid of each
    ROUTER_SPARSE_MIXER,   // two, one after the other: the softmax of what is near the largest left
};

// Of so many MLPs, down(act(gate x) · up x) or down(act(up x)), a router chooses a few for each
// token; their sum, weighted.
struct experts_config {
    int32_t num_experts, num_experts_per_tok;
    int32_t intermediate_size; // of each
    bool gated;
    enum activation activation;
    enum router_scoring scoring;
    bool choice_bias; // a number for each expert, added to scores where experts are chosen
    bool normalised;  // weights are divided by their sum + sum_eps, at least sum_min
    float sum_eps, sum_min;
    float scaling_factor;        // of weights
    int32_t n_group, topk_group; // choice among the best groups alone; 0: no groups
    bool group_best;             // a group is as good as its best expert, not as its two best
    bool router_bias, gate_bias, up_bias, down_bias;
    float alpha, limit; // of ACTIVATION_CLAMPED_SWIGLU
    // The router reads the stream by this norm, whose weight counts hidden_size^-1/2; NORM_NONE:
    // what experts read
    struct norm_config router_norm;
    float mixer_reach;  // of ROUTER_SPARSE_MIXER: beyond it, as a part of its size, a logit is far
    bool scales_inputs; // weights multiply what experts read, not what they give
    bool expert_scales; // weights are multiplied by a number for each expert, last of all
    // Experts read a projection of the input to so many numbers, and their sum is projected back;
    // 0: they read the input
    int32_t latent_size;
    bool latent_bias; // of both projections
};

// Mamba-2 (numerics.md section 12). A head reads the B and C of its group.
enum mamba_part { MAMBA_GATE, MAMBA_X, MAMBA_B, MAMBA_C, MAMBA_STEP, MAMBA_PARTS };
struct mamba_config {
    int32_t num_heads, head_dim, n_groups, state_size;
    int32_t taps; // of the convolution over time
    bool in_bias, conv_bias, out_bias;
    float in_bias_factor;     // of in_proj's, when it is loaded; 0: none
    float step_min, step_max; // dt is kept between
    // Over the numbers of each group's heads, of what the gate has multiplied; or of what it is to
    // multiply. NORM_NONE: the gate alone
    struct norm_config norm;
    bool norm_before_gate;
    bool has_factors; // what in_proj gives, after its bias, is multiplied by
    float factors[MAMBA_PARTS];
};

// The gated delta rule (numerics.md section 12). A value head reads the query and key of its group.
struct delta_config {
    int32_t num_key_heads, num_value_heads, key_head_dim, value_head_dim;
    int32_t taps;            // of the convolution over time
    bool double_beta;        // in [0, 2], not in [0, 1]
    struct norm_config norm; // of each head's output, before the gate
    enum activation gate;    // of what multiplies that
    // Kimi's: a decay of each number of a key, not of the whole head
    bool channel_decays;
    // The gate and what decays follow are made of the input in two products, by way of so many
    // numbers; 0: in one
    int32_t low_rank;
};
static inline int32_t delta_steps_of_head(const struct delta_config *d)
{
    return d->channel_decays ? d->key_head_dim : 1;
}

// out_proj(C · convolution(B · x)), all three of the input, each channel by itself.
struct convolution_config {
    int32_t taps;
    bool in_bias, conv_bias, out_bias;
};

// Beside a mix, a low-rank one of the same normed input n: stream = (stream + after(mix(n)) + n +
// norm(right(left(n)))) / 2^1/2.
struct laurel_config {
    int32_t rank; // rows of left; 0: there is none
    struct norm_config norm;
};

struct sublayer_config {
    enum mix_kind kind;
    struct norm_config before, after;
    float multiplier; // of what is added to the stream
    bool has_scalar;  // a parameter that the stream is multiplied by afterwards
    bool parallel;    // reads the stream as the sublayer before it did, without that one's sum
    bool same_input;  // of a parallel one: it has no norm of its own but reads what that one reads
    bool adds_to_normed; // `before` of the stream is what is added to, not the stream
    // With model_config.altup: the streams are predicted before it, a layer's first, which works on
    // the active one; corrected after it, the next then reads the corrected active one; what it
    // gives is added to all streams but the first.
    bool predicts, corrects, adds_to_others;
    // Its normed sum is kept for the next one, which runs in parallel: both sums together, by the
    // norm `joint` of that one, are added to the stream.
    bool keeps_sum;
    struct norm_config joint; // of one after one that keeps its sum
    struct laurel_config laurel;
    struct attention_config attention;     // of MIX_ATTENTION
    struct mlp_config mlp;                 // of MIX_MLP
    struct experts_config experts;         // of MIX_EXPERTS
    struct mamba_config mamba;             // of MIX_MAMBA
    struct convolution_config convolution; // of MIX_CONVOLUTION
    struct delta_config delta;             // of MIX_DELTA
};

// Zeroed before it is filled: equal kinds are found by their bytes.
struct layer_config {
    int32_t n_sublayers;
    struct sublayer_config sublayers[SUBLAYERS_MAX];
};

// Inputs of each token that every layer has a part of, beside the stream (Gemma's per-layer
// embeddings): (norm(projection(x) · hidden_size^-1/2) + table's row · size^1/2) / 2^1/2, where x
// is the stream's first value and the norm is over each layer's part.
struct layer_inputs_config {
    int32_t size;       // of one layer's part; 0: there are none
    int32_t vocab_size; // rows of the table; tokens beyond it have row 0
    struct norm_config norm;
};

// Streams beside each other of which layers work on one (AltUp). The first is the embedding, each
// other one a projection of it with the same root of the mean square. Of the router's numbers m =
// tanh(router(norm(x) / hidden_size)), x the active stream, predicted are stream_i + sum_j P_ij
// stream_j, P = prediction(m); a layer makes `made` of the active one, and corrected are stream_i +
// (made - active) · (1 + C_i), C = correction(m), this time of `made`. In the end each stream but
// the first is projected and brought to the first one's root of the mean square, and the mean of
// all is normed.
struct altup_config {
    int32_t num_inputs; // streams; 0: the only one is the residual
    int32_t active_idx;
    bool correct_scale; // what reads the corrected active stream reads it times a parameter
    struct norm_config router_norm;
};

struct model_config {
    const struct family *family;    // its names; of the program's life
    const struct wrapper *wrapper;  // the multimodal model whose text part it is; NULL: none
    char architecture[64];          // "LlamaForCausalLM"; the wrapper's
    char model_type[32];            // "llama"
    enum quant_method quant_method; // of most weights, as config.json says; the files decide
    double quant_bits;              // of each of these, with its scale; 0: they are not quantised
    int32_t hidden_size, num_hidden_layers, vocab_size;
    int64_t max_position_embeddings;
    bool tie_word_embeddings;
    enum element_type dtype;  // torch_dtype / dtype; ELEMENT_NONE when absent
    char unusable_dtype[160]; // 'key "dtype" is "bf16"': no type to compute in. Empty: no such key
    float embed_multiplier;
    bool round_embed_multiplier; // to the type that is computed in
    struct norm_config embed_norm;
    struct layer_inputs_config layer_inputs;
    struct altup_config altup;
    struct norm_config final_norm;
    bool lm_head_bias;
    float logit_multiplier;
    float logit_softcap; // 0: none
    int32_t n_ropes;
    struct rope_config ropes[ROPES_MAX];
    int32_t n_layer_kinds;
    struct layer_config layer_kinds[LAYER_KINDS_MAX];
    uint8_t layer_kind[LAYERS_MAX]; // [num_hidden_layers], of each layer
    int16_t kv_layer[LAYERS_MAX];   // [num_hidden_layers] whose keys and values it reads
};

// Reads `folder`/config.json. Every key that colrow cannot honour (another hidden_act,
// quantization_config, ...) is refused by name rather than ignored.
enum status model_config_read(const char *folder, struct model_config *out) STATUS_MUST_USE;
// Same, from text; `name` stands in messages. The fuzz target and `colrow synth` use it.
enum status model_config_parse(const char *name, const char *text, size_t length,
                               struct model_config *out) STATUS_MUST_USE;
// Whether config.json leaves a type to compute in to be found: refuses a dtype that names none
// ("bf16", "int8"), which model_config_read() lets pass because --dtype overrules it.
enum status model_config_check_dtype(const struct model_config *config,
                                     const char *name) STATUS_MUST_USE;

// A layer's part of layer_inputs in memory: products take numbers in pairs.
static inline int32_t layer_inputs_width(const struct model_config *config)
{
    return (config->layer_inputs.size + 1) / 2 * 2;
}
// Numbers of a row that experts read and give.
static inline int32_t experts_width(const struct model_config *config,
                                    const struct experts_config *experts)
{
    return experts->latent_size ? experts->latent_size : config->hidden_size;
}
static inline const struct layer_config *model_config_layer(const struct model_config *config,
                                                            int layer)
{
    return &config->layer_kinds[config->layer_kind[layer]];
}
// Sequences of more tokens have other keys, of all their positions (longrope); 0: none have.
int64_t model_config_long_length(const struct model_config *config);
// The first sublayer of that kind of the first layer that has one; NULL: none. For summaries.
const struct sublayer_config *model_config_first(const struct model_config *config,
                                                 enum mix_kind kind);
// Of that of MIX_ATTENTION; where there is none, one of no heads. For summaries.
const struct attention_config *model_config_attention(const struct model_config *config);
// Of the first MLP, or, where there are experts alone, of each of these. For summaries.
int32_t model_config_intermediate_size(const struct model_config *config);

#endif
