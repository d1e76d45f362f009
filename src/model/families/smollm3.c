// SmolLM3: Llama with layers that have no rotary embedding.
//
// Source: Transformers 5.24, models/smollm3 (modeling_smollm3.py, configuration_smollm3.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

static const struct parameter_row parameters[] = {LLAMA_PARAMETERS};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status add_smollm3_layers(const struct config_reader *reader,
                                      const struct layer_config *layer, struct model_config *out)
{
    int64_t window = 0, interval = 4;
    bool use_window = false, has_rope;
    TRY(config_read_flag(reader, "use_sliding_window", &use_window));
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &window));
    TRY(config_read_int(reader, "no_rope_layer_interval", 1, LAYERS_MAX, &interval));
    for (int32_t i = 0; i < out->num_hidden_layers; i++) {
        struct layer_config own = *layer;
        struct attention_config *attention = &own.sublayers[0].attention;
        TRY(describe_has_rope(reader, i, interval, &has_rope));
        if (!has_rope)
            attention->rope = -1;
        // layer_types counts whatever use_sliding_window says: the mask follows it
        TRY(describe_window(reader, i, use_window && window && !has_rope, window,
                            &attention->sliding_window));
        TRY(describe_add_layer(reader, out, i, &own));
    }
    return OK;
}

static enum status describe_smollm3(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 2048,
                              .intermediate_size = 11008,
                              .num_hidden_layers = 36,
                              .num_attention_heads = 16,
                              .num_key_value_heads = 4,
                              .vocab_size = 128256,
                              .max_position_embeddings = 32768,
                              .rms_norm_eps = 1e-6,
                              .tie_word_embeddings = true,
                              .rope_theta = 2e6};
    bool attention_bias = false, mlp_bias = false;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "attention_bias", &attention_bias));
    TRY(config_read_flag(reader, "mlp_bias", &mlp_bias));
    struct layer_config layer = describe_layer(&keys);
    TRY(describe_activation(reader, "hidden_act", "silu", &layer.sublayers[1].mlp.activation));
    describe_attention_bias(&layer, attention_bias, attention_bias);
    describe_mlp_bias(&layer, mlp_bias);
    TRY(describe_rope(reader, &keys, NULL, false, out, &layer.sublayers[0].attention.rope));
    return add_smollm3_layers(reader, &layer, out);
}

const struct family family_smollm3 = {
    .model_type = "smollm3",
    .architecture = "SmolLM3ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_smollm3,
};
