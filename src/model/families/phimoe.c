// PhiMoE (Phi-3.5-MoE): experts chosen by a sparse mixer, LayerNorms, biases on attention and on
// lm_head; a longrope whose scaling follows the length and whose frequencies do not.
//
// Source: Transformers 5.24, models/phimoe (modeling_phimoe.py, configuration_phimoe.py).
#include <stddef.h>

#include "model/families/moe_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LLAMA_ATTENTION,
    PARAMETER_BIAS(LLAMA_LAYER "input_layernorm", 0, SLOT_BEFORE_NORM),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    MIXTRAL_EXPERTS,
    PARAMETER_WITH_BIAS("model.norm", -1, SLOT_FINAL_NORM),
    PARAMETER_WITH_BIAS("lm_head", -1, SLOT_LM_HEAD),
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

// Transformers chooses two, whatever num_experts_per_tok says.
static enum status read_mixed_experts(const struct config_reader *reader,
                                      struct experts_config *out)
{
    const struct experts_keys absent = {.count_key = "num_local_experts",
                                        .other_count_key = "num_experts",
                                        .num_experts = 16,
                                        .num_experts_per_tok = 2,
                                        .intermediate_key = "intermediate_size",
                                        .intermediate_size = 6400,
                                        .scoring = ROUTER_SPARSE_MIXER};
    double noise = 0.01;
    TRY(describe_experts(reader, &absent, out));
    TRY(describe_activation(reader, "hidden_act", "silu", &out->activation));
    TRY(config_read_number(reader, "router_jitter_noise", 0, 1e6, &noise));
    out->mixer_reach = (float)(2 * noise);
    if (out->num_experts_per_tok == 2)
        return OK;
    return fail(ERR_UNSUPPORTED,
                "%s: key \"num_experts_per_tok\" is %d; expected 2: the sparse mixer of %s chooses "
                "two experts, one after the other",
                reader->name, (int)out->num_experts_per_tok, reader->architecture);
}

static enum status describe_phimoe(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .own_intermediate = true,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 8,
                              .vocab_size = 32064,
                              .max_position_embeddings = 131072,
                              .rms_norm_eps = 1e-5,
                              .layer_norm = true,
                              .rope_theta = 1e6};
    struct experts_config experts;
    bool bias = false;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    TRY(config_read_flag(reader, "lm_head_bias", &out->lm_head_bias));
    TRY(read_mixed_experts(reader, &experts));
    struct layer_config layer = describe_layer(&keys);
    struct attention_config *attention = &layer.sublayers[0].attention;
    describe_attention_bias(&layer, bias, bias);
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &attention->sliding_window));
    describe_sparse_layer(&experts, &layer);
    struct rope_reading reading = describe_rope_reading(&keys);
    reading.only_longrope = reading.scales_by_length = true;
    TRY(describe_rope_as(reader, &keys, &reading, false, out, &attention->rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_phimoe = {
    .model_type = "phimoe",
    .architecture = "PhimoeForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    MIXTRAL_OTHER_NAMES,
    .describe = describe_phimoe,
};
