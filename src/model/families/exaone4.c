// EXAONE 4.0: norms after the blocks and of each head; with windows, full layers have no rope.
//
// Source: Transformers 5.24, models/exaone4 (modeling_exaone4.py, configuration_exaone4.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    PARAMETER(LLAMA_LAYER "self_attn.q_proj", 0, SLOT_QUERY),
    PARAMETER(LLAMA_LAYER "self_attn.k_proj", 0, SLOT_KEY),
    PARAMETER(LLAMA_LAYER "self_attn.v_proj", 0, SLOT_VALUE),
    PARAMETER(LLAMA_LAYER "self_attn.o_proj", 0, SLOT_ATTENDED),
    LLAMA_QK_NORMS,
    PARAMETER(LLAMA_LAYER "post_attention_layernorm", 0, SLOT_AFTER_NORM),
    LLAMA_MLP,
    PARAMETER(LLAMA_LAYER "post_feedforward_layernorm", 1, SLOT_AFTER_NORM),
    LLAMA_END,
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status add_exaone4_layers(const struct config_reader *reader, struct model_config *out,
                                      const struct layer_config *layer)
{
    int64_t window = config_is_absent(reader, "sliding_window") ? 4096 : 0, pattern = 4;
    bool listed = !config_is_absent(reader, "layer_types");
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &window));
    if (!listed) // beside a list it may be a text, "LLLG"
        TRY(config_read_int(reader, "sliding_window_pattern", 1, LAYERS_MAX, &pattern));
    for (int32_t i = 0; i < out->num_hidden_layers; i++) {
        struct layer_config own = *layer;
        struct attention_config *attention = &own.sublayers[0].attention;
        bool slides;
        TRY(describe_slides(reader, i, window && (i + 1) % pattern != 0, &slides));
        if (slides && !window)
            return fail(ERR_INPUT,
                        "%s: key \"sliding_window\" is null; expected a number, as layer %d is of "
                        "the type \"sliding_attention\"",
                        reader->name, (int)i);
        if (slides)
            attention->sliding_window = window;
        else if (window)
            attention->rope = -1;
        TRY(describe_add_layer(reader, out, i, &own));
    }
    return OK;
}

static enum status describe_exaone4(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 16384,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 32,
                              .vocab_size = 102400,
                              .max_position_embeddings = 2048,
                              .rms_norm_eps = 1e-5};
    TRY(describe_plain(reader, &keys, out));
    struct layer_config layer = describe_layer(&keys);
    TRY(describe_activation(reader, "hidden_act", "silu", &layer.sublayers[1].mlp.activation));
    struct attention_config *attention = &layer.sublayers[0].attention;
    for (int i = 0; i < layer.n_sublayers; i++) {
        layer.sublayers[i].after = layer.sublayers[i].before;
        layer.sublayers[i].before = (struct norm_config){.kind = NORM_NONE};
    }
    attention->q_norm = attention->k_norm = layer.sublayers[0].after;
    TRY(describe_rope(reader, &keys, NULL, false, out, &attention->rope));
    return add_exaone4_layers(reader, out, &layer);
}

const struct family family_exaone4 = {
    .model_type = "exaone4",
    .architecture = "Exaone4ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_exaone4,
};
