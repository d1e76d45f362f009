// OLMo Hybrid: the gated delta rule with norms before its blocks in most layers, OLMo 2's attention
// with norms behind its blocks in the others.
//
// Source: Transformers 5.24, models/olmo_hybrid (modeling_olmo_hybrid.py,
// configuration_olmo_hybrid.py) and conversion_mapping.py.
#include <stddef.h>
#include <string.h>

#include "model/families/olmo_parts.h"

#define LINEAR LLAMA_LAYER "linear_attn."
static const struct parameter_row parameters[] = {
    OLMO_PARAMETERS,
    PARAMETER(LLAMA_LAYER "attention_layer_norm", 0, SLOT_BEFORE_NORM),
    PARAMETER(LINEAR "q_proj", 0, SLOT_DELTA_QUERY),
    PARAMETER(LINEAR "k_proj", 0, SLOT_DELTA_KEY),
    PARAMETER(LINEAR "v_proj", 0, SLOT_DELTA_VALUE),
    PARAMETER(LINEAR "g_proj", 0, SLOT_DELTA_GATE),
    PARAMETER(LINEAR "b_proj", 0, SLOT_DELTA_BETA),
    PARAMETER(LINEAR "a_proj", 0, SLOT_DELTA_STEP),
    PARAMETER(LINEAR "q_conv1d", 0, SLOT_DELTA_TAPS_QUERY),
    PARAMETER(LINEAR "k_conv1d", 0, SLOT_DELTA_TAPS_KEY),
    PARAMETER(LINEAR "v_conv1d", 0, SLOT_DELTA_TAPS_VALUE),
    PARAMETER_NAMED(LINEAR "A_log", 0, SLOT_DELTA_A_LOG),
    PARAMETER_NAMED(LINEAR "dt_bias", 0, SLOT_DELTA_STEP_BIAS),
    PARAMETER(LINEAR "o_norm", 0, SLOT_DELTA_NORM),
    PARAMETER(LINEAR "o_proj", 0, SLOT_DELTA_OUT),
    PARAMETER(LLAMA_LAYER "feedforward_layer_norm", 1, SLOT_BEFORE_NORM),
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};
static const float output_norm_eps = 1e-5f; // whatever rms_norm_eps says

enum { WORD_LINEAR, WORD_FULL };
static const char *const words[] = {"linear_attention", "full_attention", NULL};

// Without a list every fourth layer attends, and the last one where that is none.
static enum status read_olmo_layers(const struct config_reader *reader, int32_t n_layers,
                                    uint8_t word[LAYERS_MAX])
{
    TRY(describe_layer_words(reader, words, n_layers, WORD_LINEAR, word));
    if (!config_is_absent(reader, "layer_types") || !config_is_absent(reader, "layers_block_type"))
        return OK;
    for (int32_t i = 3; i < n_layers; i += 4)
        word[i] = WORD_FULL;
    if (n_layers < 4)
        word[n_layers - 1] = WORD_FULL;
    return OK;
}

// A size that may be null: then it follows from others.
static enum status read_derived(const struct config_reader *reader, const char *key, int64_t least,
                                int64_t most, int64_t derived, int32_t *out)
{
    int64_t value = derived;
    TRY(config_read_int(reader, key, least, most, &value));
    if (value < least || value > most)
        return fail(ERR_INPUT,
                    "%s: key \"%s\" is missing, and would be %lld; expected %lld to %lld",
                    reader->name, key, (long long)value, (long long)least, (long long)most);
    *out = (int32_t)value;
    return OK;
}

static enum status read_olmo_delta(const struct config_reader *reader,
                                   const struct plain_keys *keys, struct delta_config *out)
{
    bool negative = true;
    int64_t taps = 4;
    TRY(read_derived(reader, "linear_num_key_heads", 1, HEADS_MAX, keys->num_attention_heads,
                     &out->num_key_heads));
    TRY(read_derived(reader, "linear_num_value_heads", 1, HEADS_MAX, keys->num_attention_heads,
                     &out->num_value_heads));
    TRY(read_derived(reader, "linear_key_head_dim", 1, HEAD_DIM_MAX,
                     (int64_t)(0.75 * keys->hidden_size / out->num_key_heads), &out->key_head_dim));
    TRY(read_derived(reader, "linear_value_head_dim", 2, HEAD_DIM_MAX,
                     2 * (int64_t)out->key_head_dim, &out->value_head_dim));
    TRY(config_read_int(reader, "linear_conv_kernel_dim", 1, CONVOLUTION_TAPS_MAX, &taps));
    TRY(config_read_flag(reader, "linear_allow_neg_eigval", &negative));
    out->taps = (int32_t)taps;
    out->double_beta = negative;
    out->norm = (struct norm_config){.kind = NORM_RMS, .eps = output_norm_eps};
    return OK;
}

// No rope where its theta is null.
static enum status read_olmo_rope(const struct config_reader *reader, const struct plain_keys *keys,
                                  struct model_config *out, int32_t *index)
{
    const json_t *rope = json_object_get(reader->root, "rope_parameters"),
                 *theta = json_object_get(json_is_object(rope) ? rope : reader->root, "rope_theta");
    *index = -1;
    if (json_is_null(theta))
        return OK;
    return describe_rope(reader, keys, NULL, false, out, index);
}

static enum status describe_olmo_hybrid(const struct config_reader *reader,
                                        struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 3840,
                              .intermediate_size = 11008,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 30,
                              .vocab_size = 100352,
                              .max_position_embeddings = 65536,
                              .rms_norm_eps = 1e-6};
    struct layer_config attends, scans;
    uint8_t word[LAYERS_MAX];
    TRY(describe_plain(reader, &keys, out));
    TRY(olmo_layer(reader, &keys, &attends));
    scans = describe_layer(&keys);
    scans.sublayers[1].mlp = attends.sublayers[1].mlp;
    TRY(describe_expect_silu(reader, "hidden_act"));
    memset(&scans.sublayers[0].attention, 0, sizeof scans.sublayers[0].attention);
    scans.sublayers[0].kind = MIX_DELTA;
    TRY(read_olmo_delta(reader, &keys, &scans.sublayers[0].delta));
    TRY(read_olmo_rope(reader, &keys, out, &attends.sublayers[0].attention.rope));
    TRY(read_olmo_layers(reader, out->num_hidden_layers, word));
    for (int32_t i = 0; i < out->num_hidden_layers; i++)
        TRY(describe_add_layer(reader, out, i, word[i] == WORD_LINEAR ? &scans : &attends));
    return OK;
}

const struct family family_olmo_hybrid = {
    .model_type = "olmo_hybrid",
    .architecture = "OlmoHybridForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_olmo_hybrid,
};
