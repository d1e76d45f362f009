// Ministral 3: Mistral whose queries grow with their position.
//
// Source: Transformers 5.24, models/ministral3 (modeling_ministral3.py,
// configuration_ministral3.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

static const struct parameter_row parameters[] = {LLAMA_PARAMETERS};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

// What Transformers' class gives a config.json without rope_parameters.
static enum status add_ministral3_rope(const struct config_reader *reader,
                                       const struct plain_keys *keys, struct model_config *out,
                                       struct attention_config *attention)
{
    struct rope_config rope = {.type = ROPE_YARN,
                               .theta = 1e6,
                               .factor = 16,
                               .beta_fast = 32,
                               .beta_slow = 1,
                               .mscale = 1,
                               .mscale_all_dim = 1,
                               .truncate = true,
                               .original_max_position_embeddings = 16384};
    attention->temperature_beta = 0.1F;
    attention->temperature_length = 16384;
    return describe_default_rope(reader, keys, &rope, out, &attention->rope);
}

// Queries times 1 + beta · ln(1 + floor(position / original length)).
static enum status read_ministral3_rope(const struct config_reader *reader,
                                        const struct plain_keys *keys, struct model_config *out,
                                        struct attention_config *attention)
{
    double beta = 0, length = (double)keys->max_position_embeddings;
    if (rope_config_is_absent(reader->root))
        return add_ministral3_rope(reader, keys, out, attention);
    TRY(describe_rope(reader, keys, NULL, false, out, &attention->rope));
    TRY(describe_rope_number(reader, "llama_4_scaling_beta", -1e3, 1e3, &beta));
    TRY(describe_rope_number(reader, "original_max_position_embeddings", 1, POSITIONS_MAX,
                             &length));
    TRY(config_read_number(reader, "original_max_position_embeddings", 1, POSITIONS_MAX, &length));
    if (beta == 0)
        return OK;
    attention->temperature_beta = (float)beta;
    attention->temperature_length = (int64_t)length;
    return OK;
}

static enum status describe_ministral3(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 14336,
                              .num_hidden_layers = 34,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 8,
                              .head_dim = 128,
                              .vocab_size = 131072,
                              .max_position_embeddings = 262144,
                              .rms_norm_eps = 1e-5};
    int64_t window = 0;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &window));
    TRY(describe_same_layer_types(reader, window ? "sliding_attention" : "full_attention"));
    struct layer_config layer = describe_layer(&keys);
    TRY(describe_activation(reader, "hidden_act", "silu", &layer.sublayers[1].mlp.activation));
    layer.sublayers[0].attention.sliding_window = window;
    TRY(read_ministral3_rope(reader, &keys, out, &layer.sublayers[0].attention));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_ministral3 = {
    .model_type = "ministral3",
    .architecture = "Ministral3ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_ministral3,
};
