// GLM-4.7-Flash: latent attention as DeepSeek V3 has it, experts as GLM-4.5 has them.
//
// Source: Transformers 5.24, models/glm4_moe_lite (modeling_glm4_moe_lite.py,
// configuration_glm4_moe_lite.py).
#include <stddef.h>

#include "model/families/latent_names.h"

static const struct parameter_row parameters[] = {LATENT_PARAMETERS};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status describe_glm4_moe_lite(const struct config_reader *reader,
                                          struct model_config *out)
{
    struct latent_model model = {
        .keys = {.hidden_size = 2048,
                 .intermediate_size = 10240,
                 .num_hidden_layers = 47,
                 .num_attention_heads = 20,
                 .num_key_value_heads = 20,
                 .vocab_size = 154880,
                 .max_position_embeddings = 202752,
                 .rms_norm_eps = 1e-5},
        .latent = {.kv_lora_rank = 512,
                   .q_lora_rank = 768,
                   .qk_nope_head_dim = 192,
                   .qk_rope_head_dim = 64,
                   .v_head_dim = 256},
        .experts = {.count_key = "n_routed_experts",
                    .other_count_key = "num_local_experts",
                    .num_experts = 64,
                    .num_experts_per_tok = 4,
                    .intermediate_size = 1536,
                    .scoring = ROUTER_SIGMOID},
        .n_shared = 1,
        .n_dense = 1,
        .by_types = true,
        .scaling_factor = 1.8,
        .choice_bias = true,
        .normalised = true,
    };
    return describe_latent_model(reader, &model, NULL, NULL, out);
}

const struct family family_glm4_moe_lite = {
    .model_type = "glm4_moe_lite",
    .architecture = "Glm4MoeLiteForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_glm4_moe_lite,
};
