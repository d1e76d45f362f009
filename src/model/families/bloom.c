// BLOOM: ALiBi instead of a rope, a LayerNorm of the embedding, queries, keys and values in one
// tensor, head by head.
//
// Source: Transformers 5.24, models/bloom (modeling_bloom.py, configuration_bloom.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

#define BLOOM_LAYER "transformer.h.%d."

static const struct parameter_row parameters[] = {
    PARAMETER("transformer.word_embeddings", -1, SLOT_EMBED),
    PARAMETER_WITH_BIAS("transformer.word_embeddings_layernorm", -1, SLOT_EMBED_NORM),
    PARAMETER_WITH_BIAS(BLOOM_LAYER "input_layernorm", 0, SLOT_BEFORE_NORM),
    PARAMETER_HEADS(BLOOM_LAYER "self_attention.query_key_value", 0),
    PARAMETER_WITH_BIAS(BLOOM_LAYER "self_attention.dense", 0, SLOT_ATTENDED),
    PARAMETER_WITH_BIAS(BLOOM_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    PARAMETER_WITH_BIAS(BLOOM_LAYER "mlp.dense_h_to_4h", 1, SLOT_UP),
    PARAMETER_WITH_BIAS(BLOOM_LAYER "mlp.dense_4h_to_h", 1, SLOT_DOWN),
    PARAMETER_WITH_BIAS("transformer.ln_f", -1, SLOT_FINAL_NORM),
    PARAMETER("lm_head", -1, SLOT_LM_HEAD),
};
static const char *const ignored[] = {NULL};

// BLOOM has no longest text of its own; what it was trained on stands for it.
static enum status read_bloom_length(const struct config_reader *reader, struct plain_keys *keys)
{
    keys->max_position_embeddings = 2048;
    return config_read_int(reader, "seq_length", 1, POSITIONS_MAX, &keys->max_position_embeddings);
}

// The first of two names that a key has, if it is there and not null.
static const char *bloom_key(const struct config_reader *reader, const char *first,
                             const char *second)
{
    const json_t *value = json_object_get(reader->root, first);
    return value && !json_is_null(value) ? first : second;
}

static enum status describe_bloom(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 64,
                              .hidden_key = bloom_key(reader, "n_embed", "hidden_size"),
                              .mlp_factor = 4,
                              .num_hidden_layers = 2,
                              .layers_key = bloom_key(reader, "num_hidden_layers", "n_layer"),
                              .num_attention_heads = 8,
                              .heads_key = bloom_key(reader, "num_attention_heads", "n_head"),
                              .own_heads_only = true,
                              .vocab_size = 250880,
                              .rms_norm_eps = 1e-5,
                              .eps_key = "layer_norm_epsilon",
                              .layer_norm = true,
                              .tie_word_embeddings = true};
    bool normed = false;
    TRY(read_bloom_length(reader, &keys));
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "apply_residual_connection_post_layernorm", &normed));
    out->embed_norm = out->final_norm;
    struct layer_config layer = describe_layer(&keys);
    struct attention_config *attention = &layer.sublayers[0].attention;
    attention->alibi = true;
    attention->rope = -1;
    layer.sublayers[1].mlp.gated = false;
    layer.sublayers[1].mlp.activation = ACTIVATION_GELU_TANH;
    describe_attention_bias(&layer, true, true);
    describe_mlp_bias(&layer, true);
    layer.sublayers[0].adds_to_normed = layer.sublayers[1].adds_to_normed = normed;
    return describe_all_layers(reader, out, &layer);
}

const struct family family_bloom = {
    .model_type = "bloom",
    .architecture = "BloomForCausalLM",
    .base_prefix = "transformer.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_bloom,
};
