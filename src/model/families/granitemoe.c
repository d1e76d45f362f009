// Granite MoE: Granite with experts in the place of the MLP, all of a layer in two tensors.
//
// Source: Transformers 5.24, models/granitemoe (modeling_granitemoe.py,
// configuration_granitemoe.py).
#include <stddef.h>

#include "model/families/granite_parts.h"

#define EXPERTS LLAMA_LAYER "block_sparse_moe."
static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LLAMA_ATTENTION,
    PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    PARAMETER(EXPERTS "router.layer", 1, SLOT_EXPERT_ROUTER),
    PARAMETER_EXPERT_PAIR(EXPERTS "input_linear.weight", 1, EXPERTS "experts.gate_up_proj"),
    PARAMETER_EXPERTS(EXPERTS "output_linear", 1, SLOT_EXPERT_DOWN, EXPERTS "experts.down_proj"),
    LLAMA_END};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status describe_granitemoe(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .own_intermediate = true,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .vocab_size = 32000,
                              .max_position_embeddings = 2048,
                              .rms_norm_eps = 1e-6};
    const struct experts_keys absent = {.count_key = "num_local_experts",
                                        .other_count_key = "num_experts",
                                        .num_experts = 8,
                                        .num_experts_per_tok = 2,
                                        .intermediate_key = "intermediate_size",
                                        .intermediate_size = 11008,
                                        .scoring = ROUTER_CHOSEN_SOFTMAX};
    struct experts_config experts;
    TRY(describe_plain(reader, &keys, out));
    TRY(describe_experts(reader, &absent, &experts));
    struct layer_config layer = describe_layer(&keys);
    TRY(granite_multiply(reader, out, &layer));
    experts.activation = layer.sublayers[1].mlp.activation;
    describe_sparse_layer(&experts, &layer);
    TRY(describe_rope(reader, &keys, NULL, false, out, &layer.sublayers[0].attention.rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_granitemoe = {
    .model_type = "granitemoe",
    .architecture = "GraniteMoeForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_granitemoe,
};
