// Granite: Llama with multipliers of the embedding, the scores, what a block adds, and the logits.
//
// Source: Transformers 5.24, models/granite (modeling_granite.py, configuration_granite.py).
#include <stddef.h>

#include "model/families/granite_parts.h"

static const struct parameter_row parameters[] = {LLAMA_PARAMETERS};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};
static const double multiplier_min = 1e-9, multiplier_max = 1e9;

static enum status read_multiplier(const struct config_reader *reader, const char *key, double *out)
{
    *out = 1;
    return config_read_number(reader, key, multiplier_min, multiplier_max, out);
}

enum status granite_multiply(const struct config_reader *reader, struct model_config *out,
                             struct layer_config *layer)
{
    double embedding, scores, sums, logits;
    bool bias = false;
    TRY(read_multiplier(reader, "embedding_multiplier", &embedding));
    TRY(read_multiplier(reader, "attention_multiplier", &scores));
    TRY(read_multiplier(reader, "residual_multiplier", &sums));
    TRY(read_multiplier(reader, "logits_scaling", &logits));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    out->embed_multiplier = (float)embedding;
    out->logit_multiplier = (float)(1 / logits);
    layer->sublayers[0].attention.scale = (float)scores;
    layer->sublayers[0].multiplier = layer->sublayers[1].multiplier = (float)sums;
    describe_attention_bias(layer, bias, bias);
    return describe_activation(reader, "hidden_act", "silu", &layer->sublayers[1].mlp.activation);
}

static enum status describe_granite(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 11008,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .vocab_size = 32000,
                              .max_position_embeddings = 2048,
                              .rms_norm_eps = 1e-6};
    bool mlp_bias = false;
    TRY(describe_plain(reader, &keys, out));
    struct layer_config layer = describe_layer(&keys);
    TRY(granite_multiply(reader, out, &layer));
    TRY(config_read_flag(reader, "mlp_bias", &mlp_bias));
    describe_mlp_bias(&layer, mlp_bias);
    TRY(describe_rope(reader, &keys, NULL, false, out, &layer.sublayers[0].attention.rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_granite = {
    .model_type = "granite",
    .architecture = "GraniteForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_granite,
};
