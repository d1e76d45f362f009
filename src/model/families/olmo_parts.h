// What OLMo 2 and 3 have: norms after the blocks, and over all heads of queries and keys together.
#ifndef COLROW_MODEL_FAMILIES_OLMO_PARTS_H
#define COLROW_MODEL_FAMILIES_OLMO_PARTS_H

#include "model/describe.h"
#include "model/families/llama_names.h"

#define OLMO_PARAMETERS                                                                            \
    LLAMA_EMBED, PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.q_proj", 0, SLOT_QUERY),               \
        PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.k_proj", 0, SLOT_KEY),                          \
        PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.v_proj", 0, SLOT_VALUE),                        \
        PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.o_proj", 0, SLOT_ATTENDED), LLAMA_QK_NORMS,     \
        PARAMETER(LLAMA_LAYER "post_attention_layernorm", 0, SLOT_AFTER_NORM), LLAMA_MLP,          \
        PARAMETER(LLAMA_LAYER "post_feedforward_layernorm", 1, SLOT_AFTER_NORM), LLAMA_END

// Reads attention_bias and hidden_act. Without rope and window.
enum status olmo_layer(const struct config_reader *reader, const struct plain_keys *keys,
                       struct layer_config *layer) STATUS_MUST_USE;

#endif
