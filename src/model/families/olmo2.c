// OLMo 2: norms after the blocks, and over all heads of the queries and of the keys together.
//
// Source: Transformers 5.24, models/olmo2 (modeling_olmo2.py, configuration_olmo2.py).
#include <stddef.h>

#include "model/families/olmo_parts.h"

static const struct parameter_row parameters[] = {OLMO_PARAMETERS};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

enum status olmo_layer(const struct config_reader *reader, const struct plain_keys *keys,
                       struct layer_config *layer)
{
    bool bias = false;
    TRY(config_read_flag(reader, "attention_bias", &bias));
    *layer = describe_layer(keys);
    for (int i = 0; i < layer->n_sublayers; i++) {
        layer->sublayers[i].after = layer->sublayers[i].before;
        layer->sublayers[i].before = (struct norm_config){.kind = NORM_NONE};
    }
    struct attention_config *attention = &layer->sublayers[0].attention;
    attention->q_norm = attention->k_norm = layer->sublayers[0].after;
    attention->qk_norm_width = QK_NORM_WHOLE;
    describe_attention_bias(layer, bias, bias);
    return describe_activation(reader, "hidden_act", "silu", &layer->sublayers[1].mlp.activation);
}

static enum status describe_olmo2(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 11008,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .vocab_size = 50304,
                              .max_position_embeddings = 2048,
                              .rms_norm_eps = 1e-5};
    struct layer_config layer;
    TRY(describe_plain(reader, &keys, out));
    TRY(olmo_layer(reader, &keys, &layer));
    TRY(describe_rope(reader, &keys, NULL, false, out, &layer.sublayers[0].attention.rope));
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
