// Phi-1, 1.5 and 2: attention and MLP side by side behind one LayerNorm, biases everywhere.
//
// Source: Transformers 5.24, models/phi (modeling_phi.py, configuration_phi.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    PARAMETER_WITH_BIAS(LLAMA_LAYER "input_layernorm", 0, SLOT_BEFORE_NORM),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.q_proj", 0, SLOT_QUERY),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.k_proj", 0, SLOT_KEY),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.v_proj", 0, SLOT_VALUE),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.dense", 0, SLOT_ATTENDED),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.q_layernorm", 0, SLOT_QUERY_NORM),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.k_layernorm", 0, SLOT_KEY_NORM),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "mlp.fc1", 1, SLOT_UP),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "mlp.fc2", 1, SLOT_DOWN),
    PARAMETER_WITH_BIAS("model.final_layernorm", -1, SLOT_FINAL_NORM),
    PARAMETER_WITH_BIAS("lm_head", -1, SLOT_LM_HEAD),
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status describe_phi(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 2048,
                              .intermediate_size = 8192,
                              .num_hidden_layers = 24,
                              .num_attention_heads = 32,
                              .vocab_size = 51200,
                              .max_position_embeddings = 2048,
                              .rms_norm_eps = 1e-5,
                              .eps_key = "layer_norm_eps",
                              .layer_norm = true,
                              .partial_rotary_factor = 0.5};
    bool head_norms = false;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "qk_layernorm", &head_norms));
    out->lm_head_bias = true;
    struct layer_config layer = describe_layer(&keys);
    struct attention_config *attention = &layer.sublayers[0].attention;
    layer.sublayers[1].mlp.gated = false;
    TRY(describe_activation(reader, "hidden_act", "gelu_new", &layer.sublayers[1].mlp.activation));
    if (head_norms)
        attention->q_norm = attention->k_norm = layer.sublayers[0].before;
    describe_attention_bias(&layer, true, true);
    describe_mlp_bias(&layer, true);
    describe_parallel(&layer, true);
    TRY(describe_rope(reader, &keys, NULL, false, out, &attention->rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_phi = {
    .model_type = "phi",
    .architecture = "PhiForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_phi,
};
