// Gemma 2: Gemma with norms on both sides of the sublayers, soft-caps, and windows on every other
// layer.
//
// Source: Transformers 5.24, models/gemma2 (modeling_gemma2.py, configuration_gemma2.py).
#include <math.h>
#include <stddef.h>

#include "model/families/gemma_parts.h"

static const struct parameter_row parameters[] = {GEMMA_LAYER};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};
static const double cap_min = 1e-3, cap_max = 1e6, scalar_min = 1e-6, scalar_max = 1e9;

// null: no cap
static enum status read_cap(const struct config_reader *reader, const char *key, double absent,
                            float *out)
{
    double cap = config_is_absent(reader, key) ? absent : 0;
    TRY(config_read_number(reader, key, cap_min, cap_max, &cap));
    *out = (float)cap;
    return OK;
}

enum status gemma2_extend(const struct config_reader *reader, double absent,
                          struct model_config *out, struct layer_config *layer)
{
    double scalar = 256;
    TRY(read_cap(reader, "final_logit_softcapping", absent, &out->logit_softcap));
    TRY(config_read_number(reader, "query_pre_attn_scalar", scalar_min, scalar_max, &scalar));
    layer->sublayers[0].attention.scale = (float)(1 / sqrt(scalar));
    for (int i = 0; i < layer->n_sublayers; i++)
        layer->sublayers[i].after = layer->sublayers[i].before;
    return describe_activation(reader, "hidden_activation", "gelu_pytorch_tanh",
                               &layer->sublayers[1].mlp.activation);
}

static enum status describe_gemma2(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 2304,
                              .intermediate_size = 9216,
                              .num_hidden_layers = 26,
                              .num_attention_heads = 8,
                              .num_key_value_heads = 4,
                              .head_dim = 256,
                              .vocab_size = 256000,
                              .max_position_embeddings = 8192,
                              .rms_norm_eps = 1e-6,
                              .tie_word_embeddings = true};
    struct layer_config layer;
    int64_t window = config_is_absent(reader, "sliding_window") ? 4096 : 0;
    TRY(describe_plain(reader, &keys, out));
    TRY(gemma_begin(reader, &keys, out, &layer));
    TRY(gemma2_extend(reader, 30, out, &layer));
    struct attention_config *attention = &layer.sublayers[0].attention;
    TRY(read_cap(reader, "attn_logit_softcapping", 50, &attention->softcap));
    TRY(describe_rope(reader, &keys, NULL, false, out, &attention->rope));
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &window));
    for (int32_t i = 0; i < out->num_hidden_layers; i++) {
        TRY(describe_window(reader, i, i % 2 == 0, window, &attention->sliding_window));
        TRY(describe_add_layer(reader, out, i, &layer));
    }
    return OK;
}

const struct family family_gemma2 = {
    .model_type = "gemma2",
    .architecture = "Gemma2ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_gemma2,
};
