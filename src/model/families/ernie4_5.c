// ERNIE 4.5, the dense ones: Llama with interleaved rope, and one key for all biases.
//
// Source: Transformers 5.24, models/ernie4_5 (modeling_ernie4_5.py, configuration_ernie4_5.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

static const struct parameter_row parameters[] = {LLAMA_PARAMETERS};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status describe_ernie4_5(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 1024,
                              .intermediate_size = 3072,
                              .num_hidden_layers = 18,
                              .num_attention_heads = 16,
                              .num_key_value_heads = 2,
                              .head_dim = 128,
                              .vocab_size = 103424,
                              .max_position_embeddings = 131072,
                              .rms_norm_eps = 1e-5,
                              .rope_theta = 500000,
                              .tie_word_embeddings = true};
    bool bias = false;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "use_bias", &bias));
    struct layer_config layer = describe_layer(&keys);
    TRY(describe_activation(reader, "hidden_act", "silu", &layer.sublayers[1].mlp.activation));
    describe_attention_bias(&layer, bias, bias);
    describe_mlp_bias(&layer, bias);
    TRY(describe_rope(reader, &keys, NULL, true, out, &layer.sublayers[0].attention.rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_ernie4_5 = {
    .model_type = "ernie4_5",
    .architecture = "Ernie4_5ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_ernie4_5,
};
