// InternLM3, which Transformers computes as Llama: two keys have other names.
//
// Source: Transformers 5.24, models/internlm3 (modeling_internlm3.py, configuration_internlm3.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

static const struct parameter_row parameters[] = {LLAMA_PARAMETERS};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

// Either name; the newer one counts.
static enum status read_internlm3_bias(const struct config_reader *reader, const char *older,
                                       const char *newer, bool *out)
{
    TRY(config_read_flag(reader, older, out));
    return config_read_flag(reader, newer, out);
}

static enum status describe_internlm3(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 10240,
                              .num_hidden_layers = 48,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 2,
                              .head_dim = 128,
                              .vocab_size = 128512,
                              .max_position_embeddings = 32768,
                              .rms_norm_eps = 1e-5};
    bool bias = false, mlp_bias = false;
    TRY(describe_plain(reader, &keys, out));
    TRY(read_internlm3_bias(reader, "attention_bias", "qkv_bias", &bias));
    TRY(read_internlm3_bias(reader, "mlp_bias", "bias", &mlp_bias));
    if (bias != mlp_bias)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"qkv_bias\" is %s, and \"bias\" %s; expected the same for both, as "
                    "Transformers knows one bias for all projections of InternLM3",
                    reader->name, bias ? "true" : "false", mlp_bias ? "true" : "false");
    struct layer_config layer = describe_layer(&keys);
    TRY(describe_activation(reader, "hidden_act", "silu", &layer.sublayers[1].mlp.activation));
    describe_attention_bias(&layer, bias, bias);
    describe_mlp_bias(&layer, mlp_bias);
    TRY(describe_rope(reader, &keys, NULL, false, out, &layer.sublayers[0].attention.rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_internlm3 = {
    .model_type = "internlm3",
    .architecture = "InternLM3ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_internlm3,
};
