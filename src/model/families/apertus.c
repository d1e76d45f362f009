// Apertus: an MLP without a gate, whose activation (xIELU) has parameters in each layer.
//
// Source: Transformers 5.24, models/apertus (modeling_apertus.py, configuration_apertus.py).
#include <stddef.h>
#include <string.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    PARAMETER(LLAMA_LAYER "attention_layernorm", 0, SLOT_BEFORE_NORM),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.q_proj", 0, SLOT_QUERY),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.k_proj", 0, SLOT_KEY),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.v_proj", 0, SLOT_VALUE),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.o_proj", 0, SLOT_ATTENDED),
    LLAMA_QK_NORMS,
    PARAMETER(LLAMA_LAYER "feedforward_layernorm", 1, SLOT_BEFORE_NORM),
    PARAMETER(LLAMA_LAYER "mlp.up_proj", 1, SLOT_UP),
    PARAMETER(LLAMA_LAYER "mlp.down_proj", 1, SLOT_DOWN),
    PARAMETER_NAMED(LLAMA_LAYER "mlp.act_fn.alpha_p", 1, SLOT_XIELU_ALPHA_P),
    PARAMETER_NAMED(LLAMA_LAYER "mlp.act_fn.alpha_n", 1, SLOT_XIELU_ALPHA_N),
    PARAMETER_NAMED(LLAMA_LAYER "mlp.act_fn.beta", 1, SLOT_XIELU_BETA),
    PARAMETER_NAMED(LLAMA_LAYER "mlp.act_fn.eps", 1, SLOT_XIELU_EPS),
    LLAMA_END,
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status read_activation(const struct config_reader *reader, enum activation *out)
{
    const char *text = "xielu";
    bool found;
    TRY(json_get_text(reader->root, reader->name, "hidden_act", &text, &found));
    *out = ACTIVATION_XIELU;
    return strcmp(text, "xielu") == 0 ? OK : describe_activation(reader, "hidden_act", text, out);
}

// What Transformers' class gives a config.json without rope_parameters: Llama 3.1's scaling.
static enum status read_apertus_rope(const struct config_reader *reader,
                                     const struct plain_keys *keys, struct model_config *out,
                                     int32_t *index)
{
    struct rope_config rope = {.type = ROPE_LLAMA3,
                               .theta = 12e6,
                               .factor = 8,
                               .low_freq_factor = 1,
                               .high_freq_factor = 4,
                               .truncate = true,
                               .original_max_position_embeddings = 8192};
    if (rope_config_is_absent(reader->root))
        return describe_default_rope(reader, keys, &rope, out, index);
    return describe_rope(reader, keys, NULL, false, out, index);
}

static enum status describe_apertus(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 14336,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .vocab_size = 131072,
                              .max_position_embeddings = 65536,
                              .rms_norm_eps = 1e-5,
                              .rope_theta = 12e6};
    bool bias = false;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    struct layer_config layer = describe_layer(&keys);
    struct attention_config *attention = &layer.sublayers[0].attention;
    layer.sublayers[1].mlp.gated = false;
    TRY(read_activation(reader, &layer.sublayers[1].mlp.activation));
    attention->q_norm = attention->k_norm = layer.sublayers[0].before;
    describe_attention_bias(&layer, bias, bias);
    TRY(read_apertus_rope(reader, &keys, out, &attention->rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_apertus = {
    .model_type = "apertus",
    .architecture = "ApertusForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_apertus,
};
