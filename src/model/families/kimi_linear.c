// Kimi Linear: three of four layers follow the gated delta rule with a decay for each number of a
// key (Kimi Delta Attention), the others are latent attention without a rope; the first layers
// dense, the others with DeepSeek's experts.
//
// Source: Transformers 5.24, models/kimi_linear (modeling_kimi_linear.py,
// configuration_kimi_linear.py) and conversion_mapping.py.
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "model/families/latent_names.h"

#define KIMI LLAMA_LAYER "self_attn."
#define FORGET LLAMA_LAYER "self_attn.forget_gate."
#define MOE LLAMA_LAYER "block_sparse_moe."
static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LATENT_ATTENTION,
    PARAMETER(KIMI "q_proj", 0, SLOT_DELTA_QUERY),
    PARAMETER(KIMI "k_proj", 0, SLOT_DELTA_KEY),
    PARAMETER(KIMI "v_proj", 0, SLOT_DELTA_VALUE),
    PARAMETER(KIMI "b_proj", 0, SLOT_DELTA_BETA),
    PARAMETER(KIMI "g_a_proj", 0, SLOT_DELTA_GATE_DOWN),
    PARAMETER(KIMI "g_b_proj", 0, SLOT_DELTA_GATE_UP),
    PARAMETER_PLANNED(KIMI "f_a_proj", 0, SLOT_DELTA_STEP_DOWN, FORGET "f_a_proj"),
    PARAMETER_PLANNED(KIMI "f_b_proj", 0, SLOT_DELTA_STEP_UP, FORGET "f_b_proj"),
    PARAMETER_PLANNED(KIMI "q_conv1d", 0, SLOT_DELTA_TAPS_QUERY, KIMI "conv1d"),
    PARAMETER_PLANNED(KIMI "k_conv1d", 0, SLOT_DELTA_TAPS_KEY, KIMI "conv1d"),
    PARAMETER_PLANNED(KIMI "v_conv1d", 0, SLOT_DELTA_TAPS_VALUE, KIMI "conv1d"),
    PARAMETER_NAMED(KIMI "A_log", 0, SLOT_DELTA_A_LOG),
    PARAMETER_NAMED(KIMI "dt_bias", 0, SLOT_DELTA_STEP_BIAS),
    PARAMETER(KIMI "o_norm", 0, SLOT_DELTA_NORM),
    PARAMETER(KIMI "o_proj", 0, SLOT_DELTA_OUT),
    LLAMA_MLP,
    PARAMETER_PLANNED(MOE "gate", 1, SLOT_EXPERT_ROUTER, LLAMA_LAYER "mlp.gate"),
    MOE_EXPERTS(MOE "experts.*.", "w1", "w3", "w2"),
    PARAMETER_NAMED(MOE "gate.e_score_correction_bias", 1, SLOT_CHOICE_BIAS),
    PARAMETER_PLANNED(MOE "shared_experts.gate_proj", 2, SLOT_GATE,
                      LLAMA_LAYER "mlp.shared_experts.gate_proj"),
    PARAMETER_PLANNED(MOE "shared_experts.up_proj", 2, SLOT_UP,
                      LLAMA_LAYER "mlp.shared_experts.up_proj"),
    PARAMETER_PLANNED(MOE "shared_experts.down_proj", 2, SLOT_DOWN,
                      LLAMA_LAYER "mlp.shared_experts.down_proj"),
    LLAMA_END};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

// Transformers reads either name of a number.
static const char *kimi_key(const struct config_reader *reader, const char *own, const char *other)
{
    return config_is_absent(reader, own) && !config_is_absent(reader, other) ? other : own;
}

// One of linear_attn_config, or, where that has it not, one of the model's own.
static enum status read_linear_size(const struct config_reader *reader,
                                    const struct config_reader *linear, const char *key,
                                    const char *own_key, int64_t least, int64_t most,
                                    int64_t absent, int32_t *out)
{
    if (linear->root && !config_is_absent(linear, key))
        return config_read_size(linear, key, least, most, (int32_t)absent, out);
    TRY(config_read_int(reader, own_key, least, most, &absent));
    *out = (int32_t)absent;
    return OK;
}

static enum status read_kimi_delta(const struct config_reader *reader,
                                   const struct config_reader *linear,
                                   const struct norm_config *norm, struct delta_config *out)
{
    int32_t heads, size;
    TRY(read_linear_size(reader, linear, "num_heads", "linear_num_heads", 1, HEADS_MAX, 32,
                         &heads));
    TRY(read_linear_size(reader, linear, "head_dim", "linear_head_dim", 2, HEAD_DIM_MAX, 128,
                         &size));
    TRY(read_linear_size(reader, linear, "short_conv_kernel_size", "linear_conv_kernel_dim", 1,
                         CONVOLUTION_TAPS_MAX, 4, &out->taps));
    TRY(config_expect_even(linear->root ? linear : reader, "head_dim", size));
    out->num_key_heads = out->num_value_heads = heads;
    out->key_head_dim = out->value_head_dim = out->low_rank = size;
    out->channel_decays = true;
    out->gate = ACTIVATION_SIGMOID;
    out->norm = *norm;
    return OK;
}

// Layers that a list of linear_attn_config names, counted from 1.
static enum status read_kimi_list(const struct config_reader *linear, const char *key,
                                  int32_t n_layers, uint8_t word, uint8_t out[LAYERS_MAX])
{
    json_t *list;
    bool found;
    TRY(json_get_array(linear->root, linear->name, key, &list, &found));
    for (size_t i = 0; found && i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const json_int_t layer = json_is_integer(item) ? json_integer_value(item) : 0;
        if (layer < 1 || layer > n_layers)
            return fail(ERR_INPUT,
                        "%s: key \"%s\" of \"linear_attn_config\" has %s; expected the numbers "
                        "of layers, 1 to %d",
                        linear->name, key, json_show(item), (int)n_layers);
        out[layer - 1] = word;
    }
    return OK;
}

enum { WORD_LINEAR, WORD_FULL, WORD_NONE };
static const char *const words[] = {"linear_attention", "full_attention", NULL};

// layer_types; else the two lists; else every fourth layer but the first attends.
static enum status read_kimi_layers(const struct config_reader *reader,
                                    const struct config_reader *linear, int32_t n_layers,
                                    uint8_t word[LAYERS_MAX])
{
    static const char full[] = "full_attn_layers", kda[] = "kda_layers";
    if (!json_is_falsy(json_object_get(reader->root, "layer_types")))
        return describe_layer_words(reader, words, n_layers, -1, word);
    for (int32_t i = 0; i < n_layers; i++)
        word[i] = i > 0 && i % 4 == 0 ? WORD_FULL : WORD_LINEAR;
    if (!linear->root || config_is_absent(linear, full) || config_is_absent(linear, kda))
        return OK;
    memset(word, WORD_NONE, (size_t)n_layers);
    TRY(read_kimi_list(linear, full, n_layers, WORD_FULL, word));
    TRY(read_kimi_list(linear, kda, n_layers, WORD_LINEAR, word));
    for (int32_t i = 0; i < n_layers; i++)
        if (word[i] == WORD_NONE)
            return fail(ERR_INPUT,
                        "%s: keys \"%s\" and \"%s\" of \"linear_attn_config\" lack layer %d; "
                        "expected each of the %d layers in one of them",
                        reader->name, full, kda, (int)i + 1, (int)n_layers);
    return OK;
}

static enum status read_kimi_experts(const struct config_reader *reader, int64_t *n_shared,
                                     struct experts_config *out)
{
    const struct experts_keys absent = {
        .count_key = "num_experts",
        .other_count_key = "num_local_experts",
        .chosen_key = kimi_key(reader, "num_experts_per_token", "num_experts_per_tok"),
        .num_experts = 256,
        .num_experts_per_tok = 8,
        .intermediate_size = 1024,
        .scoring = ROUTER_SIGMOID,
        .n_group = 1,
        .topk_group = 1};
    TRY(describe_experts(reader, &absent, out));
    TRY(describe_expert_groups(reader, kimi_key(reader, "num_expert_group", "n_group"), out));
    out->choice_bias = out->normalised = true;
    out->sum_eps = 1e-20f;
    TRY(config_read_flag(reader, kimi_key(reader, "moe_renormalize", "norm_topk_prob"),
                         &out->normalised));
    TRY(describe_expert_factor(reader, 2.446, out));
    TRY(describe_expect_text(reader, "moe_router_activation_func", "sigmoid"));
    *n_shared = 1;
    return config_read_int(reader, kimi_key(reader, "num_shared_experts", "n_shared_experts"), 1,
                           EXPERTS_MAX, n_shared);
}

// No rope, whatever else the file says of one.
static enum status turn_nothing(const struct config_reader *reader,
                                struct attention_config *attention)
{
    bool plain = true;
    TRY(config_read_flag(reader, "mla_use_nope", &plain));
    if (!plain)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"mla_use_nope\" is false; expected true: %s has no rope",
                    reader->name, reader->architecture);
    attention->rope = -1;
    attention->scale = (float)(1 / sqrt((double)attention->head_dim));
    return OK;
}

static enum status add_kimi_layers(const struct config_reader *reader,
                                   const struct config_reader *linear,
                                   const struct layer_config *attends,
                                   const struct delta_config *delta, struct model_config *out)
{
    struct experts_config experts;
    struct mlp_config shared = attends->sublayers[1].mlp;
    uint8_t word[LAYERS_MAX] = {0};
    bool sparse[LAYERS_MAX];
    int64_t n_shared, n_dense = 1;
    TRY(read_kimi_experts(reader, &n_shared, &experts));
    shared.intermediate_size = (int32_t)n_shared * experts.intermediate_size;
    TRY(read_kimi_layers(reader, linear, out->num_hidden_layers, word));
    TRY(config_read_int(reader, "first_k_dense_replace", 0, LAYERS_MAX, &n_dense));
    TRY(describe_mlp_types(reader, out->num_hidden_layers, n_dense, sparse));
    for (int32_t i = 0; i < out->num_hidden_layers; i++) {
        struct layer_config layer;
        memcpy(&layer, attends, sizeof layer); // padding too: kinds are compared by bytes
        if (word[i] == WORD_LINEAR) {
            memset(&layer.sublayers[0].attention, 0, sizeof layer.sublayers[0].attention);
            layer.sublayers[0].kind = MIX_DELTA;
            memcpy(&layer.sublayers[0].delta, delta, sizeof *delta);
        }
        if (sparse[i]) {
            describe_sparse_layer(&experts, &layer);
            describe_shared_expert(&layer, &shared);
        }
        TRY(describe_add_layer(reader, out, i, &layer));
    }
    return OK;
}

static enum status describe_kimi_linear(const struct config_reader *reader,
                                        struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 2304,
                              .intermediate_size = 9216,
                              .num_hidden_layers = 27,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 32,
                              .vocab_size = 163840,
                              .max_position_embeddings = 1048576,
                              .positions_key =
                                  kimi_key(reader, "model_max_length", "max_position_embeddings"),
                              .rms_norm_eps = 1e-5};
    struct latent_keys latent = {
        .kv_lora_rank = 512, .qk_nope_head_dim = 128, .qk_rope_head_dim = 64, .v_head_dim = 128};
    struct config_reader linear = {.architecture = reader->architecture, .name = reader->name};
    struct delta_config delta;
    json_t *object;
    bool found;
    memset(&delta, 0, sizeof delta);
    TRY(json_get_object(reader->root, reader->name, "linear_attn_config", &object, &found));
    linear.root = found ? object : NULL;
    TRY(describe_latent_keys(reader, &latent, &keys));
    TRY(describe_plain(reader, &keys, out));
    TRY(describe_expect_silu(reader, "hidden_act"));
    struct layer_config attends = describe_layer(&keys);
    TRY(describe_latent(reader, &latent, &attends));
    TRY(turn_nothing(reader, &attends.sublayers[0].attention));
    TRY(read_kimi_delta(reader, &linear, &attends.sublayers[0].before, &delta));
    return add_kimi_layers(reader, &linear, &attends, &delta, out);
}

// What save_pretrained() of Transformers 5.24 makes of dense layers' MLPs.
static const struct name_change other_names[1][NAME_CHANGES_MAX] = {
    {{".mlp.", ".block_sparse_moe."}},
};

const struct family family_kimi_linear = {
    .model_type = "kimi_linear",
    .architecture = "KimiLinearForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .other_names = other_names,
    .n_other_names = 1,
    .describe = describe_kimi_linear,
};
