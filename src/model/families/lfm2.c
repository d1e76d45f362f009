// LFM2: gated short convolutions, and attention with norms of queries and keys in some layers.
// LFM2-MoE: the same with experts in all but the first layers.
//
// Source: Transformers 5.24, models/lfm2 and models/lfm2_moe (modeling_*.py, configuration_*.py).
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "model/families/moe_names.h"

#define CONVOLUTION LLAMA_LAYER "conv."
#define ATTENTION LLAMA_LAYER "self_attn."
#define FEED_FORWARD LLAMA_LAYER "feed_forward."
#define IN_ROWS                                                                                    \
    {                                                                                              \
        SLOT_CONVOLUTION_B, SLOT_CONVOLUTION_C, SLOT_CONVOLUTION_X                                 \
    }
#define LFM2_PARAMETERS                                                                            \
    LLAMA_EMBED, PARAMETER(LLAMA_LAYER "operator_norm", 0, SLOT_BEFORE_NORM),                      \
        PARAMETER(ATTENTION "q_proj", 0, SLOT_QUERY), PARAMETER(ATTENTION "k_proj", 0, SLOT_KEY),  \
        PARAMETER(ATTENTION "v_proj", 0, SLOT_VALUE),                                              \
        PARAMETER(ATTENTION "out_proj", 0, SLOT_ATTENDED),                                         \
        PARAMETER(ATTENTION "q_layernorm", 0, SLOT_QUERY_NORM),                                    \
        PARAMETER(ATTENTION "k_layernorm", 0, SLOT_KEY_NORM),                                      \
        {.name = CONVOLUTION "in_proj.weight", .n_slots = 3, .slots = IN_ROWS},                    \
        {.name = CONVOLUTION "in_proj.bias", .bias = true, .n_slots = 3, .slots = IN_ROWS},        \
        PARAMETER_WITH_BIAS(CONVOLUTION "conv", 0, SLOT_CONVOLUTION_TAPS),                         \
        PARAMETER_WITH_BIAS(CONVOLUTION "out_proj", 0, SLOT_CONVOLUTION_OUT),                      \
        PARAMETER(LLAMA_LAYER "ffn_norm", 1, SLOT_BEFORE_NORM),                                    \
        PARAMETER(FEED_FORWARD "w1", 1, SLOT_GATE), PARAMETER(FEED_FORWARD "w3", 1, SLOT_UP),      \
        PARAMETER(FEED_FORWARD "w2", 1, SLOT_DOWN)
#define LFM2_END                                                                                   \
    PARAMETER("model.embedding_norm", -1, SLOT_FINAL_NORM), PARAMETER("lm_head", -1, SLOT_LM_HEAD)
#define EXPERTS FEED_FORWARD "experts."
static const struct parameter_row parameters[] = {LFM2_PARAMETERS, LFM2_END};
static const struct parameter_row moe_parameters[] = {
    LFM2_PARAMETERS,
    PARAMETER(FEED_FORWARD "gate", 1, SLOT_EXPERT_ROUTER),
    PARAMETER_NAMED(FEED_FORWARD "expert_bias", 1, SLOT_CHOICE_BIAS),
    PARAMETER_EXPERTS(EXPERTS "*.w1", 1, SLOT_EXPERT_GATE, EXPERTS "gate_up_proj"),
    PARAMETER_EXPERTS(EXPERTS "*.w3", 1, SLOT_EXPERT_UP, EXPERTS "gate_up_proj"),
    PARAMETER_EXPERTS(EXPERTS "*.w2", 1, SLOT_EXPERT_DOWN, EXPERTS "down_proj"),
    LFM2_END};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

enum { WORD_ATTENTION, WORD_CONVOLUTION };
static const char *const words[] = {"full_attention", "conv", NULL};

// A layer's mix, and whether each layer's is a convolution.
struct lfm2_layers {
    struct layer_config attention, convolution;
    uint8_t word[LAYERS_MAX];
};

// The names of some keys have been others.
static enum status read_older_keys(const struct config_reader *reader, struct plain_keys *keys)
{
    keys->tie_word_embeddings = true;
    if (!config_is_absent(reader, "block_ff_dim"))
        keys->intermediate_key = "block_ff_dim";
    return OK;
}

static enum status read_lfm2_mixes(const struct config_reader *reader,
                                   const struct plain_keys *keys, struct model_config *out,
                                   struct lfm2_layers *layers)
{
    int64_t taps = 3;
    bool bias = false;
    layers->attention = layers->convolution = describe_layer(keys);
    struct sublayer_config *attends = &layers->attention.sublayers[0],
                           *convolves = &layers->convolution.sublayers[0];
    attends->attention.q_norm = attends->attention.k_norm = attends->before;
    TRY(describe_rope(reader, keys, NULL, false, out, &attends->attention.rope));
    TRY(config_read_int(reader, "conv_L_cache", 2, CONVOLUTION_TAPS_MAX, &taps));
    TRY(config_read_flag(reader, "conv_bias", &bias));
    memset(&convolves->attention, 0, sizeof convolves->attention);
    convolves->kind = MIX_CONVOLUTION;
    convolves->convolution.taps = (int32_t)taps;
    convolves->convolution.in_bias = convolves->convolution.conv_bias =
        convolves->convolution.out_bias = bias;
    return OK;
}

// int(multiplier · int(2 · width / 3)), rounded up to a multiple.
static enum status adjust_width(const struct config_reader *reader, struct plain_keys *keys)
{
    bool adjusts = true;
    double multiplier = 1;
    int64_t multiple = 256, width = keys->intermediate_size;
    TRY(config_read_flag(reader, "block_auto_adjust_ff_dim", &adjusts));
    TRY(config_read_number(reader, "block_ffn_dim_multiplier", 1e-3, 1e3, &multiplier));
    TRY(config_read_int(reader, "block_multiple_of", 1, INTERMEDIATE_SIZE_MAX, &multiple));
    if (!adjusts)
        return OK;
    width = 2 * width / 3;
    if (!json_is_null(json_object_get(reader->root, "block_ffn_dim_multiplier"))) {
        width = (int64_t)(multiplier * (double)width);
        width = (width + multiple - 1) / multiple * multiple;
    }
    if (width < 1 || width > INTERMEDIATE_SIZE_MAX)
        return fail(
            ERR_INPUT,
            "%s: key \"%s\" is %d, which block_auto_adjust_ff_dim makes %lld; expected 1 to "
            "%d",
            reader->name, keys->intermediate_key ? keys->intermediate_key : "intermediate_size",
            (int)keys->intermediate_size, (long long)width, INTERMEDIATE_SIZE_MAX);
    keys->intermediate_size = (int32_t)width;
    return OK;
}

// Without layer_types, full_attn_idxs names those with attention; without that all have it.
static enum status read_layer_words(const struct config_reader *reader, int32_t n_layers,
                                    uint8_t word[LAYERS_MAX])
{
    bool attends[LAYERS_MAX];
    const bool listed = !config_is_absent(reader, "full_attn_idxs") &&
                        !json_is_null(json_object_get(reader->root, "full_attn_idxs"));
    TRY(describe_layer_words(reader, words, n_layers, WORD_ATTENTION, word));
    if (!config_is_absent(reader, "layer_types") || !listed)
        return OK;
    TRY(describe_layers_of_list(reader, "full_attn_idxs", attends));
    for (int32_t i = 0; i < n_layers; i++)
        word[i] = attends[i] ? WORD_ATTENTION : WORD_CONVOLUTION;
    return OK;
}

static const struct layer_config *layer_of_word(const struct lfm2_layers *layers, int32_t layer)
{
    return layers->word[layer] == WORD_CONVOLUTION ? &layers->convolution : &layers->attention;
}

static enum status describe_lfm2(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 2560,
                              .intermediate_size = 12288,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 8,
                              .vocab_size = 65536,
                              .max_position_embeddings = 128000,
                              .rms_norm_eps = 1e-5,
                              .eps_key = "norm_eps",
                              .rope_theta = 1000000};
    struct lfm2_layers layers;
    TRY(read_older_keys(reader, &keys));
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "tie_embedding", &out->tie_word_embeddings));
    TRY(adjust_width(reader, &keys));
    TRY(read_lfm2_mixes(reader, &keys, out, &layers));
    TRY(read_layer_words(reader, out->num_hidden_layers, layers.word));
    for (int32_t i = 0; i < out->num_hidden_layers; i++)
        TRY(describe_add_layer(reader, out, i, layer_of_word(&layers, i)));
    return OK;
}

static enum status read_lfm2_experts(const struct config_reader *reader, struct experts_config *out,
                                     int64_t *n_dense)
{
    const struct experts_keys absent = {.count_key = "num_experts",
                                        .other_count_key = "num_local_experts",
                                        .num_experts = 32,
                                        .num_experts_per_tok = 4,
                                        .intermediate_size = 1792,
                                        .scoring = ROUTER_SIGMOID};
    TRY(describe_experts(reader, &absent, out));
    TRY(describe_corrected_weights(reader, 1e-6f, 1, out));
    TRY(config_read_flag(reader, "use_expert_bias", &out->choice_bias));
    return config_read_int(reader, "num_dense_layers", 0, LAYERS_MAX, n_dense);
}

static enum status describe_lfm2_moe(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 2048,
                              .intermediate_size = 7168,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 8,
                              .vocab_size = 65536,
                              .max_position_embeddings = 128000,
                              .rms_norm_eps = 1e-5,
                              .eps_key = "norm_eps",
                              .tie_word_embeddings = true,
                              .rope_theta = 1000000};
    struct lfm2_layers layers;
    struct experts_config experts;
    int64_t n_dense = 2;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "tie_embedding", &out->tie_word_embeddings));
    TRY(read_lfm2_experts(reader, &experts, &n_dense));
    TRY(read_lfm2_mixes(reader, &keys, out, &layers));
    TRY(describe_layer_words(reader, words, out->num_hidden_layers, -1, layers.word));
    for (int32_t i = 0; i < out->num_hidden_layers; i++) {
        struct layer_config own = *layer_of_word(&layers, i);
        if (i >= n_dense)
            describe_sparse_layer(&experts, &own);
        TRY(describe_add_layer(reader, out, i, &own));
    }
    return OK;
}

const struct family family_lfm2 = {
    .model_type = "lfm2",
    .architecture = "Lfm2ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_lfm2,
};

const struct family family_lfm2_moe = {
    .model_type = "lfm2_moe",
    .architecture = "Lfm2MoeForCausalLM",
    .base_prefix = "model.",
    .parameters = moe_parameters,
    .n_parameters = sizeof moe_parameters / sizeof moe_parameters[0],
    .ignored = ignored,
    .describe = describe_lfm2_moe,
};
