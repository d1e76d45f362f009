// Qwen3: Llama with an RMSNorm over each head of the queries and keys.
//
// Source: Transformers 5.24, models/qwen3 (modeling_qwen3.py, configuration_qwen3.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"
#include "model/families/qwen_windows.h"

static const struct parameter_row parameters[] = {
    LLAMA_PARAMETERS,
    PARAMETER(LLAMA_LAYER "self_attn.q_norm", 0, SLOT_QUERY_NORM),
    PARAMETER(LLAMA_LAYER "self_attn.k_norm", 0, SLOT_KEY_NORM),
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

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
    bool bias = false;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    struct layer_config layer = describe_layer(&keys);
    TRY(describe_activation(reader, "hidden_act", "silu", &layer.sublayers[1].mlp.activation));
    struct attention_config *attention = &layer.sublayers[0].attention;
    attention->q_norm = attention->k_norm = layer.sublayers[0].before;
    attention->q_bias = attention->k_bias = attention->v_bias = attention->o_bias = bias;
    TRY(describe_rope(reader, &keys, NULL, false, out, &attention->rope));
    return qwen_add_layers(reader, out, &layer);
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
