// Seed-OSS: Llama with biases on queries, keys and values, and heads of a size of their own.
//
// Source: Transformers 5.24, models/seed_oss (modeling_seed_oss.py, configuration_seed_oss.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

static const struct parameter_row parameters[] = {LLAMA_PARAMETERS};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status describe_seed_oss(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 27648,
                              .num_hidden_layers = 64,
                              .num_attention_heads = 80,
                              .num_key_value_heads = 8,
                              .head_dim = 128,
                              .vocab_size = 155136,
                              .max_position_embeddings = 524288,
                              .rms_norm_eps = 1e-6};
    bool bias = true, out_bias = false, mlp_bias = false;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    TRY(config_read_flag(reader, "attention_out_bias", &out_bias));
    TRY(config_read_flag(reader, "mlp_bias", &mlp_bias));
    struct layer_config layer = describe_layer(&keys);
    TRY(describe_activation(reader, "hidden_act", "silu", &layer.sublayers[1].mlp.activation));
    describe_attention_bias(&layer, bias, out_bias);
    describe_mlp_bias(&layer, mlp_bias);
    TRY(describe_rope(reader, &keys, NULL, false, out, &layer.sublayers[0].attention.rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_seed_oss = {
    .model_type = "seed_oss",
    .architecture = "SeedOssForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_seed_oss,
};
