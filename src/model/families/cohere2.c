// Command R7B and its kin: attention and MLP side by side behind one LayerNorm; windows with
// interleaved rope, full layers without any.
//
// Source: Transformers 5.24, models/cohere2 (modeling_cohere2.py, configuration_cohere2.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

static const struct parameter_row parameters[] = {LLAMA_EMBED, LLAMA_ATTENTION, LLAMA_MLP,
                                                  LLAMA_END};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status add_cohere2_layers(const struct config_reader *reader, struct model_config *out,
                                      const struct layer_config *layer)
{
    int64_t window = 4096, pattern = 4;
    bool is_null = !config_is_absent(reader, "sliding_window") &&
                   json_is_null(json_object_get(reader->root, "sliding_window"));
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &window));
    TRY(config_read_int(reader, "sliding_window_pattern", 1, LAYERS_MAX, &pattern));
    for (int32_t i = 0; i < out->num_hidden_layers; i++) {
        struct layer_config own = *layer;
        struct attention_config *attention = &own.sublayers[0].attention;
        bool slides;
        TRY(describe_slides(reader, i, (i + 1) % pattern != 0, &slides));
        if (slides && is_null)
            return fail(ERR_INPUT,
                        "%s: key \"sliding_window\" is null; expected a number, as layer %d is of "
                        "the type \"sliding_attention\"",
                        reader->name, (int)i);
        if (slides)
            attention->sliding_window = window;
        else
            attention->rope = -1;
        TRY(describe_add_layer(reader, out, i, &own));
    }
    return OK;
}

static enum status describe_cohere2(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 8192,
                              .intermediate_size = 22528,
                              .num_hidden_layers = 40,
                              .num_attention_heads = 64,
                              .vocab_size = 256000,
                              .max_position_embeddings = 8192,
                              .rms_norm_eps = 1e-5,
                              .eps_key = "layer_norm_eps",
                              .layer_norm = true,
                              .no_norm_bias = true,
                              .tie_word_embeddings = true};
    bool bias = false;
    double scale = 0.0625;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    TRY(config_read_number(reader, "logit_scale", -1e6, 1e6, &scale));
    out->logit_multiplier = (float)scale;
    struct layer_config layer = describe_layer(&keys);
    TRY(describe_activation(reader, "hidden_act", "silu", &layer.sublayers[1].mlp.activation));
    describe_attention_bias(&layer, bias, bias);
    describe_parallel(&layer, true);
    TRY(describe_rope(reader, &keys, NULL, true, out, &layer.sublayers[0].attention.rope));
    return add_cohere2_layers(reader, out, &layer);
}

const struct family family_cohere2 = {
    .model_type = "cohere2",
    .architecture = "Cohere2ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_cohere2,
};
