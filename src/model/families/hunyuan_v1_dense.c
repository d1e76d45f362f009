// Hunyuan, the dense ones: a norm of each head of the queries and keys, after the rope.
//
// Source: Transformers 5.24, models/hunyuan_v1_dense (modeling_hunyuan_v1_dense.py,
// configuration_hunyuan_v1_dense.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_PARAMETERS,
    PARAMETER(LLAMA_LAYER "self_attn.query_layernorm", 0, SLOT_QUERY_NORM),
    PARAMETER(LLAMA_LAYER "self_attn.key_layernorm", 0, SLOT_KEY_NORM),
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

// With "alpha", what is called dynamic is a base for all lengths: theta · alpha^(d / (d - 2)).
static enum status read_hunyuan_rope(const struct config_reader *reader,
                                     const struct plain_keys *keys, struct model_config *out,
                                     int32_t *index)
{
    double alpha = 0, d = keys->head_dim;
    TRY(describe_rope(reader, keys, NULL, false, out, index));
    struct rope_config *rope = &out->ropes[*index]; // all layers' only one
    if (rope->type != ROPE_DYNAMIC)
        return OK;
    TRY(describe_rope_number(reader, "alpha", 0, 1e9, &alpha));
    if (alpha > 0)
        rope->theta *= number_pow(alpha, d / (d - 2));
    return OK;
}

static enum status describe_hunyuan_v1_dense(const struct config_reader *reader,
                                             struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 11008,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .vocab_size = 290943,
                              .max_position_embeddings = 2048,
                              .rms_norm_eps = 1e-5};
    bool bias = false;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    struct layer_config layer = describe_layer(&keys);
    TRY(describe_activation(reader, "hidden_act", "silu", &layer.sublayers[1].mlp.activation));
    struct attention_config *attention = &layer.sublayers[0].attention;
    attention->q_norm = attention->k_norm = layer.sublayers[0].before;
    attention->qk_norm_after_rope = true;
    describe_attention_bias(&layer, bias, bias);
    TRY(read_hunyuan_rope(reader, &keys, out, &attention->rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_hunyuan_v1_dense = {
    .model_type = "hunyuan_v1_dense",
    .architecture = "HunYuanDenseV1ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_hunyuan_v1_dense,
};
