// Llama and its variants: RMSNorm, grouped-query attention with rotary embedding, SwiGLU.
//
// Source: Transformers 5.24, models/llama (modeling_llama.py, configuration_llama.py).
#include <stddef.h>

#include "base/log.h"
#include "model/describe.h"
#include "model/families/llama_names.h"

static const struct parameter_row parameters[] = {LLAMA_PARAMETERS};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

// Transformers' Llama does not read them; one that says otherwise was made for something else.
static enum status check_unread_keys(const struct config_reader *reader)
{
    int64_t window = 0;
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &window));
    if (window)
        log_warning(
            "%s: sliding_window is ignored, as in Transformers: %s attends to all positions",
            reader->name, reader->architecture);
    return describe_same_layer_types(reader, "full_attention");
}

static enum status describe_llama(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 11008,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .vocab_size = 32000,
                              .max_position_embeddings = 2048,
                              .rms_norm_eps = 1e-6};
    bool attention_bias = false, mlp_bias = false;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "attention_bias", &attention_bias));
    TRY(config_read_flag(reader, "mlp_bias", &mlp_bias));
    TRY(check_unread_keys(reader));
    struct layer_config layer = describe_layer(&keys);
    TRY(describe_activation(reader, "hidden_act", "silu", &layer.sublayers[1].mlp.activation));
    struct attention_config *attention = &layer.sublayers[0].attention;
    struct mlp_config *mlp = &layer.sublayers[1].mlp;
    attention->q_bias = attention->k_bias = attention->v_bias = attention->o_bias = attention_bias;
    mlp->gate_bias = mlp->up_bias = mlp->down_bias = mlp_bias;
    TRY(describe_rope(reader, &keys, NULL, false, out, &attention->rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_llama = {
    .model_type = "llama",
    .architecture = "LlamaForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_llama,
};
