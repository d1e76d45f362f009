// Llama 4's text models: layers that attend within blocks of positions, every fourth one to all
// positions and without a rotary embedding, with queries that grow; some layers with experts, whose
// inputs are weighted, and one that all tokens have. All experts of a layer in two tensors with
// rows and columns exchanged.
//
// Source: Transformers 5.24, models/llama4 (modeling_llama4.py, configuration_llama4.py).
#include <stddef.h>
#include <string.h>

#include "model/families/moe_names.h"

#define FORWARD LLAMA_LAYER "feed_forward."
static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LLAMA_ATTENTION,
    PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    PARAMETER(FORWARD "gate_proj", 1, SLOT_GATE),
    PARAMETER(FORWARD "up_proj", 1, SLOT_UP),
    PARAMETER(FORWARD "down_proj", 1, SLOT_DOWN),
    PARAMETER(FORWARD "router", 1, SLOT_EXPERT_ROUTER),
    {.name = FORWARD "experts.gate_up_proj",
     .sublayer = 1,
     .n_slots = 2,
     .slots = {SLOT_EXPERT_GATE, SLOT_EXPERT_UP},
     .transposed = true,
     .planned = FORWARD "experts.gate_up_proj"},
    {.name = FORWARD "experts.down_proj",
     .sublayer = 1,
     .n_slots = 1,
     .slots = {SLOT_EXPERT_DOWN},
     .transposed = true,
     .planned = FORWARD "experts.down_proj"},
    MOE_SHARED(PARAMETER, "feed_forward.shared_expert"),
    LLAMA_END};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

struct llama4 {
    const struct config_reader *reader;
    struct model_config *out;
    struct layer_config dense, sparse;
    bool is_sparse[LAYERS_MAX];
    bool normed;           // queries and keys of layers with a rotary embedding
    bool grows;            // queries of those without
    int64_t chunk;         // 0: none
    int64_t rope_interval; // every so many-th layer is without
    int64_t floor_scale;
    double attention_scale;
};

static enum status read_sparse_layers(struct llama4 *l)
{
    int64_t step = 1;
    TRY(config_read_int(l->reader, "interleave_moe_layer_step", 1, LAYERS_MAX, &step));
    if (json_is_array(json_object_get(l->reader->root, "moe_layers")))
        return describe_layers_of_list(l->reader, "moe_layers", l->is_sparse);
    for (int i = 0; i < LAYERS_MAX; i++)
        l->is_sparse[i] = (i + 1) % step == 0;
    return OK;
}

static enum status read_llama4_keys(struct llama4 *l)
{
    const struct config_reader *reader = l->reader;
    l->normed = l->grows = true;
    l->chunk = config_is_absent(reader, "attention_chunk_size") ? 8192 : 0;
    l->rope_interval = 4;
    l->floor_scale = 8192;
    l->attention_scale = 0.1;
    TRY(config_read_flag(reader, "use_qk_norm", &l->normed));
    TRY(config_read_flag(reader, "attn_temperature_tuning", &l->grows));
    TRY(config_read_int(reader, "attention_chunk_size", 1, POSITIONS_MAX, &l->chunk));
    TRY(config_read_int(reader, "no_rope_layer_interval", 1, LAYERS_MAX, &l->rope_interval));
    TRY(config_read_int(reader, "floor_scale", 1, POSITIONS_MAX, &l->floor_scale));
    TRY(config_read_number(reader, "attn_scale", -1e3, 1e3, &l->attention_scale));
    return read_sparse_layers(l);
}

// Whether a layer attends within blocks: what layer_types says, else those with a rotary embedding.
static enum status find_attention_blocks(const struct llama4 *l, int32_t layer, bool has_rope,
                                         bool *out)
{
    json_t *list;
    bool found;
    *out = has_rope && l->chunk;
    TRY(json_get_array(l->reader->root, l->reader->name, "layer_types", &list, &found));
    if (!found)
        return OK;
    const json_t *item = json_array_get(list, (size_t)layer);
    const char *text = json_is_string(item) ? json_string_value(item) : "";
    *out = strcmp(text, "chunked_attention") == 0;
    if (!*out && strcmp(text, "full_attention") != 0)
        return fail(ERR_INPUT,
                    "%s: key \"layer_types\" has %s for layer %d; expected \"full_attention\" or "
                    "\"chunked_attention\" for each of the layers",
                    l->reader->name, item ? json_show(item) : "nothing", (int)layer);
    if (*out && !l->chunk)
        return fail(ERR_INPUT,
                    "%s: key \"attention_chunk_size\" says nothing; expected a number: layer %d "
                    "attends within blocks",
                    l->reader->name, (int)layer);
    return OK;
}

static enum status add_llama4_layer(const struct llama4 *l, int32_t layer)
{
    struct layer_config own = l->is_sparse[layer] ? l->sparse : l->dense;
    struct attention_config *attention = &own.sublayers[0].attention;
    bool has_rope;
    // an empty list counts as none
    if (json_array_size(json_object_get(l->reader->root, "no_rope_layers")) > 0)
        TRY(describe_has_rope(l->reader, layer, l->rope_interval, &has_rope));
    else
        has_rope = (layer + 1) % l->rope_interval != 0;
    if (has_rope && l->normed) {
        attention->q_norm = own.sublayers[0].before;
        attention->q_norm.weightless = true;
        attention->k_norm = attention->q_norm;
        attention->qk_norm_after_rope = true;
    }
    if (!has_rope) {
        attention->rope = -1;
        attention->temperature_beta = l->grows ? (float)l->attention_scale : 0;
        attention->temperature_length = l->grows ? l->floor_scale : 0;
        attention->temperature_first = l->grows;
    }
    TRY(find_attention_blocks(l, layer, has_rope, &attention->chunked));
    attention->sliding_window = attention->chunked ? l->chunk : 0;
    return describe_add_layer(l->reader, l->out, layer, &own);
}

static enum status read_scaled_experts(const struct config_reader *reader,
                                       struct experts_config *out)
{
    const struct experts_keys absent = {.count_key = "num_local_experts",
                                        .other_count_key = "num_experts",
                                        .num_experts = 16,
                                        .num_experts_per_tok = 1,
                                        .intermediate_key = "intermediate_size",
                                        .intermediate_size = 8192,
                                        .scoring = ROUTER_CHOSEN_SIGMOID};
    TRY(describe_experts(reader, &absent, out));
    out->scales_inputs = true;
    return describe_activation(reader, "hidden_act", "silu", &out->activation);
}

static enum status describe_llama4(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 5120,
                              .intermediate_size = 16384,
                              .intermediate_key = "intermediate_size_mlp",
                              .num_hidden_layers = 48,
                              .num_attention_heads = 40,
                              .num_key_value_heads = 8,
                              .head_dim = 128,
                              .vocab_size = 202048,
                              .max_position_embeddings = 131072,
                              .rms_norm_eps = 1e-5,
                              .rope_theta = 500000};
    struct llama4 l = {.reader = reader, .out = out};
    struct experts_config experts;
    bool bias = false;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    TRY(read_llama4_keys(&l));
    TRY(read_scaled_experts(reader, &experts));
    l.dense = describe_layer(&keys);
    l.dense.sublayers[1].mlp.activation = experts.activation;
    describe_attention_bias(&l.dense, bias, bias);
    TRY(describe_rope(reader, &keys, NULL, true, out, &l.dense.sublayers[0].attention.rope));
    l.sparse = l.dense;
    struct mlp_config shared = l.dense.sublayers[1].mlp;
    shared.intermediate_size = experts.intermediate_size;
    describe_sparse_layer(&experts, &l.sparse);
    describe_shared_expert(&l.sparse, &shared);
    for (int32_t i = 0; i < out->num_hidden_layers; i++)
        TRY(add_llama4_layer(&l, i));
    return OK;
}

const struct family family_llama4 = {
    .model_type = "llama4_text",
    .architecture = "Llama4ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_llama4,
};
