// DeepSeek V3.2: V3 whose latent attention is sparse, by an indexer in every layer.
//
// Source: Transformers 5.24, models/deepseek_v32 (modeling_deepseek_v32.py,
// configuration_deepseek_v32.py).
#include <stddef.h>

#include "model/families/latent_names.h"

static const struct parameter_row parameters[] = {LATENT_PARAMETERS, LATENT_INDEXER};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status describe_deepseek_v32(const struct config_reader *reader,
                                         struct model_config *out)
{
    struct latent_model model = {
        .keys = {.hidden_size = 7168,
                 .intermediate_size = 18432,
                 .num_hidden_layers = 61,
                 .num_attention_heads = 128,
                 .num_key_value_heads = 128,
                 .vocab_size = 129280,
                 .max_position_embeddings = 163840,
                 .rms_norm_eps = 1e-6},
        .latent = {.kv_lora_rank = 512,
                   .q_lora_rank = 1536,
                   .qk_nope_head_dim = 128,
                   .qk_rope_head_dim = 64,
                   .v_head_dim = 128,
                   .pairs_always = true},
        .experts = {.count_key = "n_routed_experts",
                    .other_count_key = "num_local_experts",
                    .num_experts = 256,
                    .num_experts_per_tok = 8,
                    .intermediate_size = 2048,
                    .scoring = ROUTER_SIGMOID,
                    .n_group = 8,
                    .topk_group = 4},
        .n_shared = 1,
        .n_dense = 3,
        .by_types = true,
        .or_first = true,
        .scaling_factor = 2.5,
        .choice_bias = true,
        .normalised = true,
        .index = {.topk = 2048, .num_heads = 64, .head_dim = 128},
    };
    return describe_latent_model(reader, &model, describe_indexed_choice, NULL, out);
}

const struct family family_deepseek_v32 = {
    .model_type = "deepseek_v32",
    .architecture = "DeepseekV32ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_deepseek_v32,
};
