// GPT-NeoX and Pythia: two LayerNorms, attention and MLP side by side, queries, keys and values in
// one tensor, head by head.
//
// Source: Transformers 5.24, models/gpt_neox (modeling_gpt_neox.py, configuration_gpt_neox.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

#define NEOX_LAYER "gpt_neox.layers.%d."

static const struct parameter_row parameters[] = {
    PARAMETER("gpt_neox.embed_in", -1, SLOT_EMBED),
    PARAMETER_WITH_BIAS(NEOX_LAYER "input_layernorm", 0, SLOT_BEFORE_NORM),
    PARAMETER_HEADS(NEOX_LAYER "attention.query_key_value", 0),
    PARAMETER_WITH_BIAS(NEOX_LAYER "attention.dense", 0, SLOT_ATTENDED),
    PARAMETER_WITH_BIAS(NEOX_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    PARAMETER_WITH_BIAS(NEOX_LAYER "mlp.dense_h_to_4h", 1, SLOT_UP),
    PARAMETER_WITH_BIAS(NEOX_LAYER "mlp.dense_4h_to_h", 1, SLOT_DOWN),
    PARAMETER_WITH_BIAS("gpt_neox.final_layer_norm", -1, SLOT_FINAL_NORM),
    PARAMETER("embed_out", -1, SLOT_LM_HEAD),
};
// Masks that older versions of Transformers wrote into checkpoints.
static const char *const ignored[] = {LLAMA_IGNORED, ".attention.bias", ".attention.masked_bias",
                                      NULL};

// The rope's keys have names of their own here; the usual ones outside of rope_parameters are not
// read.
static enum status read_gpt_neox_rope(const struct config_reader *reader, struct plain_keys *keys,
                                      struct model_config *out, int32_t *index)
{
    keys->rope_theta = 10000;
    keys->partial_rotary_factor = 0.25;
    TRY(config_read_number(reader, "rotary_emb_base", 1, 1e15, &keys->rope_theta));
    TRY(config_read_number(reader, "rotary_pct", 1e-6, 1, &keys->partial_rotary_factor));
    json_t *own = json_copy((json_t *)(uintptr_t)reader->root);
    if (!own)
        return fail_memory(0, "config.json");
    json_object_del(own, "rope_theta");
    json_object_del(own, "partial_rotary_factor");
    const struct config_reader rest = {reader->name, own, reader->architecture};
    enum status status = describe_rope(&rest, keys, NULL, false, out, index);
    json_decref(own);
    return status;
}

static enum status describe_gpt_neox(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 6144,
                              .intermediate_size = 24576,
                              .num_hidden_layers = 44,
                              .num_attention_heads = 64,
                              .own_heads_only = true,
                              .vocab_size = 50432,
                              .max_position_embeddings = 2048,
                              .rms_norm_eps = 1e-5,
                              .eps_key = "layer_norm_eps",
                              .layer_norm = true};
    bool bias = true, parallel = true;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    TRY(config_read_flag(reader, "use_parallel_residual", &parallel));
    struct layer_config layer = describe_layer(&keys);
    layer.sublayers[1].mlp.gated = false;
    TRY(describe_activation(reader, "hidden_act", "gelu", &layer.sublayers[1].mlp.activation));
    describe_attention_bias(&layer, bias, bias);
    describe_mlp_bias(&layer, true);
    if (parallel)
        describe_parallel(&layer, false);
    TRY(read_gpt_neox_rope(reader, &keys, out, &layer.sublayers[0].attention.rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_gpt_neox = {
    .model_type = "gpt_neox",
    .architecture = "GPTNeoXForCausalLM",
    .base_prefix = "gpt_neox.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_gpt_neox,
};
