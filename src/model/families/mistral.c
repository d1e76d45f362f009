// Mistral: Llama with a sliding window on every layer and without biases.
//
// Source: Transformers 5.24, models/mistral (modeling_mistral.py, configuration_mistral.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

static const struct parameter_row parameters[] = {LLAMA_PARAMETERS};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status refuse_bias(const struct config_reader *reader, const char *key)
{
    bool bias = false;
    TRY(config_read_flag(reader, key, &bias));
    if (bias)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"%s\" is true; expected false or nothing: %s has no biases",
                    reader->name, key, reader->architecture);
    return OK;
}

static enum status describe_mistral(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 14336,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 8,
                              .vocab_size = 32000,
                              .max_position_embeddings = 131072,
                              .rms_norm_eps = 1e-6};
    int64_t window = config_is_absent(reader, "sliding_window") ? 4096 : 0;
    TRY(describe_plain(reader, &keys, out));
    TRY(refuse_bias(reader, "attention_bias"));
    TRY(refuse_bias(reader, "mlp_bias"));
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &window));
    TRY(describe_same_layer_types(reader, window ? "sliding_attention" : "full_attention"));
    struct layer_config layer = describe_layer(&keys);
    TRY(describe_activation(reader, "hidden_act", "silu", &layer.sublayers[1].mlp.activation));
    struct attention_config *attention = &layer.sublayers[0].attention;
    attention->sliding_window = window;
    TRY(describe_rope(reader, &keys, NULL, false, out, &attention->rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_mistral = {
    .model_type = "mistral",
    .architecture = "MistralForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_mistral,
};
