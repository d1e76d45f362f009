// Phi-3 and Phi-4-mini: Llama with fused projections, perhaps a window, and a rope that turns a
// part of a head or knows two sets of frequencies (longrope).
//
// Source: Transformers 5.24, models/phi3 (modeling_phi3.py, configuration_phi3.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    PARAMETER(LLAMA_LAYER "input_layernorm", 0, SLOT_BEFORE_NORM),
    {.name = LLAMA_LAYER "self_attn.qkv_proj.weight",
     .sublayer = 0,
     .n_slots = 3,
     .slots = {SLOT_QUERY, SLOT_KEY, SLOT_VALUE}},
    PARAMETER(LLAMA_LAYER "self_attn.o_proj", 0, SLOT_ATTENDED),
    PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    PARAMETER_PAIR(LLAMA_LAYER "mlp.gate_up_proj", 1, SLOT_GATE, SLOT_UP),
    PARAMETER(LLAMA_LAYER "mlp.down_proj", 1, SLOT_DOWN),
    LLAMA_END,
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status describe_phi3(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 3072,
                              .intermediate_size = 8192,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .vocab_size = 32064,
                              .max_position_embeddings = 4096,
                              .rms_norm_eps = 1e-5,
                              .partial_rotary_factor = 1};
    TRY(describe_plain(reader, &keys, out));
    struct layer_config layer = describe_layer(&keys);
    struct attention_config *attention = &layer.sublayers[0].attention;
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &attention->sliding_window));
    TRY(describe_activation(reader, "hidden_act", "silu", &layer.sublayers[1].mlp.activation));
    struct rope_reading reading = describe_rope_reading(&keys);
    reading.only_longrope = true;
    reading.original_max_position_embeddings = 4096; // the config's own key, or this
    TRY(describe_rope_as(reader, &keys, &reading, false, out, &attention->rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_phi3 = {
    .model_type = "phi3",
    .architecture = "Phi3ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_phi3,
};
