// Mistral 4: latent attention whose queries grow with their position; experts in groups, all of a
// layer in two tensors, and one for all tokens.
//
// Source: Transformers 5.24, models/mistral4 (modeling_mistral4.py, configuration_mistral4.py).
#include <stddef.h>

#include "model/families/latent_names.h"

#define EXPERTS LLAMA_LAYER "mlp.experts."
static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LATENT_ATTENTION,
    LLAMA_MLP,
    PARAMETER(LLAMA_LAYER "mlp.gate", 1, SLOT_EXPERT_ROUTER),
    PARAMETER_EXPERT_PAIR(EXPERTS "gate_up_proj", 1, EXPERTS "gate_up_proj"),
    PARAMETER_NAMED(EXPERTS "down_proj", 1, SLOT_EXPERT_DOWN),
    MOE_SHARED(PARAMETER_WITH_BIAS, "mlp.shared_experts"),
    LLAMA_END};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

// What Transformers' class gives a config.json without rope_parameters.
static enum status add_mistral4_rope(const struct config_reader *reader,
                                     const struct latent_model *model, struct model_config *out,
                                     struct attention_config *attention)
{
    struct plain_keys keys = model->keys;
    struct rope_config rope = {.type = ROPE_YARN,
                               .theta = 10000,
                               .factor = 128,
                               .beta_fast = 32,
                               .beta_slow = 1,
                               .mscale = 1,
                               .mscale_all_dim = 1,
                               .truncate = true,
                               .original_max_position_embeddings = 8192,
                               .interleaved = model->latent.interleaved};
    keys.head_dim = model->latent.qk_rope_head_dim;
    attention->temperature_beta = 0.1F;
    attention->temperature_length = 8192;
    TRY(describe_default_rope(reader, &keys, &rope, out, &attention->rope));
    describe_latent_scale(&rope, 1, attention);
    return OK;
}

// Queries times 1 + beta · ln(1 + floor(position / original length)).
static enum status turn_mistral4(const struct config_reader *reader, struct latent_model *model,
                                 struct model_config *out, struct attention_config *attention)
{
    double beta = 0, length = (double)model->keys.max_position_embeddings;
    if (rope_config_is_absent(reader->root))
        return add_mistral4_rope(reader, model, out, attention);
    model->keys.partial_rotary_factor =
        (double)model->latent.qk_rope_head_dim / model->keys.head_dim;
    TRY(describe_latent_rope(reader, &model->keys, &model->latent, out, attention));
    TRY(describe_rope_number(reader, "llama_4_scaling_beta", -1e3, 1e3, &beta));
    TRY(describe_rope_number(reader, "original_max_position_embeddings", 1, POSITIONS_MAX,
                             &length));
    if (beta == 0)
        return OK;
    attention->temperature_beta = (float)beta;
    attention->temperature_length = (int64_t)length;
    return OK;
}

static enum status describe_mistral4(const struct config_reader *reader, struct model_config *out)
{
    struct latent_model model = {
        .keys = {.hidden_size = 4096,
                 .intermediate_size = 12288,
                 .num_hidden_layers = 36,
                 .num_attention_heads = 32,
                 .num_key_value_heads = 32,
                 .vocab_size = 131072,
                 .max_position_embeddings = 1048576,
                 .rms_norm_eps = 1e-6},
        .latent = {.kv_lora_rank = 256,
                   .q_lora_rank = 1024,
                   .qk_nope_head_dim = 64,
                   .qk_rope_head_dim = 64,
                   .v_head_dim = 128},
        .experts = {.count_key = "n_routed_experts",
                    .other_count_key = "num_local_experts",
                    .num_experts = 128,
                    .num_experts_per_tok = 4,
                    .intermediate_size = 2048,
                    .scoring = ROUTER_SOFTMAX},
        .n_shared = 1,
        .scaling_factor = 1,
        .normalised = true,
    };
    return describe_latent_model(reader, &model, NULL, turn_mistral4, out);
}

const struct family family_mistral4 = {
    .model_type = "mistral4",
    .architecture = "Mistral4ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_mistral4,
};
