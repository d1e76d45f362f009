// GLM-4.5 and 4.6: experts chosen with a correction of their scores, some for all tokens, the first
// layers dense; rope on half of each head.
//
// Source: Transformers 5.24, models/glm4_moe (modeling_glm4_moe.py, configuration_glm4_moe.py).
#include <stddef.h>

#include "model/families/moe_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LLAMA_ATTENTION,
    LLAMA_QK_NORMS,
    PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    LLAMA_MLP,
    QWEN_EXPERTS,
    PARAMETER_NAMED(LLAMA_LAYER "mlp.gate.e_score_correction_bias", 1, SLOT_CHOICE_BIAS),
    MOE_SHARED(PARAMETER, "mlp.shared_experts"),
    LLAMA_END};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status read_experts(const struct config_reader *reader, struct experts_config *out,
                                int64_t *n_shared, int64_t *n_dense)
{
    const struct experts_keys absent = {.count_key = "n_routed_experts",
                                        .other_count_key = "num_local_experts",
                                        .num_experts = 128,
                                        .num_experts_per_tok = 8,
                                        .intermediate_size = 1408,
                                        .scoring = ROUTER_SIGMOID};
    TRY(describe_experts(reader, &absent, out));
    TRY(describe_activation(reader, "hidden_act", "silu", &out->activation));
    TRY(describe_expert_groups(reader, NULL, out));
    TRY(describe_corrected_weights(reader, 1e-20f, 1, out));
    TRY(config_read_int(reader, "n_shared_experts", 1, EXPERTS_MAX, n_shared));
    return config_read_int(reader, "first_k_dense_replace", 0, LAYERS_MAX, n_dense);
}

static enum status describe_glm4_moe(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 10944,
                              .num_hidden_layers = 46,
                              .num_attention_heads = 96,
                              .num_key_value_heads = 8,
                              .vocab_size = 151552,
                              .max_position_embeddings = 131072,
                              .rms_norm_eps = 1e-5,
                              .partial_rotary_factor = 0.5};
    struct experts_config experts;
    bool bias = false, normed = false;
    int64_t n_shared = 1, n_dense = 1;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    TRY(config_read_flag(reader, "use_qk_norm", &normed));
    TRY(read_experts(reader, &experts, &n_shared, &n_dense));
    struct layer_config dense = describe_layer(&keys);
    struct attention_config *attention = &dense.sublayers[0].attention;
    dense.sublayers[1].mlp.activation = experts.activation;
    describe_attention_bias(&dense, bias, false);
    if (normed)
        attention->q_norm = attention->k_norm = dense.sublayers[0].before;
    TRY(describe_rope(reader, &keys, NULL, false, out, &attention->rope));
    struct layer_config sparse = dense;
    struct mlp_config shared = dense.sublayers[1].mlp;
    shared.intermediate_size = (int32_t)n_shared * experts.intermediate_size;
    describe_sparse_layer(&experts, &sparse);
    describe_shared_expert(&sparse, &shared);
    for (int32_t i = 0; i < out->num_hidden_layers; i++)
        TRY(describe_add_layer(reader, out, i, i < n_dense ? &dense : &sparse));
    return OK;
}

const struct family family_glm4_moe = {
    .model_type = "glm4_moe",
    .architecture = "Glm4MoeForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_glm4_moe,
};
