// Qwen2, Qwen2.5 and the text part of Qwen2.5-VL: Llama with biases on the queries, keys and
// values.
//
// Source: Transformers 5.24, models/qwen2 and models/qwen2_5_vl (modeling_*.py,
// configuration_*.py).
#include <stddef.h>

#include "model/families/llama_names.h"
#include "model/families/qwen_windows.h"

static const struct parameter_row parameters[] = {LLAMA_PARAMETERS};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

enum status qwen_add_layers(const struct config_reader *reader, int64_t first,
                            struct model_config *out, const struct layer_config *layer)
{
    int64_t window = config_is_absent(reader, "sliding_window") ? 4096 : 0;
    bool use_window = false;
    TRY(config_read_flag(reader, "use_sliding_window", &use_window));
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &window));
    TRY(config_read_int(reader, "max_window_layers", 0, LAYERS_MAX, &first));
    for (int32_t i = 0; i < out->num_hidden_layers; i++) {
        struct layer_config own = *layer;
        bool slides;
        TRY(describe_slides(reader, i, use_window && window && i >= first, &slides));
        if (slides && !(use_window && window))
            return fail(ERR_INPUT,
                        "%s: key \"layer_types\" has \"sliding_attention\" for layer %d; expected "
                        "keys \"use_sliding_window\": true and \"sliding_window\" beside it",
                        reader->name, (int)i);
        own.sublayers[0].attention.sliding_window = slides ? window : 0;
        TRY(describe_add_layer(reader, out, i, &own));
    }
    return OK;
}

static enum status describe_all(const struct config_reader *reader, struct plain_keys *keys,
                                int64_t first_window, struct model_config *out)
{
    TRY(describe_plain(reader, keys, out));
    struct layer_config layer = describe_layer(keys);
    TRY(describe_activation(reader, "hidden_act", "silu", &layer.sublayers[1].mlp.activation));
    struct attention_config *attention = &layer.sublayers[0].attention;
    attention->q_bias = attention->k_bias = attention->v_bias = true;
    TRY(describe_rope(reader, keys, NULL, false, out, &attention->rope));
    return qwen_add_layers(reader, first_window, out, &layer);
}

static enum status describe_qwen2(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 22016,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 32,
                              .vocab_size = 151936,
                              .max_position_embeddings = 32768,
                              .rms_norm_eps = 1e-6};
    return describe_all(reader, &keys, 28, out);
}

// Qwen 2.5-VL's text part. Positions of text are alike in mrope's three parts.
static enum status describe_qwen2_5_vl(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 8192,
                              .intermediate_size = 29568,
                              .num_hidden_layers = 80,
                              .num_attention_heads = 64,
                              .num_key_value_heads = 8,
                              .vocab_size = 152064,
                              .max_position_embeddings = 32768,
                              .rms_norm_eps = 1e-5,
                              .rope_theta = 1000000,
                              .allow_mrope = true};
    return describe_all(reader, &keys, 80, out);
}

const struct family family_qwen2 = {
    .model_type = "qwen2",
    .architecture = "Qwen2ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_qwen2,
};

const struct family family_qwen2_5_vl = {
    .model_type = "qwen2_5_vl_text",
    .architecture = "Qwen2_5_VLTextModel",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_qwen2_5_vl,
};
