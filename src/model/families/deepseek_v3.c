// DeepSeek V3 and R1, and Kimi K2, which has their architecture: latent attention; experts in
// groups, chosen with a correction of their scores, some for all tokens; the first layers dense.
//
// Source: Transformers 5.24, models/deepseek_v3 (modeling_deepseek_v3.py,
// configuration_deepseek_v3.py).
#include <stddef.h>

#include "model/families/latent_names.h"

static const struct parameter_row parameters[] = {LATENT_PARAMETERS};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status read_latent_experts(const struct config_reader *reader,
                                       struct latent_model *model, latent_choice *choose,
                                       struct experts_config *out)
{
    int64_t every = 1;
    TRY(describe_experts(reader, &model->experts, out));
    TRY(describe_activation(reader, "hidden_act", "silu", &out->activation));
    TRY(describe_expert_groups(reader, NULL, out));
    TRY(model->normalised ? describe_corrected_weights(reader, 1e-20f, model->scaling_factor, out)
                          : describe_expert_factor(reader, model->scaling_factor, out));
    out->choice_bias = model->choice_bias;
    TRY(config_read_int(reader, "n_shared_experts", 1, EXPERTS_MAX, &model->n_shared));
    TRY(config_read_int(reader, "moe_layer_freq", 1, 1, &every));
    return choose ? choose(reader, out) : OK;
}

static enum status add_latent_layers(const struct config_reader *reader,
                                     const struct latent_model *model,
                                     const struct experts_config *experts,
                                     const struct layer_config *dense, struct model_config *out)
{
    bool is_sparse[LAYERS_MAX] = {0};
    struct layer_config sparse = *dense;
    struct mlp_config shared = dense->sublayers[1].mlp;
    shared.intermediate_size = (int32_t)model->n_shared * experts->intermediate_size;
    describe_sparse_layer(experts, &sparse);
    describe_shared_expert(&sparse, &shared);
    bool shares[LAYERS_MAX] = {0};
    int64_t n_dense = model->n_dense;
    if (!model->by_types || model->or_first)
        TRY(config_read_int(reader, "first_k_dense_replace", 0, LAYERS_MAX, &n_dense));
    for (int32_t i = 0; i < LAYERS_MAX; i++)
        is_sparse[i] = i >= n_dense;
    if (model->by_types)
        TRY(describe_mlp_types(reader, out->num_hidden_layers, n_dense, is_sparse));
    if (model->index.may_share)
        TRY(describe_index_types(reader, out->num_hidden_layers, shares));
    for (int32_t i = 0; i < out->num_hidden_layers; i++) {
        struct layer_config layer = is_sparse[i] ? sparse : *dense;
        if (shares[i])
            describe_shared_index(&layer.sublayers[0].attention.latent.index);
        TRY(describe_add_layer(reader, out, i, &layer));
    }
    return OK;
}

enum status describe_latent_model(const struct config_reader *reader, struct latent_model *model,
                                  latent_choice *choose, latent_turn *turn,
                                  struct model_config *out)
{
    struct experts_config experts;
    bool mlp_bias = false;
    TRY(describe_latent_keys(reader, &model->latent, &model->keys));
    TRY(describe_plain(reader, &model->keys, out));
    TRY(read_latent_experts(reader, model, choose, &experts));
    struct layer_config dense = describe_layer(&model->keys);
    struct attention_config *attention = &dense.sublayers[0].attention;
    TRY(describe_latent(reader, &model->latent, &dense));
    dense.sublayers[1].mlp.activation = experts.activation;
    if (model->mlp_bias)
        TRY(config_read_flag(reader, "mlp_bias", &mlp_bias));
    describe_mlp_bias(&dense, mlp_bias);
    TRY(turn ? turn(reader, model, out, attention)
             : describe_latent_rope(reader, &model->keys, &model->latent, out, attention));
    if (model->index.topk)
        TRY(describe_index(reader, &model->index, out, attention));
    return add_latent_layers(reader, model, &experts, &dense, out);
}

static enum status choose_deepseek_v3(const struct config_reader *reader,
                                      struct experts_config *out)
{
    (void)out;
    TRY(describe_expect_text(reader, "topk_method", "noaux_tc"));
    return describe_expect_text(reader, "scoring_func", "sigmoid");
}

enum status describe_indexed_choice(const struct config_reader *reader, struct experts_config *out)
{
    TRY(choose_deepseek_v3(reader, out));
    return describe_same_layer_types(reader, "indexed_attention");
}

static enum status describe_deepseek_v3(const struct config_reader *reader,
                                        struct model_config *out)
{
    struct latent_model model = {
        .keys = {.hidden_size = 7168,
                 .intermediate_size = 18432,
                 .num_hidden_layers = 61,
                 .num_attention_heads = 128,
                 .num_key_value_heads = 128,
                 .vocab_size = 129280,
                 .max_position_embeddings = 4096,
                 .rms_norm_eps = 1e-6},
        .latent = {.kv_lora_rank = 512,
                   .q_lora_rank = 1536,
                   .qk_nope_head_dim = 128,
                   .qk_rope_head_dim = 64,
                   .v_head_dim = 128},
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
        .scaling_factor = 2.5,
        .choice_bias = true,
        .normalised = true,
    };
    return describe_latent_model(reader, &model, choose_deepseek_v3, NULL, out);
}

const struct family family_deepseek_v3 = {
    .model_type = "deepseek_v3",
    .architecture = "DeepseekV3ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_deepseek_v3,
};

const struct family family_kimi_k2 = {
    .model_type = "kimi_k2",
    .architecture = "DeepseekV3ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_deepseek_v3,
};
