// OLMo 2: norms after the blocks, and over all heads of the queries and of the keys together.
//
// Source: Transformers 5.24, models/olmo2 (modeling_olmo2.py, configuration_olmo2.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.q_proj", 0, SLOT_QUERY),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.k_proj", 0, SLOT_KEY),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.v_proj", 0, SLOT_VALUE),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.o_proj", 0, SLOT_ATTENDED),
    PARAMETER(LLAMA_LAYER "self_attn.q_norm", 0, SLOT_QUERY_NORM),
    PARAMETER(LLAMA_LAYER "self_attn.k_norm", 0, SLOT_KEY_NORM),
    PARAMETER(LLAMA_LAYER "post_attention_layernorm", 0, SLOT_AFTER_NORM),
    LLAMA_MLP,
    PARAMETER(LLAMA_LAYER "post_feedforward_layernorm", 1, SLOT_AFTER_NORM),
    LLAMA_END,
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status describe_olmo2(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 11008,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .vocab_size = 50304,
                              .max_position_embeddings = 2048,
                              .rms_norm_eps = 1e-5};
    bool bias = false;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    struct layer_config layer = describe_layer(&keys);
    TRY(describe_activation(reader, "hidden_act", "silu", &layer.sublayers[1].mlp.activation));
    struct attention_config *attention = &layer.sublayers[0].attention;
    for (int i = 0; i < layer.n_sublayers; i++) {
        layer.sublayers[i].after = layer.sublayers[i].before;
        layer.sublayers[i].before = (struct norm_config){.kind = NORM_NONE};
    }
    attention->q_norm = attention->k_norm = layer.sublayers[0].after;
    attention->qk_norm_width = QK_NORM_WHOLE;
    attention->q_bias = attention->k_bias = attention->v_bias = attention->o_bias = bias;
    TRY(describe_rope(reader, &keys, NULL, false, out, &attention->rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_olmo2 = {
    .model_type = "olmo2",
    .architecture = "Olmo2ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_olmo2,
};
