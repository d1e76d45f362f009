// Gemma 3, text: Gemma 2 with norms of queries and keys instead of the soft-cap, and two ropes, one
// for the layers with a window.
//
// Source: Transformers 5.24, models/gemma3 (modeling_gemma3.py, configuration_gemma3.py).
#include <stddef.h>

#include "model/families/gemma_parts.h"

static const struct parameter_row parameters[] = {
    GEMMA_LAYER,
    LLAMA_QK_NORMS,
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

// rope_scaling and rope_theta of an older file are those of the layers without a window.
enum status gemma3_read_ropes(const struct config_reader *reader, const struct plain_keys *keys,
                              struct model_config *out, int32_t *full, int32_t *sliding)
{
    struct rope_reading reading = describe_rope_reading(keys);
    reading.layer_type = "full_attention";
    reading.theta = 1e6;
    TRY(describe_rope_as(reader, keys, &reading, false, out, full));
    reading.layer_type = "sliding_attention";
    reading.theta_key = "rope_local_base_freq";
    reading.theta = 1e4;
    reading.ignore_scaling = true;
    return describe_rope_as(reader, keys, &reading, false, out, sliding);
}

static enum status add_gemma3_layers(const struct config_reader *reader,
                                     const struct plain_keys *keys,
                                     const struct layer_config *layer, struct model_config *out)
{
    int64_t window = config_is_absent(reader, "sliding_window") ? 4096 : 0, pattern = 6;
    int32_t full, sliding;
    TRY(config_read_int(reader, "sliding_window_pattern", 1, LAYERS_MAX, &pattern));
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &window));
    TRY(gemma3_read_ropes(reader, keys, out, &full, &sliding));
    for (int32_t i = 0; i < out->num_hidden_layers; i++) {
        struct layer_config own = *layer;
        struct attention_config *attention = &own.sublayers[0].attention;
        TRY(describe_window(reader, i, (i + 1) % pattern != 0, window, &attention->sliding_window));
        attention->rope = attention->sliding_window ? sliding : full;
        TRY(describe_add_layer(reader, out, i, &own));
    }
    return OK;
}

// attn_logit_softcapping may be there and has no effect, in Transformers either.
static enum status describe_gemma3(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 2304,
                              .intermediate_size = 9216,
                              .num_hidden_layers = 26,
                              .num_attention_heads = 8,
                              .num_key_value_heads = 4,
                              .head_dim = 256,
                              .vocab_size = 262208,
                              .max_position_embeddings = 131072,
                              .rms_norm_eps = 1e-6,
                              .tie_word_embeddings = true};
    struct layer_config layer;
    TRY(describe_plain(reader, &keys, out));
    TRY(gemma_begin(reader, &keys, out, &layer));
    TRY(gemma2_extend(reader, 0, out, &layer));
    struct attention_config *attention = &layer.sublayers[0].attention;
    attention->q_norm = attention->k_norm = layer.sublayers[0].before;
    return add_gemma3_layers(reader, &keys, &layer, out);
}

const struct family family_gemma3_text = {
    .model_type = "gemma3_text",
    .architecture = "Gemma3ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_gemma3,
};
