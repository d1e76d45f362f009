// Qwen2-MoE: Qwen2 with experts in the place of the MLP, and one beside them that all tokens have,
// behind a gate.
//
// Source: Transformers 5.24, models/qwen2_moe (modeling_qwen2_moe.py, configuration_qwen2_moe.py).
#include <stddef.h>

#include "model/families/moe_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LLAMA_ATTENTION,
    PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    LLAMA_MLP,
    QWEN_EXPERTS,
    MOE_SHARED(PARAMETER, "mlp.shared_expert"),
    PARAMETER(LLAMA_LAYER "mlp.shared_expert_gate", 2, SLOT_TOKEN_GATE),
    LLAMA_END};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

enum status qwen_experts(const struct config_reader *reader, const struct experts_keys *absent,
                         struct experts_config *out, bool sparse[LAYERS_MAX])
{
    int64_t step = 1;
    bool dense[LAYERS_MAX];
    TRY(describe_experts(reader, absent, out));
    TRY(describe_activation(reader, "hidden_act", "silu", &out->activation));
    TRY(config_read_flag(reader, "norm_topk_prob", &out->normalised));
    TRY(config_read_int(reader, "decoder_sparse_step", 1, LAYERS_MAX, &step));
    TRY(describe_layers_of_list(reader, "mlp_only_layers", dense));
    for (int i = 0; i < LAYERS_MAX; i++)
        sparse[i] = !dense[i] && (i + 1) % step == 0;
    return OK;
}

struct qwen2_moe_layers {
    struct layer_config dense, sparse;
    bool is_sparse[LAYERS_MAX];
    bool use_window;
    int64_t window, first_without;
};

static enum status add_layers(const struct config_reader *reader, struct model_config *out,
                              const struct qwen2_moe_layers *layers)
{
    for (int32_t i = 0; i < out->num_hidden_layers; i++) {
        struct layer_config own = layers->is_sparse[i] ? layers->sparse : layers->dense;
        // every other layer of the first ones
        bool absent = layers->use_window && i % 2 == 0 && i < layers->first_without;
        TRY(describe_window(reader, i, absent, layers->use_window ? layers->window : 0,
                            &own.sublayers[0].attention.sliding_window));
        TRY(describe_add_layer(reader, out, i, &own));
    }
    return OK;
}

static enum status read_windows(const struct config_reader *reader, struct qwen2_moe_layers *out)
{
    out->window = config_is_absent(reader, "sliding_window") ? 4096 : 0;
    out->first_without = 28;
    TRY(config_read_flag(reader, "use_sliding_window", &out->use_window));
    TRY(config_read_int(reader, "sliding_window", 0, POSITIONS_MAX, &out->window));
    return config_read_int(reader, "max_window_layers", 0, LAYERS_MAX, &out->first_without);
}

static enum status describe_qwen2_moe(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 2048,
                              .intermediate_size = 5632,
                              .num_hidden_layers = 24,
                              .num_attention_heads = 16,
                              .num_key_value_heads = 16,
                              .vocab_size = 151936,
                              .max_position_embeddings = 32768,
                              .rms_norm_eps = 1e-6};
    const struct experts_keys absent = {.count_key = "num_experts",
                                        .other_count_key = "num_local_experts",
                                        .num_experts = 60,
                                        .num_experts_per_tok = 4,
                                        .intermediate_size = 1408,
                                        .scoring = ROUTER_SOFTMAX};
    struct qwen2_moe_layers layers = {0};
    struct experts_config experts;
    bool bias = true;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "qkv_bias", &bias));
    TRY(qwen_experts(reader, &absent, &experts, layers.is_sparse));
    TRY(read_windows(reader, &layers));
    layers.dense = describe_layer(&keys);
    layers.dense.sublayers[1].mlp.activation = experts.activation;
    describe_attention_bias(&layers.dense, bias, false);
    TRY(describe_rope(reader, &keys, NULL, false, out, &layers.dense.sublayers[0].attention.rope));
    struct mlp_config shared = layers.dense.sublayers[1].mlp;
    shared.token_gate = true;
    TRY(config_read_size(reader, "shared_expert_intermediate_size", 1, INTERMEDIATE_SIZE_MAX, 5632,
                         &shared.intermediate_size));
    layers.sparse = layers.dense;
    describe_sparse_layer(&experts, &layers.sparse);
    describe_shared_expert(&layers.sparse, &shared);
    return add_layers(reader, out, &layers);
}

const struct family family_qwen2_moe = {
    .model_type = "qwen2_moe",
    .architecture = "Qwen2MoeForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_qwen2_moe,
};
