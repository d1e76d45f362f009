// GLM-4 (the first, `glm`) and GLM-4-0414 (`glm4`): interleaved rope on half of each head, gate and
// up in one tensor; glm4 has norms after the blocks as well.
//
// Source: Transformers 5.24, models/glm and models/glm4 (modeling_*.py, configuration_*.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

#define GLM_PARAMETERS                                                                             \
    LLAMA_EMBED, LLAMA_ATTENTION,                                                                  \
        PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),                    \
        PARAMETER_PAIR(LLAMA_LAYER "mlp.gate_up_proj", 1, SLOT_GATE, SLOT_UP),                     \
        PARAMETER(LLAMA_LAYER "mlp.down_proj", 1, SLOT_DOWN), LLAMA_END

static const struct parameter_row parameters[] = {GLM_PARAMETERS};
static const struct parameter_row glm4_parameters[] = {
    GLM_PARAMETERS,
    PARAMETER(LLAMA_LAYER "post_self_attn_layernorm", 0, SLOT_AFTER_NORM),
    PARAMETER(LLAMA_LAYER "post_mlp_layernorm", 1, SLOT_AFTER_NORM),
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status describe_any_glm(const struct config_reader *reader, bool norms_after,
                                    struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 13696,
                              .num_hidden_layers = 40,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 2,
                              .head_dim = 128,
                              .vocab_size = 151552,
                              .max_position_embeddings = 131072,
                              .rms_norm_eps = 1.5625e-7,
                              .partial_rotary_factor = 0.5,
                              .round_partial = true};
    bool bias = true;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    struct layer_config layer = describe_layer(&keys);
    TRY(describe_activation(reader, "hidden_act", "silu", &layer.sublayers[1].mlp.activation));
    describe_attention_bias(&layer, bias, false);
    for (int i = 0; i < layer.n_sublayers && norms_after; i++)
        layer.sublayers[i].after = layer.sublayers[i].before;
    TRY(describe_rope(reader, &keys, NULL, true, out, &layer.sublayers[0].attention.rope));
    return describe_all_layers(reader, out, &layer);
}

static enum status describe_glm(const struct config_reader *reader, struct model_config *out)
{
    return describe_any_glm(reader, false, out);
}

static enum status describe_glm4(const struct config_reader *reader, struct model_config *out)
{
    return describe_any_glm(reader, true, out);
}

const struct family family_glm = {
    .model_type = "glm",
    .architecture = "GlmForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_glm,
};

const struct family family_glm4 = {
    .model_type = "glm4",
    .architecture = "Glm4ForCausalLM",
    .base_prefix = "model.",
    .parameters = glm4_parameters,
    .n_parameters = sizeof glm4_parameters / sizeof glm4_parameters[0],
    .ignored = ignored,
    .describe = describe_glm4,
};
