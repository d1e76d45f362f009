// Qwen3-Next, Qwen3.5 and its mixture of experts: three of four layers follow the gated delta rule,
// the fourth is Qwen3's attention with a gate on its output and a rope on a quarter of each head.
// Norms count from 1, but the one behind the delta rule.
//
// Source: Transformers 5.24, models/qwen3_next, models/qwen3_5, models/qwen3_5_moe (modeling_*.py,
// configuration_*.py).
#include <stddef.h>
#include <string.h>

#include "model/families/moe_names.h"

#define LINEAR LLAMA_LAYER "linear_attn."
// Of each head its query, then its gate.
#define GATED_QUERIES                                                                              \
    {.name = LLAMA_LAYER "self_attn.q_proj.weight",                                                \
     .n_slots = 2,                                                                                 \
     .slots = {SLOT_QUERY, SLOT_OUTPUT_GATE},                                                      \
     .by_head = true},                                                                             \
    {                                                                                              \
        .name = LLAMA_LAYER "self_attn.q_proj.bias", .bias = true, .n_slots = 2,                   \
        .slots = {SLOT_QUERY, SLOT_OUTPUT_GATE}, .by_head = true                                   \
    }
#define GATED_ATTENTION                                                                            \
    PARAMETER(LLAMA_LAYER "input_layernorm", 0, SLOT_BEFORE_NORM), GATED_QUERIES,                  \
        PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.k_proj", 0, SLOT_KEY),                          \
        PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.v_proj", 0, SLOT_VALUE),                        \
        PARAMETER_WITH_BIAS(LLAMA_LAYER "self_attn.o_proj", 0, SLOT_ATTENDED), LLAMA_QK_NORMS
#define DELTA_RULE                                                                                 \
    {.name = LINEAR "conv1d.weight",                                                               \
     .n_slots = 3,                                                                                 \
     .slots = {SLOT_DELTA_TAPS_QUERY, SLOT_DELTA_TAPS_KEY, SLOT_DELTA_TAPS_VALUE}},                \
        PARAMETER_NAMED(LINEAR "A_log", 0, SLOT_DELTA_A_LOG),                                      \
        PARAMETER_NAMED(LINEAR "dt_bias", 0, SLOT_DELTA_STEP_BIAS),                                \
        PARAMETER(LINEAR "norm", 0, SLOT_DELTA_NORM),                                              \
        PARAMETER(LINEAR "out_proj", 0, SLOT_DELTA_OUT)
// Qwen3.5's projections; Qwen3-Next has them in two tensors, key head by key head.
#define DELTA_PROJECTIONS                                                                          \
    {.name = LINEAR "in_proj_qkv.weight",                                                          \
     .n_slots = 3,                                                                                 \
     .slots = {SLOT_DELTA_QUERY, SLOT_DELTA_KEY, SLOT_DELTA_VALUE}},                               \
        PARAMETER(LINEAR "in_proj_z", 0, SLOT_DELTA_GATE),                                         \
        PARAMETER(LINEAR "in_proj_b", 0, SLOT_DELTA_BETA),                                         \
        PARAMETER(LINEAR "in_proj_a", 0, SLOT_DELTA_STEP)
#define SECOND_NORM PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM)
#define SPARSE_LAYER                                                                               \
    QWEN_EXPERTS, MOE_SHARED(PARAMETER, "mlp.shared_expert"),                                      \
        PARAMETER(LLAMA_LAYER "mlp.shared_expert_gate", 2, SLOT_TOKEN_GATE)

static const struct parameter_row next_parameters[] = {
    LLAMA_EMBED,
    GATED_ATTENTION,
    {.name = LINEAR "in_proj_qkvz.weight",
     .n_slots = 4,
     .slots = {SLOT_DELTA_QUERY, SLOT_DELTA_KEY, SLOT_DELTA_VALUE, SLOT_DELTA_GATE},
     .by_head = true},
    {.name = LINEAR "in_proj_ba.weight",
     .n_slots = 2,
     .slots = {SLOT_DELTA_BETA, SLOT_DELTA_STEP},
     .by_head = true},
    DELTA_RULE,
    SECOND_NORM,
    LLAMA_MLP,
    SPARSE_LAYER,
    LLAMA_END};
static const struct parameter_row dense_parameters[] = {
    LLAMA_EMBED, GATED_ATTENTION, DELTA_PROJECTIONS, DELTA_RULE, SECOND_NORM, LLAMA_MLP, LLAMA_END};
static const struct parameter_row moe_parameters[] = {
    LLAMA_EMBED, GATED_ATTENTION, DELTA_PROJECTIONS, DELTA_RULE,
    SECOND_NORM, LLAMA_MLP,       SPARSE_LAYER,      LLAMA_END};
// Layers that predict several tokens at once are beside the model.
static const char *const ignored[] = {LLAMA_IGNORED, "mtp.", NULL};

enum { WORD_LINEAR, WORD_FULL };
static const char *const words[] = {"linear_attention", "full_attention", NULL};

// layer_types; without it every so many-th layer attends, as an older key says.
static enum status read_layer_types(const struct config_reader *reader, int32_t n_layers,
                                    uint8_t out[LAYERS_MAX])
{
    int64_t interval = 4;
    TRY(config_read_int(reader, "full_attention_interval", 1, LAYERS_MAX, &interval));
    TRY(describe_layer_words(reader, words, n_layers, WORD_LINEAR, out));
    if (config_is_absent(reader, "layer_types") && config_is_absent(reader, "layers_block_type"))
        for (int32_t i = 0; i < n_layers; i++)
            out[i] = (i + 1) % interval == 0 ? WORD_FULL : WORD_LINEAR;
    return OK;
}

static enum status read_delta(const struct config_reader *reader, const struct norm_config *norm,
                              struct delta_config *out)
{
    TRY(config_read_size(reader, "linear_num_key_heads", 1, HEADS_MAX, 16, &out->num_key_heads));
    TRY(config_read_size(reader, "linear_num_value_heads", 1, HEADS_MAX, 32,
                         &out->num_value_heads));
    TRY(config_read_size(reader, "linear_key_head_dim", 1, HEAD_DIM_MAX, 128, &out->key_head_dim));
    TRY(config_read_size(reader, "linear_value_head_dim", 2, HEAD_DIM_MAX, 128,
                         &out->value_head_dim));
    TRY(config_read_size(reader, "linear_conv_kernel_dim", 1, CONVOLUTION_TAPS_MAX, 4, &out->taps));
    out->norm = *norm;
    out->norm.plus_one = false;
    return OK;
}

// What attends, with an MLP.
static enum status read_attention(const struct config_reader *reader, struct plain_keys *keys,
                                  struct model_config *out, struct layer_config *layer)
{
    bool bias = false;
    TRY(describe_plain(reader, keys, out));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    *layer = describe_layer(keys);
    struct attention_config *attention = &layer->sublayers[0].attention;
    TRY(describe_activation(reader, "hidden_act", "silu", &layer->sublayers[1].mlp.activation));
    if (layer->sublayers[1].mlp.activation != ACTIVATION_SILU)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"hidden_act\" is %s; expected \"silu\", the convolutions' of %s",
                    reader->name, json_show(json_object_get(reader->root, "hidden_act")),
                    reader->architecture);
    out->final_norm.plus_one = true;
    layer->sublayers[0].before.plus_one = layer->sublayers[1].before.plus_one = true;
    attention->q_norm = attention->k_norm = layer->sublayers[0].before;
    attention->output_gate = true;
    describe_attention_bias(layer, bias, bias);
    return describe_rope(reader, keys, NULL, false, out, &attention->rope);
}

struct next_layers {
    struct layer_config dense, sparse; // that attend
    struct delta_config delta;
    bool is_sparse[LAYERS_MAX];
};

static enum status add_next_layers(const struct config_reader *reader, struct model_config *out,
                                   struct next_layers *layers)
{
    uint8_t types[LAYERS_MAX];
    TRY(read_layer_types(reader, out->num_hidden_layers, types));
    TRY(read_delta(reader, &layers->dense.sublayers[0].before, &layers->delta));
    for (int32_t i = 0; i < out->num_hidden_layers; i++) {
        struct layer_config own;
        memcpy(&own, layers->is_sparse[i] ? &layers->sparse : &layers->dense, sizeof own);
        if (types[i] == WORD_LINEAR) {
            memset(&own.sublayers[0].attention, 0, sizeof own.sublayers[0].attention);
            own.sublayers[0].kind = MIX_DELTA;
            memcpy(&own.sublayers[0].delta, &layers->delta, sizeof layers->delta);
        }
        TRY(describe_add_layer(reader, out, i, &own));
    }
    return OK;
}

static enum status make_sparse(const struct config_reader *reader,
                               const struct experts_config *experts, struct next_layers *layers)
{
    struct mlp_config shared = layers->dense.sublayers[1].mlp;
    shared.token_gate = true;
    TRY(config_read_size(reader, "shared_expert_intermediate_size", 1, INTERMEDIATE_SIZE_MAX, 512,
                         &shared.intermediate_size));
    layers->sparse = layers->dense;
    describe_sparse_layer(experts, &layers->sparse);
    describe_shared_expert(&layers->sparse, &shared);
    return OK;
}

static enum status describe_qwen3_next(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 2048,
                              .intermediate_size = 5632,
                              .num_hidden_layers = 48,
                              .num_attention_heads = 16,
                              .num_key_value_heads = 2,
                              .head_dim = 256,
                              .vocab_size = 151936,
                              .max_position_embeddings = 32768,
                              .rms_norm_eps = 1e-6,
                              .partial_rotary_factor = 0.25};
    const struct experts_keys absent = {.count_key = "num_experts",
                                        .other_count_key = "num_local_experts",
                                        .num_experts = 512,
                                        .num_experts_per_tok = 10,
                                        .intermediate_size = 512,
                                        .scoring = ROUTER_SOFTMAX};
    struct next_layers layers;
    struct experts_config experts;
    memset(&layers, 0, sizeof layers);
    TRY(read_attention(reader, &keys, out, &layers.dense));
    TRY(qwen_experts(reader, &absent, &experts, layers.is_sparse));
    if (config_is_absent(reader, "norm_topk_prob"))
        experts.normalised = true;
    TRY(make_sparse(reader, &experts, &layers));
    return add_next_layers(reader, out, &layers);
}

static enum status describe_qwen3_5(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 12288,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 16,
                              .num_key_value_heads = 4,
                              .head_dim = 256,
                              .vocab_size = 248320,
                              .max_position_embeddings = 32768,
                              .rms_norm_eps = 1e-6,
                              .partial_rotary_factor = 0.25,
                              .allow_mrope = true};
    struct next_layers layers;
    memset(&layers, 0, sizeof layers);
    TRY(read_attention(reader, &keys, out, &layers.dense));
    return add_next_layers(reader, out, &layers);
}

static enum status describe_qwen3_5_moe(const struct config_reader *reader,
                                        struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 2048,
                              .num_hidden_layers = 40,
                              .num_attention_heads = 16,
                              .num_key_value_heads = 2,
                              .head_dim = 256,
                              .vocab_size = 248320,
                              .max_position_embeddings = 32768,
                              .rms_norm_eps = 1e-6,
                              .own_intermediate = true,
                              .partial_rotary_factor = 0.25,
                              .allow_mrope = true};
    const struct experts_keys absent = {.count_key = "num_experts",
                                        .num_experts = 256,
                                        .num_experts_per_tok = 8,
                                        .intermediate_size = 512,
                                        .scoring = ROUTER_SOFTMAX};
    struct next_layers layers;
    struct experts_config experts;
    memset(&layers, 0, sizeof layers);
    TRY(read_attention(reader, &keys, out, &layers.dense));
    TRY(describe_experts(reader, &absent, &experts));
    experts.activation = ACTIVATION_SILU;
    experts.normalised = true;
    memset(layers.is_sparse, true, sizeof layers.is_sparse);
    TRY(make_sparse(reader, &experts, &layers));
    return add_next_layers(reader, out, &layers);
}

const struct family family_qwen3_next = {
    .model_type = "qwen3_next",
    .architecture = "Qwen3NextForCausalLM",
    .base_prefix = "model.",
    .parameters = next_parameters,
    .n_parameters = sizeof next_parameters / sizeof next_parameters[0],
    .ignored = ignored,
    .describe = describe_qwen3_next,
};

const struct family family_qwen3_5 = {
    .model_type = "qwen3_5_text",
    .architecture = "Qwen3_5ForCausalLM",
    .base_prefix = "model.",
    .parameters = dense_parameters,
    .n_parameters = sizeof dense_parameters / sizeof dense_parameters[0],
    .ignored = ignored,
    .describe = describe_qwen3_5,
};

const struct family family_qwen3_5_moe = {
    .model_type = "qwen3_5_moe_text",
    .architecture = "Qwen3_5MoeForCausalLM",
    .base_prefix = "model.",
    .parameters = moe_parameters,
    .n_parameters = sizeof moe_parameters / sizeof moe_parameters[0],
    .ignored = ignored,
    .describe = describe_qwen3_5_moe,
};
