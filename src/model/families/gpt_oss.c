// gpt-oss: a sink for each query head, windows on every other layer, biases on everything, experts
// too, whose activation is clamped. All experts of a layer in two tensors with rows and columns
// exchanged, gate and up in turn; or in blocks with scales (MXFP4), which are dequantised when they
// are loaded.
//
// Source: Transformers 5.24, models/gpt_oss (modeling_gpt_oss.py, configuration_gpt_oss.py) and
// integrations/mxfp4.py.
#include <stddef.h>

#include "model/families/moe_names.h"

#define EXPERTS LLAMA_LAYER "mlp.experts."
static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LLAMA_ATTENTION,
    PARAMETER_NAMED(LLAMA_LAYER "self_attn.sinks", 0, SLOT_SINKS),
    PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "mlp.router", 1, SLOT_EXPERT_ROUTER),
    {.name = EXPERTS "gate_up_proj",
     .sublayer = 1,
     .n_slots = 2,
     .slots = {SLOT_EXPERT_GATE, SLOT_EXPERT_UP},
     .in_turn = true,
     .transposed = true,
     .planned = PLANNED_GATE_UP},
    {.name = EXPERTS "gate_up_proj_bias",
     .sublayer = 1,
     .bias = true,
     .n_slots = 2,
     .slots = {SLOT_EXPERT_GATE, SLOT_EXPERT_UP},
     .in_turn = true},
    {.name = EXPERTS "down_proj",
     .sublayer = 1,
     .n_slots = 1,
     .slots = {SLOT_EXPERT_DOWN},
     .transposed = true,
     .planned = PLANNED_DOWN},
    {.name = EXPERTS "down_proj_bias",
     .sublayer = 1,
     .bias = true,
     .n_slots = 1,
     .slots = {SLOT_EXPERT_DOWN}},
    LLAMA_END};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status read_clamped_experts(const struct config_reader *reader,
                                        struct experts_config *out)
{
    const struct experts_keys absent = {.count_key = "num_local_experts",
                                        .other_count_key = "num_experts",
                                        .num_experts = 128,
                                        .num_experts_per_tok = 4,
                                        .intermediate_key = "intermediate_size",
                                        .intermediate_size = 2880,
                                        .scoring = ROUTER_CHOSEN_SOFTMAX};
    double alpha = 1.702, limit = 7;
    TRY(describe_experts(reader, &absent, out));
    TRY(config_read_number(reader, "swiglu_alpha", -1e6, 1e6, &alpha));
    TRY(config_read_number(reader, "swiglu_limit", 0, 1e9, &limit));
    out->activation = ACTIVATION_CLAMPED_SWIGLU;
    out->alpha = (float)alpha;
    out->limit = (float)limit;
    out->router_bias = out->gate_bias = out->up_bias = out->down_bias = true;
    return OK;
}

// Blocks go along the inputs of gate and up, and of down.
static enum status expect_whole_blocks(const struct config_reader *reader,
                                       const struct model_config *out,
                                       const struct experts_config *experts)
{
    if (out->quant_method != QUANT_MXFP4 ||
        (out->hidden_size % 32 == 0 && experts->intermediate_size % 32 == 0))
        return OK;
    return fail(ERR_INPUT,
                "%s: key \"quantization_config\" says mxfp4, blocks of 32, but hidden_size is %d "
                "and intermediate_size %d; expected multiples of 32",
                reader->name, (int)out->hidden_size, (int)experts->intermediate_size);
}

static enum status read_gpt_oss_rope(const struct config_reader *reader,
                                     const struct plain_keys *keys, struct model_config *out,
                                     int32_t *index)
{
    struct rope_config rope = {.type = ROPE_YARN,
                               .theta = keys->rope_theta,
                               .factor = 32,
                               .beta_fast = 32,
                               .beta_slow = 1,
                               .original_max_position_embeddings = 4096};
    if (rope_config_is_absent(reader->root))
        return describe_default_rope(reader, keys, &rope, out, index);
    return describe_rope(reader, keys, NULL, false, out, index);
}

static enum status describe_gpt_oss(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 2880,
                              .own_intermediate = true,
                              .num_hidden_layers = 36,
                              .num_attention_heads = 64,
                              .num_key_value_heads = 8,
                              .head_dim = 64,
                              .vocab_size = 201088,
                              .max_position_embeddings = 131072,
                              .rms_norm_eps = 1e-5,
                              .rope_theta = 150000};
    struct experts_config experts;
    bool bias = true;
    int64_t window = config_is_absent(reader, "sliding_window") ? 128 : 0;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    TRY(config_read_int(reader, "sliding_window", 0, POSITIONS_MAX, &window));
    TRY(read_clamped_experts(reader, &experts));
    TRY(expect_whole_blocks(reader, out, &experts));
    struct layer_config layer = describe_layer(&keys);
    struct attention_config *attention = &layer.sublayers[0].attention;
    describe_attention_bias(&layer, bias, bias);
    attention->sinks = true;
    describe_sparse_layer(&experts, &layer);
    TRY(read_gpt_oss_rope(reader, &keys, out, &attention->rope));
    for (int32_t i = 0; i < out->num_hidden_layers; i++) {
        struct layer_config own = layer;
        TRY(describe_window(reader, i, i % 2 == 0, window,
                            &own.sublayers[0].attention.sliding_window));
        TRY(describe_add_layer(reader, out, i, &own));
    }
    return OK;
}

const struct family family_gpt_oss = {
    .model_type = "gpt_oss",
    .architecture = "GptOssForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_gpt_oss,
};
