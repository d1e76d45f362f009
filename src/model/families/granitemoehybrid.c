// Granite 4 without experts and without Mamba layers: Granite with one fused MLP, and a rope only
// where position_embedding_type says so.
//
// Source: Transformers 5.24, models/granitemoehybrid (modeling_granitemoehybrid.py,
// configuration_granitemoehybrid.py).
#include <stddef.h>
#include <string.h>

#include "model/families/granite_parts.h"

#define MLP LLAMA_LAYER "shared_mlp."
static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LLAMA_ATTENTION,
    PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    PARAMETER_PAIR(MLP "input_linear", 1, SLOT_GATE, SLOT_UP),
    PARAMETER(MLP "output_linear", 1, SLOT_DOWN),
    LLAMA_END,
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};
#define EXPERTS "model.layers.0.block_sparse_moe.experts"
static const char *const idle_rules[] = {EXPERTS, EXPERTS ".gate_up_proj", EXPERTS ".down_proj",
                                         NULL};

static enum status check_experts(const struct config_reader *reader)
{
    int64_t experts = config_is_absent(reader, "num_local_experts") ? 8 : 0;
    TRY(config_read_int(reader, "num_local_experts", 0, 1 << 16, &experts));
    if (experts == 0)
        return OK;
    return fail(ERR_UNSUPPORTED,
                "%s: key \"num_local_experts\" is %lld%s; expected 0: experts are not supported",
                reader->name, (long long)experts,
                config_is_absent(reader, "num_local_experts") ? " (absent, the default)" : "");
}

// layer_types has an older name, and so have its words. Without it every layer is a Mamba layer.
static enum status check_layers(const struct config_reader *reader, int32_t n_layers)
{
    static const char *const keys[] = {"layer_types", "layers_block_type"};
    json_t *list = NULL;
    bool older = config_is_absent(reader, keys[0]) && !config_is_absent(reader, keys[1]);
    const char *key = keys[older];
    bool found;
    TRY(json_get_array(reader->root, reader->name, key, &list, &found));
    for (int32_t i = 0; i < n_layers; i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        const char *text = json_is_string(item) ? json_string_value(item) : "";
        if (strcmp(text, "attention") != 0 && strcmp(text, "full_attention") != 0)
            return fail(ERR_UNSUPPORTED,
                        "%s: key \"%s\" has %s for layer %d; expected \"attention\" for each of "
                        "the layers: Mamba layers are not supported",
                        reader->name, key, item ? json_show(item) : "nothing", (int)i);
    }
    return OK;
}

static enum status read_rope(const struct config_reader *reader, const struct plain_keys *keys,
                             struct model_config *out, int32_t *index)
{
    const char *type = "";
    bool found;
    *index = -1;
    TRY(json_get_text(reader->root, reader->name, "position_embedding_type", &type, &found));
    if (strcmp(type, "rope") != 0) // "nope", null or absent
        return OK;
    return describe_rope(reader, keys, NULL, false, out, index);
}

static enum status describe_granitemoehybrid(const struct config_reader *reader,
                                             struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 1024,
                              .intermediate_key = "shared_intermediate_size",
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .vocab_size = 32000,
                              .max_position_embeddings = 2048,
                              .rms_norm_eps = 1e-6};
    TRY(check_experts(reader));
    TRY(describe_plain(reader, &keys, out));
    TRY(check_layers(reader, out->num_hidden_layers));
    struct layer_config layer = describe_layer(&keys);
    TRY(granite_multiply(reader, out, &layer));
    TRY(read_rope(reader, &keys, out, &layer.sublayers[0].attention.rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_granitemoehybrid = {
    .model_type = "granitemoehybrid",
    .architecture = "GraniteMoeHybridForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .idle_rules = idle_rules,
    .describe = describe_granitemoehybrid,
};
