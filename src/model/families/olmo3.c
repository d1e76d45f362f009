// OLMo 3: OLMo 2 with windows on three of four layers; only the others have a scaled rope.
//
// Source: Transformers 5.24, models/olmo3 (modeling_olmo3.py, configuration_olmo3.py).
#include <stddef.h>

#include "model/families/olmo_parts.h"

static const struct parameter_row parameters[] = {OLMO_PARAMETERS};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

// rope_theta and rope_scaling of an older file are those of layers without a window; the others
// have the default base, whatever it says.
static enum status read_olmo3_ropes(const struct config_reader *reader,
                                    const struct plain_keys *keys, struct model_config *out,
                                    int32_t *full, int32_t *sliding)
{
    struct rope_reading reading = describe_rope_reading(keys);
    reading.layer_type = "full_attention";
    TRY(describe_rope_as(reader, keys, &reading, false, out, full));
    reading.layer_type = "sliding_attention";
    reading.theta_key = NULL;
    reading.ignore_scaling = true;
    return describe_rope_as(reader, keys, &reading, false, out, sliding);
}

static enum status add_olmo3_layers(const struct config_reader *reader,
                                    const struct plain_keys *keys, struct layer_config *layer,
                                    struct model_config *out)
{
    struct attention_config *attention = &layer->sublayers[0].attention;
    int64_t window = config_is_absent(reader, "sliding_window") ? 4096 : 0;
    int32_t full, sliding;
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &window));
    TRY(read_olmo3_ropes(reader, keys, out, &full, &sliding));
    for (int32_t i = 0; i < out->num_hidden_layers; i++) {
        TRY(describe_window(reader, i, (i + 1) % 4 != 0, window, &attention->sliding_window));
        attention->rope = attention->sliding_window ? sliding : full;
        TRY(describe_add_layer(reader, out, i, layer));
    }
    return OK;
}

static enum status describe_olmo3(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 11008,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .vocab_size = 50304,
                              .max_position_embeddings = 2048,
                              .rms_norm_eps = 1e-5,
                              .rope_theta = 500000};
    struct layer_config layer;
    TRY(describe_plain(reader, &keys, out));
    TRY(olmo_layer(reader, &keys, &layer));
    return add_olmo3_layers(reader, &keys, &layer, out);
}

const struct family family_olmo3 = {
    .model_type = "olmo3",
    .architecture = "Olmo3ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_olmo3,
};
