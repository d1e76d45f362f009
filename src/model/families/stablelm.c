// StableLM: LayerNorms, rope on a part of each head; some with attention and MLP side by side, or
// with a norm of its own for each head of the queries and keys.
//
// Source: Transformers 5.24, models/stablelm (modeling_stablelm.py, configuration_stablelm.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LLAMA_ATTENTION,
    PARAMETER_BIAS(LLAMA_LAYER "input_layernorm", 0, SLOT_BEFORE_NORM),
    PARAMETER(LLAMA_LAYER "self_attn.q_layernorm.norms.*", 0, SLOT_QUERY_NORM),
    PARAMETER(LLAMA_LAYER "self_attn.k_layernorm.norms.*", 0, SLOT_KEY_NORM),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    LLAMA_MLP,
    LLAMA_END,
    PARAMETER_BIAS("model.norm", -1, SLOT_FINAL_NORM),
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status describe_stablelm(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 2560,
                              .intermediate_size = 6912,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 32,
                              .vocab_size = 50304,
                              .max_position_embeddings = 4096,
                              .rms_norm_eps = 1e-5,
                              .eps_key = "layer_norm_eps",
                              .layer_norm = true,
                              .fixed_head_dim = true,
                              .partial_rotary_factor = 0.25};
    bool bias = false, head_norms = false, parallel = false;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "use_qkv_bias", &bias));
    TRY(config_read_flag(reader, "qk_layernorm", &head_norms));
    TRY(config_read_flag(reader, "use_parallel_residual", &parallel));
    struct layer_config layer = describe_layer(&keys);
    TRY(describe_activation(reader, "hidden_act", "silu", &layer.sublayers[1].mlp.activation));
    struct attention_config *attention = &layer.sublayers[0].attention;
    describe_attention_bias(&layer, bias, false);
    if (head_norms) {
        attention->q_norm = layer.sublayers[0].before;
        attention->q_norm.has_bias = false;
        attention->k_norm = attention->q_norm;
        attention->qk_norm_width = QK_NORM_EACH_HEAD;
    }
    if (parallel)
        describe_parallel(&layer, true);
    TRY(describe_rope(reader, &keys, NULL, false, out, &attention->rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_stablelm = {
    .model_type = "stablelm",
    .architecture = "StableLmForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_stablelm,
};
