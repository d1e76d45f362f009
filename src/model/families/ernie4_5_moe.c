// ERNIE 4.5 with experts: chosen with a correction of their scores, some for all tokens, in some of
// the layers; interleaved rope.
//
// Source: Transformers 5.24, models/ernie4_5_moe (modeling_ernie4_5_moe.py,
// configuration_ernie4_5_moe.py).
#include <stddef.h>

#include "model/families/moe_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LLAMA_ATTENTION,
    PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    LLAMA_MLP,
    QWEN_EXPERTS,
    PARAMETER_NAMED(LLAMA_LAYER "mlp.moe_statics.e_score_correction_bias", 1, SLOT_CHOICE_BIAS),
    MOE_SHARED(PARAMETER_WITH_BIAS, "mlp.shared_experts"),
    LLAMA_END,
    PARAMETER_BIAS("lm_head", -1, SLOT_LM_HEAD)};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

struct ernie_moe {
    struct experts_config experts;
    int64_t n_shared, first, last, interval;
};

static enum status read_ernie_moe(const struct config_reader *reader, struct ernie_moe *out)
{
    const struct experts_keys absent = {.count_key = "moe_num_experts",
                                        .other_count_key = "num_experts",
                                        .chosen_key = "moe_k",
                                        .num_experts = 64,
                                        .num_experts_per_tok = 6,
                                        .intermediate_size = 1536,
                                        .scoring = ROUTER_SOFTMAX};
    double least = 1e-12;
    *out = (struct ernie_moe){.n_shared = 2, .first = 1, .last = -1, .interval = 1};
    TRY(describe_experts(reader, &absent, &out->experts));
    TRY(describe_activation(reader, "hidden_act", "silu", &out->experts.activation));
    TRY(config_read_number(reader, "moe_norm_min", 0, 1, &least));
    out->experts.choice_bias = out->experts.normalised = true;
    out->experts.sum_min = (float)least;
    TRY(config_read_int(reader, "moe_num_shared_experts", 0, EXPERTS_MAX, &out->n_shared));
    TRY(config_read_int(reader, "moe_layer_start_index", 0, LAYERS_MAX, &out->first));
    TRY(config_read_int(reader, "moe_layer_end_index", -1, LAYERS_MAX, &out->last));
    if (out->last == -1)
        out->last = LAYERS_MAX;
    return config_read_int(reader, "moe_layer_interval", 1, LAYERS_MAX, &out->interval);
}

static enum status describe_ernie4_5_moe(const struct config_reader *reader,
                                         struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 2560,
                              .intermediate_size = 12288,
                              .num_hidden_layers = 28,
                              .num_attention_heads = 20,
                              .num_key_value_heads = 4,
                              .vocab_size = 103424,
                              .max_position_embeddings = 131072,
                              .rms_norm_eps = 1e-5,
                              .tie_word_embeddings = true,
                              .rope_theta = 500000};
    struct ernie_moe moe;
    bool bias = false;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "use_bias", &bias));
    TRY(read_ernie_moe(reader, &moe));
    out->lm_head_bias = bias;
    struct layer_config dense = describe_layer(&keys);
    dense.sublayers[1].mlp.activation = moe.experts.activation;
    describe_attention_bias(&dense, bias, bias);
    describe_mlp_bias(&dense, bias);
    TRY(describe_rope(reader, &keys, NULL, true, out, &dense.sublayers[0].attention.rope));
    struct layer_config sparse = dense;
    struct mlp_config shared = dense.sublayers[1].mlp;
    shared.intermediate_size = (int32_t)moe.n_shared * moe.experts.intermediate_size;
    describe_sparse_layer(&moe.experts, &sparse);
    if (moe.n_shared)
        describe_shared_expert(&sparse, &shared);
    for (int64_t i = 0; i < out->num_hidden_layers; i++) {
        bool has_experts = (i + 1) % moe.interval == 0 && i >= moe.first && i <= moe.last;
        TRY(describe_add_layer(reader, out, (int32_t)i, has_experts ? &sparse : &dense));
    }
    return OK;
}

const struct family family_ernie4_5_moe = {
    .model_type = "ernie4_5_moe",
    .architecture = "Ernie4_5_MoeForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_ernie4_5_moe,
};
