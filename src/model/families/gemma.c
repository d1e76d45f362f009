// Gemma: Llama with norms whose weights count from 1, GELU, and an embedding times
// sqrt(hidden_size).
//
// Source: Transformers 5.24, models/gemma (modeling_gemma.py, configuration_gemma.py).
#include <math.h>
#include <stddef.h>

#include "model/families/gemma_parts.h"

static const struct parameter_row parameters[] = {LLAMA_PARAMETERS};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

enum status gemma_begin(const struct config_reader *reader, const struct plain_keys *keys,
                        struct model_config *out, struct layer_config *layer)
{
    bool bias = false, both_ways = false;
    TRY(config_read_flag(reader, "use_bidirectional_attention", &both_ways));
    if (both_ways)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"use_bidirectional_attention\" is true; expected false or nothing: "
                    "text is generated from left to right",
                    reader->name);
    TRY(config_read_flag(reader, "attention_bias", &bias));
    out->embed_multiplier = (float)sqrt(keys->hidden_size);
    out->round_embed_multiplier = true;
    out->final_norm.plus_one = true;
    *layer = describe_layer(keys);
    describe_attention_bias(layer, bias, bias);
    for (int i = 0; i < layer->n_sublayers; i++)
        layer->sublayers[i].before.plus_one = true;
    return OK;
}

static enum status describe_gemma(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 3072,
                              .intermediate_size = 24576,
                              .num_hidden_layers = 28,
                              .num_attention_heads = 16,
                              .num_key_value_heads = 16,
                              .head_dim = 256,
                              .vocab_size = 256000,
                              .max_position_embeddings = 8192,
                              .rms_norm_eps = 1e-6,
                              .tie_word_embeddings = true};
    struct layer_config layer;
    TRY(describe_plain(reader, &keys, out));
    TRY(gemma_begin(reader, &keys, out, &layer));
    enum activation *activation = &layer.sublayers[1].mlp.activation;
    TRY(describe_activation(reader, "hidden_act", "gelu_pytorch_tanh", activation));
    // the first releases said "gelu" where the approximation was meant
    if (*activation == ACTIVATION_GELU_ERF)
        *activation = ACTIVATION_GELU_TANH;
    TRY(describe_rope(reader, &keys, NULL, false, out, &layer.sublayers[0].attention.rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_gemma = {
    .model_type = "gemma",
    .architecture = "GemmaForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_gemma,
};
