// Qwen3-MoE: Qwen3 with experts in the place of the MLP.
//
// Source: Transformers 5.24, models/qwen3_moe (modeling_qwen3_moe.py, configuration_qwen3_moe.py).
#include <stddef.h>

#include "model/families/moe_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED,    LLAMA_ATTENTION,
    LLAMA_QK_NORMS, PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    LLAMA_MLP,      QWEN_EXPERTS,
    LLAMA_END};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status describe_qwen3_moe(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 2048,
                              .intermediate_size = 6144,
                              .num_hidden_layers = 24,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 4,
                              .vocab_size = 151936,
                              .max_position_embeddings = 32768,
                              .rms_norm_eps = 1e-6};
    const struct experts_keys absent = {.count_key = "num_experts",
                                        .other_count_key = "num_local_experts",
                                        .num_experts = 128,
                                        .num_experts_per_tok = 8,
                                        .intermediate_size = 768,
                                        .scoring = ROUTER_SOFTMAX};
    struct experts_config experts;
    bool is_sparse[LAYERS_MAX], bias = false, use_window = false;
    int64_t window = config_is_absent(reader, "sliding_window") ? 4096 : 0;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    TRY(config_read_flag(reader, "use_sliding_window", &use_window));
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &window));
    TRY(qwen_experts(reader, &absent, &experts, is_sparse));
    struct layer_config dense = describe_layer(&keys);
    dense.sublayers[1].mlp.activation = experts.activation;
    struct attention_config *attention = &dense.sublayers[0].attention;
    attention->q_norm = attention->k_norm = dense.sublayers[0].before;
    attention->sliding_window = use_window ? window : 0;
    describe_attention_bias(&dense, bias, bias);
    TRY(describe_rope(reader, &keys, NULL, false, out, &attention->rope));
    struct layer_config sparse = dense;
    describe_sparse_layer(&experts, &sparse);
    for (int32_t i = 0; i < out->num_hidden_layers; i++)
        TRY(describe_add_layer(reader, out, i, is_sparse[i] ? &sparse : &dense));
    return OK;
}

const struct family family_qwen3_moe = {
    .model_type = "qwen3_moe",
    .architecture = "Qwen3MoeForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_qwen3_moe,
};
