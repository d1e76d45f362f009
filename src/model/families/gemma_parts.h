// What all Gemmas have: norms whose weights count from 1, an embedding times sqrt(hidden_size).
#ifndef COLROW_MODEL_FAMILIES_GEMMA_PARTS_H
#define COLROW_MODEL_FAMILIES_GEMMA_PARTS_H

#include "model/describe.h"
#include "model/families/llama_names.h"

// Norms before and after both sublayers, from Gemma 2 on.
#define GEMMA_LAYER                                                                                \
    LLAMA_EMBED, LLAMA_ATTENTION,                                                                  \
        PARAMETER(LLAMA_LAYER "post_attention_layernorm", 0, SLOT_AFTER_NORM),                     \
        PARAMETER(LLAMA_LAYER "pre_feedforward_layernorm", 1, SLOT_BEFORE_NORM), LLAMA_MLP,        \
        PARAMETER(LLAMA_LAYER "post_feedforward_layernorm", 1, SLOT_AFTER_NORM), LLAMA_END

// The model outside its layers, after describe_plain(), and the layer of Gemma 1; refuses what
// would look ahead.
enum status gemma_begin(const struct config_reader *reader, const struct plain_keys *keys,
                        struct model_config *out, struct layer_config *layer) STATUS_MUST_USE;
// What Gemma 2 brought: norms after the sublayers, soft-capped logits (`absent`: without the key),
// a scale of its own. Reads hidden_activation.
enum status gemma2_extend(const struct config_reader *reader, double absent,
                          struct model_config *out, struct layer_config *layer) STATUS_MUST_USE;

#endif
