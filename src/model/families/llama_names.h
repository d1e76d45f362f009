// The names that Llama gave its tensors, which many families took over.
#ifndef COLROW_MODEL_FAMILIES_LLAMA_NAMES_H
#define COLROW_MODEL_FAMILIES_LLAMA_NAMES_H

#include "model/family.h"

#define LLAMA_LAYER "model.layers.%d."
#define LLAMA_ATTENTION                                                                            \
    PARAMETER(LLAMA_LAYER "input_layernorm", 0, SLOT_BEFORE_NORM),                                 \
        PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.q_proj", 0, SLOT_QUERY),                        \
        PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.k_proj", 0, SLOT_KEY),                          \
        PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.v_proj", 0, SLOT_VALUE),                        \
        PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.o_proj", 0, SLOT_ATTENDED)
#define LLAMA_QK_NORMS                                                                             \
    PARAMETER(LLAMA_LAYER "self_attn.q_norm", 0, SLOT_QUERY_NORM),                                 \
        PARAMETER(LLAMA_LAYER "self_attn.k_norm", 0, SLOT_KEY_NORM)
#define LLAMA_MLP                                                                                  \
    PARAMETER_WITH_BIAS(LLAMA_LAYER "mlp.gate_proj", 1, SLOT_GATE),                                \
        PARAMETER_WITH_BIAS(LLAMA_LAYER "mlp.up_proj", 1, SLOT_UP),                                \
        PARAMETER_WITH_BIAS(LLAMA_LAYER "mlp.down_proj", 1, SLOT_DOWN)
#define LLAMA_EMBED PARAMETER("model.embed_tokens", -1, SLOT_EMBED)
#define LLAMA_END                                                                                  \
    PARAMETER("model.norm", -1, SLOT_FINAL_NORM), PARAMETER("lm_head", -1, SLOT_LM_HEAD)
#define LLAMA_PARAMETERS                                                                           \
    LLAMA_EMBED, LLAMA_ATTENTION,                                                                  \
        PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM), LLAMA_MLP,         \
        LLAMA_END
// Transformers wrote the frequencies into checkpoints until 4.32; they follow from config.json.
#define LLAMA_IGNORED ".rotary_emb.inv_freq"

#endif
