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
// Gemma 3's ropes of layers without and with a window.
enum status gemma3_read_ropes(const struct config_reader *reader, const struct plain_keys *keys,
                              struct model_config *out, int32_t *full,
                              int32_t *sliding) STATUS_MUST_USE;
// The last sublayer of layers with inputs of their own (out->layer_inputs), after describe_layer()
// and what all norms are like: an MLP of what the stream is then, without a norm before it.
struct sublayer_config *gemma_add_inputs(const struct model_config *out, enum activation activation,
                                         struct layer_config *layer);
// num_kv_shared_layers (`absent` without the key): layers from `*first` on read earlier keys.
enum status gemma_read_sharing(const struct config_reader *reader, int64_t absent,
                               const struct model_config *out, int32_t *first) STATUS_MUST_USE;
// Adds a layer; one that reads earlier keys reads those of the last layer before `first_shared`
// that has a window if it has one, and none if it has none.
enum status gemma_add_layer(const struct config_reader *reader, struct model_config *out,
                            int32_t first_shared, int32_t layer,
                            struct layer_config *own) STATUS_MUST_USE;

#endif
