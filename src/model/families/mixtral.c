// Mixtral: Mistral with experts in the place of the MLP.
//
// Source: Transformers 5.24, models/mixtral (modeling_mixtral.py, configuration_mixtral.py).
#include <stddef.h>

#include "model/families/moe_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED, LLAMA_ATTENTION,
    PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM), MIXTRAL_EXPERTS,
    LLAMA_END};
const struct name_change mixtral_other_names[2][NAME_CHANGES_MAX] = {
    {{".w1.", ".gate_proj."}, {".w3.", ".up_proj."}, {".w2.", ".down_proj."}},
    {{".w1.", ".gate_proj."},
     {".w3.", ".up_proj."},
     {".w2.", ".down_proj."},
     {".block_sparse_moe.", ".mlp."}},
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status describe_mixtral(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .num_hidden_layers = 32,
                              .own_intermediate = true,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 8,
                              .vocab_size = 32000,
                              .max_position_embeddings = 131072,
                              .rms_norm_eps = 1e-5,
                              .rope_theta = 1000000};
    const struct experts_keys experts_keys = {.count_key = "num_local_experts",
                                              .other_count_key = "num_experts",
                                              .num_experts = 8,
                                              .num_experts_per_tok = 2,
                                              .intermediate_key = "intermediate_size",
                                              .intermediate_size = 14336,
                                              .scoring = ROUTER_SOFTMAX};
    struct experts_config experts;
    int64_t window = 0;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &window));
    TRY(describe_experts(reader, &experts_keys, &experts));
    TRY(describe_activation(reader, "hidden_act", "silu", &experts.activation));
    experts.normalised = true;
    struct layer_config layer = describe_layer(&keys);
    describe_sparse_layer(&experts, &layer);
    struct attention_config *attention = &layer.sublayers[0].attention;
    attention->sliding_window = window;
    TRY(describe_rope(reader, &keys, NULL, false, out, &attention->rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_mixtral = {
    .model_type = "mixtral",
    .architecture = "MixtralForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    MIXTRAL_OTHER_NAMES,
    .describe = describe_mixtral,
};
