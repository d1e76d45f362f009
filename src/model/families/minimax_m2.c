// MiniMax M2: experts chosen with a correction of their scores; a norm over all heads of the
// queries and of the keys together, rope on a part of each head.
//
// Source: Transformers 5.24, models/minimax_m2 (modeling_minimax_m2.py,
// configuration_minimax_m2.py).
#include <stddef.h>

#include "model/families/moe_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LLAMA_ATTENTION,
    LLAMA_QK_NORMS,
    PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    MIXTRAL_EXPERTS,
    PARAMETER_NAMED(LLAMA_LAYER "block_sparse_moe.e_score_correction_bias", 1, SLOT_CHOICE_BIAS),
    LLAMA_END};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

// Which part of a head turns; rope_parameters may say so as well.
static enum status read_rotary_part(const struct config_reader *reader, struct plain_keys *keys)
{
    int64_t rotary_dim = 0;
    keys->partial_rotary_factor = 1;
    TRY(config_read_int(reader, "rotary_dim", 2, keys->head_dim, &rotary_dim));
    if (rotary_dim)
        keys->partial_rotary_factor = (double)rotary_dim / keys->head_dim;
    return OK;
}

static enum status describe_minimax_m2(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 3072,
                              .own_intermediate = true,
                              .num_hidden_layers = 62,
                              .num_attention_heads = 48,
                              .num_key_value_heads = 8,
                              .head_dim = 128,
                              .vocab_size = 200064,
                              .max_position_embeddings = 196608,
                              .rms_norm_eps = 1e-6,
                              .rope_theta = 5000000};
    const struct experts_keys absent = {.count_key = "num_local_experts",
                                        .other_count_key = "num_experts",
                                        .num_experts = 256,
                                        .num_experts_per_tok = 8,
                                        .intermediate_key = "intermediate_size",
                                        .intermediate_size = 1536,
                                        .scoring = ROUTER_SIGMOID};
    struct experts_config experts;
    TRY(describe_plain(reader, &keys, out));
    TRY(read_rotary_part(reader, &keys));
    TRY(describe_experts(reader, &absent, &experts));
    TRY(describe_activation(reader, "hidden_act", "silu", &experts.activation));
    experts.choice_bias = experts.normalised = true;
    struct layer_config layer = describe_layer(&keys);
    struct attention_config *attention = &layer.sublayers[0].attention;
    attention->q_norm = attention->k_norm = layer.sublayers[0].before;
    attention->qk_norm_width = QK_NORM_WHOLE;
    describe_sparse_layer(&experts, &layer);
    TRY(describe_rope(reader, &keys, NULL, false, out, &attention->rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_minimax_m2 = {
    .model_type = "minimax_m2",
    .architecture = "MiniMaxM2ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    MIXTRAL_OTHER_NAMES,
    .describe = describe_minimax_m2,
};
