// Granite 4: Granite with Mamba-2 in the place of attention in most layers, a rope only where
// position_embedding_type says so, and one fused MLP that all tokens have; beside experts, or
// alone.
//
// Source: Transformers 5.24, models/granitemoehybrid (modeling_granitemoehybrid.py,
// configuration_granitemoehybrid.py).
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "model/families/granite_parts.h"

#define MLP LLAMA_LAYER "shared_mlp."
#define EXPERTS LLAMA_LAYER "block_sparse_moe."
static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LLAMA_ATTENTION,
    PARAMETERS_MAMBA(LLAMA_LAYER "mamba.", 0),
    PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    PARAMETER_PAIR(MLP "input_linear", 1, SLOT_GATE, SLOT_UP),
    PARAMETER(MLP "output_linear", 1, SLOT_DOWN),
    PARAMETER(EXPERTS "router.layer", 1, SLOT_EXPERT_ROUTER),
    PARAMETER_EXPERT_PAIR(EXPERTS "input_linear.weight", 1, EXPERTS "experts.gate_up_proj"),
    PARAMETER_EXPERTS(EXPERTS "output_linear", 1, SLOT_EXPERT_DOWN, EXPERTS "experts.down_proj"),
    PARAMETER_PAIR(MLP "input_linear", 2, SLOT_GATE, SLOT_UP), // beside experts
    PARAMETER(MLP "output_linear", 2, SLOT_DOWN),
    LLAMA_END,
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};
#define FIRST_EXPERTS "model.layers.0.block_sparse_moe.experts"
static const char *const idle_rules[] = {FIRST_EXPERTS, FIRST_EXPERTS ".gate_up_proj",
                                         FIRST_EXPERTS ".down_proj", NULL};

enum { WORD_MAMBA, WORD_OLDER_MAMBA, WORD_ATTENTION, WORD_OLDER_ATTENTION };
static const char *const words[] = {"linear_attention", "mamba", "full_attention", "attention",
                                    NULL};

static bool is_mamba(uint8_t word)
{
    return word == WORD_MAMBA || word == WORD_OLDER_MAMBA;
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

// Of all layers; none where num_local_experts is 0.
static enum status read_granite_experts(const struct config_reader *reader,
                                        enum activation activation, struct layer_config *layer)
{
    const struct experts_keys absent = {.count_key = "num_local_experts",
                                        .other_count_key = "num_experts",
                                        .num_experts = 8,
                                        .num_experts_per_tok = 2,
                                        .intermediate_key = "intermediate_size",
                                        .intermediate_size = 11008,
                                        .scoring = ROUTER_CHOSEN_SOFTMAX};
    const struct mlp_config shared = layer->sublayers[1].mlp;
    struct experts_config experts;
    const json_t *count = json_object_get(reader->root, absent.count_key);
    if (json_is_integer(count) && json_integer_value(count) == 0)
        return OK;
    TRY(describe_experts(reader, &absent, &experts));
    experts.activation = activation;
    describe_sparse_layer(&experts, layer);
    describe_shared_expert(layer, &shared);
    return OK;
}

static enum status read_granite_mamba(const struct config_reader *reader,
                                      const struct plain_keys *plain, struct mamba_config *out)
{
    struct mamba_keys keys;
    int64_t expand = 2;
    describe_mamba_names(&keys);
    keys.inner_name = "mamba_expand times hidden_size";
    keys.absent.norm = (struct norm_config){.kind = NORM_RMS, .eps = (float)plain->rms_norm_eps};
    TRY(describe_expect_silu(reader, "hidden_act"));
    TRY(config_read_int(reader, "mamba_expand", 1, MAMBA_EXPAND_MAX, &expand));
    keys.inner = (int32_t)expand * plain->hidden_size;
    TRY(describe_mamba(reader, &keys, out));
    out->out_bias = out->in_bias;
    return OK;
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
    struct mamba_config mamba;
    uint8_t word[LAYERS_MAX];
    bool has_mamba = false;
    TRY(describe_plain(reader, &keys, out));
    TRY(describe_layer_words(reader, words, out->num_hidden_layers, WORD_MAMBA, word));
    struct layer_config attends = describe_layer(&keys);
    TRY(granite_multiply(reader, out, &attends));
    TRY(read_granite_experts(reader, attends.sublayers[1].mlp.activation, &attends));
    struct layer_config scans = attends;
    for (int32_t i = 0; i < out->num_hidden_layers; i++)
        has_mamba = has_mamba || is_mamba(word[i]);
    if (has_mamba) {
        TRY(read_granite_mamba(reader, &keys, &mamba));
        describe_mamba_layer(&mamba, &scans);
    }
    TRY(read_rope(reader, &keys, out, &attends.sublayers[0].attention.rope));
    for (int32_t i = 0; i < out->num_hidden_layers; i++)
        TRY(describe_add_layer(reader, out, i, is_mamba(word[i]) ? &scans : &attends));
    return OK;
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
