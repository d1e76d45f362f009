// Qwen3 and the text part of Qwen3-VL: Llama with an RMSNorm over each head of the queries and
// keys.
//
// Source: Transformers 5.24, models/qwen3 and models/qwen3_vl (modeling_*.py, configuration_*.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"
#include "model/families/qwen_windows.h"

static const struct parameter_row parameters[] = {
    LLAMA_PARAMETERS,
    LLAMA_QK_NORMS,
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

// All but the layers, of which `layer` is one.
static enum status describe_layer_of(const struct config_reader *reader, struct plain_keys *keys,
                                     struct model_config *out, struct layer_config *layer)
{
    bool bias = false;
    TRY(describe_plain(reader, keys, out));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    *layer = describe_layer(keys);
    TRY(describe_activation(reader, "hidden_act", "silu", &layer->sublayers[1].mlp.activation));
    struct attention_config *attention = &layer->sublayers[0].attention;
    attention->q_norm = attention->k_norm = layer->sublayers[0].before;
    attention->q_bias = attention->k_bias = attention->v_bias = attention->o_bias = bias;
    return describe_rope(reader, keys, NULL, false, out, &attention->rope);
}

static enum status describe_qwen3(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 22016,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 32,
                              .head_dim = 128,
                              .vocab_size = 151936,
                              .max_position_embeddings = 32768,
                              .rms_norm_eps = 1e-6};
    struct layer_config layer;
    TRY(describe_layer_of(reader, &keys, out, &layer));
    return qwen_add_layers(reader, 28, out, &layer);
}

// Qwen 3-VL's text part: without windows. Positions of text are alike in mrope's three parts.
static enum status describe_qwen3_vl(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 22016,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 32,
                              .head_dim = 128,
                              .vocab_size = 151936,
                              .max_position_embeddings = 128000,
                              .rms_norm_eps = 1e-6,
                              .rope_theta = 500000,
                              .allow_mrope = true};
    struct layer_config layer;
    TRY(describe_layer_of(reader, &keys, out, &layer));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_qwen3 = {
    .model_type = "qwen3",
    .architecture = "Qwen3ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_qwen3,
};

const struct family family_qwen3_vl = {
    .model_type = "qwen3_vl_text",
    .architecture = "Qwen3VLTextModel",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_qwen3_vl,
};
