// Granite with windows, a sink for each query head, and a rope of its own for each layer.
//
// Source: Transformers 5.24, models/granite_swa (modeling_granite_swa.py,
// configuration_granite_swa.py).
#include <stddef.h>

#include "model/families/granite_parts.h"

static const struct parameter_row parameters[] = {
    LLAMA_PARAMETERS,
    PARAMETER_NAMED(LLAMA_LAYER "self_attn.sinks", 0, SLOT_SINKS),
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};
static const double theta_max = 1e15;

// layer_rope_theta: the base of each layer's rope, 0 for none, instead of rope_theta.
static enum status read_layer_rope(const struct config_reader *reader,
                                   const struct plain_keys *keys, int32_t layer,
                                   struct model_config *out, int32_t *index)
{
    struct rope_reading reading = describe_rope_reading(keys);
    json_t *list = NULL;
    bool found;
    TRY(json_get_array(reader->root, reader->name, "layer_rope_theta", &list, &found));
    if (!found)
        return describe_rope_as(reader, keys, &reading, false, out, index);
    const json_t *item = json_array_get(list, (size_t)layer);
    reading.fixed_theta = json_is_number(item) ? json_number(item) : -1;
    *index = -1;
    if (!(reading.fixed_theta < 0 || reading.fixed_theta > 0)) // layers without a rope
        return OK;
    if (!(reading.fixed_theta >= 1 && reading.fixed_theta <= theta_max))
        return fail(ERR_INPUT,
                    "%s: key \"layer_rope_theta\" has %s for layer %d; expected 0 or a number from "
                    "1 to %g for each layer",
                    reader->name, item ? json_show(item) : "nothing", (int)layer, theta_max);
    return describe_rope_as(reader, keys, &reading, false, out, index);
}

static enum status describe_granite_swa(const struct config_reader *reader,
                                        struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 2560,
                              .intermediate_size = 8192,
                              .num_hidden_layers = 24,
                              .num_attention_heads = 20,
                              .num_key_value_heads = 4,
                              .vocab_size = 100352,
                              .max_position_embeddings = 8192,
                              .rms_norm_eps = 1e-5,
                              .tie_word_embeddings = true};
    int64_t window = config_is_absent(reader, "sliding_window") ? 128 : 0;
    bool mlp_bias = false;
    TRY(describe_plain(reader, &keys, out));
    struct layer_config layer = describe_layer(&keys);
    struct attention_config *attention = &layer.sublayers[0].attention;
    TRY(granite_multiply(reader, out, &layer));
    TRY(config_read_flag(reader, "mlp_bias", &mlp_bias));
    describe_mlp_bias(&layer, mlp_bias);
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &window));
    attention->sinks = true;
    for (int32_t i = 0; i < out->num_hidden_layers; i++) {
        TRY(read_layer_rope(reader, &keys, i, out, &attention->rope));
        TRY(describe_window(reader, i, i % 4 != 0, window, &attention->sliding_window));
        TRY(describe_add_layer(reader, out, i, &layer));
    }
    return OK;
}

const struct family family_granite_swa = {
    .model_type = "granite_swa",
    .architecture = "GraniteSWAForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_granite_swa,
};
