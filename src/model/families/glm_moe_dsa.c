// GLM-5: latent attention that is sparse as in DeepSeek V3.2, by an indexer whose choice the layers
// behind it may share.
//
// Source: Transformers 5.24, models/glm_moe_dsa (modeling_glm_moe_dsa.py,
// configuration_glm_moe_dsa.py).
#include <stddef.h>

#include "model/families/latent_names.h"

static const struct parameter_row parameters[] = {LATENT_PARAMETERS, LATENT_INDEXER};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status describe_glm_moe_dsa(const struct config_reader *reader,
                                        struct model_config *out)
{
    struct latent_model model = {
        .keys = {.hidden_size = 6144,
                 .intermediate_size = 12288,
                 .num_hidden_layers = 78,
                 .num_attention_heads = 64,
                 .num_key_value_heads = 64,
                 .vocab_size = 154880,
                 .max_position_embeddings = 202752,
                 .rms_norm_eps = 1e-5},
        .latent = {.kv_lora_rank = 512,
                   .q_lora_rank = 2048,
                   .qk_nope_head_dim = 192,
                   .qk_rope_head_dim = 64,
                   .v_head_dim = 256,
                   .pairs_always = true},
        .experts = {.count_key = "n_routed_experts",
                    .other_count_key = "num_local_experts",
                    .num_experts = 256,
                    .num_experts_per_tok = 8,
                    .intermediate_size = 2048,
                    .scoring = ROUTER_SIGMOID},
        .n_shared = 1,
        .n_dense = 3,
        .by_types = true,
        .or_first = true,
        .scaling_factor = 2.5,
        .choice_bias = true,
        .normalised = true,
        .index = {.topk = 2048,
                  .num_heads = 32,
                  .head_dim = 128,
                  .interleaved = true,
                  .may_share = true},
    };
    return describe_latent_model(reader, &model, describe_indexed_choice, NULL, out);
}

const struct family family_glm_moe_dsa = {
    .model_type = "glm_moe_dsa",
    .architecture = "GlmMoeDsaForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_glm_moe_dsa,
};
