// The places where parameters are used, as one table: whose rows and columns follow which numbers
// of the model, and how a tensor-parallel plan may cut them.
#ifndef COLROW_MODEL_SLOT_H
#define COLROW_MODEL_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "hf/tp_plan_rules.h"
#include "model/model_config.h"

enum slot {
    SLOT_EMBED,
    SLOT_EMBED_NORM,
    SLOT_FINAL_NORM,
    SLOT_LM_HEAD,
    SLOT_INPUTS_TABLE, // of model_config.layer_inputs
    SLOT_INPUTS_PROJECTION,
    SLOT_INPUTS_NORM,
    SLOT_STREAM_PROJECTIONS, // of model_config.altup: of each stream but the first one
    SLOT_STREAM_UNEMBEDDINGS,
    SLOT_BEFORE_NORM, // of a sublayer, as all below
    SLOT_AFTER_NORM,
    SLOT_LAYER_SCALAR,
    SLOT_QUERY,
    SLOT_KEY,
    SLOT_VALUE,
    SLOT_ATTENDED, // o_proj
    SLOT_QUERY_NORM,
    SLOT_KEY_NORM,
    SLOT_SINKS,
    SLOT_GATE,
    SLOT_UP,
    SLOT_DOWN,
    SLOT_XIELU_ALPHA_P, // parameters of ACTIVATION_XIELU
    SLOT_XIELU_ALPHA_N,
    SLOT_XIELU_BETA,
    SLOT_XIELU_EPS,
    SLOT_TOKEN_GATE,
    SLOT_EXPERT_ROUTER,
    SLOT_CHOICE_BIAS,
    SLOT_EXPERT_GATE, // of each expert, as the next two
    SLOT_EXPERT_UP,
    SLOT_EXPERT_DOWN,
    SLOT_EXPERT_LATENT_DOWN, // what all experts read, and what their sum becomes
    SLOT_EXPERT_LATENT_UP,
    SLOT_ROUTER_NORM, // of a sublayer before which streams are predicted
    SLOT_ROUTER,
    SLOT_PREDICTION,
    SLOT_CORRECTION,
    SLOT_CORRECT_SCALE,
    SLOT_LAUREL_LEFT,
    SLOT_LAUREL_RIGHT,
    SLOT_LAUREL_NORM,
    SLOT_MAMBA_GATE, // rows of in_proj, in this order, as mamba_part has it
    SLOT_MAMBA_X,
    SLOT_MAMBA_B,
    SLOT_MAMBA_C,
    SLOT_MAMBA_STEP,
    SLOT_MAMBA_TAPS_X, // of the convolution over the same rows
    SLOT_MAMBA_TAPS_B,
    SLOT_MAMBA_TAPS_C,
    SLOT_MAMBA_A_LOG,
    SLOT_MAMBA_D,
    SLOT_MAMBA_STEP_BIAS,
    SLOT_MAMBA_NORM,
    SLOT_MAMBA_OUT,
    SLOT_CONVOLUTION_B, // rows of in_proj, in this order
    SLOT_CONVOLUTION_C,
    SLOT_CONVOLUTION_X,
    SLOT_CONVOLUTION_TAPS,
    SLOT_CONVOLUTION_OUT,
    SLOT_JOINT_NORM, // of a sublayer's sum and the one that was kept
    SLOT_ROUTER_SCALE,
    SLOT_EXPERT_SCALES,
    SLOT_DELTA_QUERY, // of the delta rule; in this order in memory
    SLOT_DELTA_KEY,
    SLOT_DELTA_VALUE,
    SLOT_DELTA_GATE,      // z
    SLOT_DELTA_BETA,      // b
    SLOT_DELTA_STEP,      // a
    SLOT_DELTA_GATE_DOWN, // where these two are made in two products: g_a_proj, g_b_proj
    SLOT_DELTA_GATE_UP,
    SLOT_DELTA_STEP_DOWN, // f_a_proj, f_b_proj
    SLOT_DELTA_STEP_UP,
    SLOT_DELTA_TAPS_QUERY,
    SLOT_DELTA_TAPS_KEY,
    SLOT_DELTA_TAPS_VALUE,
    SLOT_DELTA_A_LOG,
    SLOT_DELTA_STEP_BIAS,
    SLOT_DELTA_NORM,
    SLOT_DELTA_OUT,
    SLOT_OUTPUT_GATE, // of attention
    SLOT_QUERY_DOWN,  // of latent attention, as all below: q_a_proj
    SLOT_QUERY_DOWN_NORM,
    SLOT_QUERY_UP, // q_b_proj
    SLOT_LATENT,   // kv_a_proj_with_mqa
    SLOT_LATENT_NORM,
    SLOT_LATENT_UP,   // kv_b_proj
    SLOT_INDEX_QUERY, // of an indexer, as all below: wq_b
    SLOT_INDEX_KEY,   // wk
    SLOT_INDEX_KEY_NORM,
    SLOT_INDEX_WEIGHTS, // weights_proj
    SLOTS,
};

// The sizes of which shapes are made. A rank's range of one is its share of it.
enum dim {
    DIM_ONE,
    DIM_HIDDEN,
    DIM_VOCAB, // rows of lm_head
    DIM_EMBED_ROWS,
    DIM_EMBED_COLUMNS,
    DIM_INPUTS_ROWS,   // of the table of layer_inputs
    DIM_INPUTS,        // of all layers
    DIM_OTHER_STREAMS, // hidden of each stream but the first one
    DIM_LAYER_INPUTS,  // of one layer; from here on sublayers have them
    DIM_QUERY,         // rows of q_proj, k_proj, v_proj
    DIM_KEY,
    DIM_VALUE,
    DIM_ATTENDED,      // columns of o_proj
    DIM_HEADS,         // one for each query head that is attended
    DIM_OWN_KEY_HEADS, // of KV heads that several ranks compute, one has it for its own
    DIM_QUERY_NORM,
    DIM_KEY_NORM,
    DIM_MLP,       // rows of gate_proj and up_proj, of an MLP or of each expert
    DIM_ACTIVATED, // columns of down_proj
    DIM_EXPERTS,
    DIM_EXPERT_INPUT, // numbers that an expert reads and gives
    DIM_OWN_EXPERTS,  // that a rank holds: no rows or columns of anything
    DIM_LEAVES,       // of down_proj, whose columns a rank makes: no rows or columns of anything
    DIM_STREAMS,      // numbers of a router
    DIM_STREAM_PAIRS,
    DIM_LAUREL,
    DIM_MAMBA,        // heads · head_dim; columns of out_proj
    DIM_MAMBA_GROUPS, // groups · state_size
    DIM_MAMBA_HEADS,
    DIM_TAPS,         // of a convolution over time
    DIM_CHANNELS,     // of a gated short convolution; columns of its out_proj
    DIM_DELTA_KEYS,   // key heads · their size
    DIM_DELTA_VALUES, // value heads · their size; columns of out_proj
    DIM_DELTA_HEADS,  // value heads
    DIM_DELTA_HEAD,   // one's size
    DIM_DELTA_STEPS,  // decays: of value heads, or of each number of their keys
    DIM_DELTA_RANK,
    DIM_OUTPUT_GATE, // rows of attention's gate: of the query heads that a rank attends
    DIM_QUERY_RANK,
    DIM_LATENT, // without the key beside it
    DIM_LATENT_AND_KEY,
    DIM_LATENT_UP, // of each head, the rows of its key part, then of its value part
    DIM_INDEX_QUERY,
    DIM_INDEX_KEY,
    DIM_INDEX_HEADS,
    DIMS,
};

enum slot_role {
    ROLE_WHOLE,   // nothing is cut by a style
    ROLE_NORM,    // of the residual stream: may be computed by tokens
    ROLE_OUTPUTS, // column-parallel: its outputs are cut
    ROLE_INPUTS,  // row-parallel: its inputs are cut, its outputs are summands
    ROLE_EMBED,   // of tokens: its rows are cut, or the embedding's columns
};

struct slot_info {
    const char *name; // HuggingFace's most common one, for messages
    enum slot_role role;
    enum dim rows, columns;
    bool in_layers;
};
extern const struct slot_info slots[SLOTS];

// Does the sublayer (NULL: the model outside its layers) have the slot's weight, or its bias? A
// tied lm_head has none of its own but counts: rules may name it.
bool slot_is_present(const struct model_config *config, const struct sublayer_config *sublayer,
                     enum slot slot, bool bias);
// The whole size. An odd intermediate_size is as it is.
int64_t dim_size(const struct model_config *config, const struct sublayer_config *sublayer,
                 enum dim dim);
// May a rule give this style to the slot?
bool slot_allows(enum slot slot, enum tp_style style);
// Transformers' plans cut the slot's outputs and gather them, which needs no gather here: each rank
// goes on with its own, in the default style (docs/numerics.md section 12).
bool slot_gathers_in_plans(enum slot slot);
// What colrow does without a rule.
enum tp_style slot_default_style(enum slot slot);
bool slot_is_vector(enum slot slot);
// Of a convolution over time: stored as [channels, 1, taps].
bool slot_is_taps(enum slot slot);
// Every expert has one of its own.
bool slot_is_of_experts(enum slot slot);
// No parameter in Transformers, though checkpoints have it.
bool slot_is_buffer(enum slot slot);

#endif
