// StarCoder2: LayerNorms, biases everywhere, an MLP without a gate.
//
// Source: Transformers 5.24, models/starcoder2 (modeling_starcoder2.py,
// configuration_starcoder2.py).
#include <stddef.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LLAMA_ATTENTION,
    PARAMETER_BIAS(LLAMA_LAYER "input_layernorm", 0, SLOT_BEFORE_NORM),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "mlp.c_fc", 1, SLOT_UP),
    PARAMETER_WITH_BIAS(LLAMA_LAYER "mlp.c_proj", 1, SLOT_DOWN),
    LLAMA_END,
    PARAMETER_BIAS("model.norm", -1, SLOT_FINAL_NORM),
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status describe_starcoder2(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 3072,
                              .intermediate_size = 12288,
                              .num_hidden_layers = 30,
                              .num_attention_heads = 24,
                              .num_key_value_heads = 2,
                              .vocab_size = 49152,
                              .max_position_embeddings = 4096,
                              .rms_norm_eps = 1e-5,
                              .eps_key = "norm_epsilon",
                              .layer_norm = true,
                              .tie_word_embeddings = true};
    bool bias = true;
    int64_t window = 0;
    TRY(describe_plain(reader, &keys, out));
    TRY(config_read_flag(reader, "use_bias", &bias));
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &window));
    TRY(describe_same_layer_types(reader, window ? "sliding_attention" : "full_attention"));
    struct layer_config layer = describe_layer(&keys);
    layer.sublayers[1].mlp.gated = false;
    TRY(describe_activation(reader, "hidden_act", "gelu_pytorch_tanh",
                            &layer.sublayers[1].mlp.activation));
    describe_attention_bias(&layer, bias, bias);
    describe_mlp_bias(&layer, bias);
    layer.sublayers[0].attention.sliding_window = window;
    TRY(describe_rope(reader, &keys, NULL, false, out, &layer.sublayers[0].attention.rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_starcoder2 = {
    .model_type = "starcoder2",
    .architecture = "Starcoder2ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_starcoder2,
};
