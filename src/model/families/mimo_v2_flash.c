// MiMo V2 Flash: values narrower than keys and scaled, rope on a part of each head; layers with a
// window have twice the KV heads, a rope of their own and a sink for each query head; experts
// chosen with a correction of their scores.
//
// Source: Transformers 5.24, models/mimo_v2_flash (modeling_mimo_v2_flash.py,
// configuration_mimo_v2_flash.py).
#include <stddef.h>
#include <string.h>

#include "model/families/moe_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LLAMA_ATTENTION,
    {.name = LLAMA_LAYER "self_attn.attention_sink_bias",
     .sublayer = 0,
     .n_slots = 1,
     .slots = {SLOT_SINKS},
     .planned = LLAMA_LAYER "self_attn.sinks"},
    PARAMETER(LLAMA_LAYER "post_attention_layernorm", 1, SLOT_BEFORE_NORM),
    LLAMA_MLP,
    QWEN_EXPERTS,
    PARAMETER_NAMED(LLAMA_LAYER "mlp.gate.e_score_correction_bias", 1, SLOT_CHOICE_BIAS),
    LLAMA_END};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static const double rotary_part = 0.334;

struct mimo {
    const struct config_reader *reader;
    struct plain_keys keys;
    struct model_config *out;
    struct layer_config dense, sparse;
    int64_t window;
    int32_t ropes[2]; // of full layers, and of those with a window; -1: not read yet
};

static enum status read_mimo_experts(const struct config_reader *reader, struct experts_config *out)
{
    const struct experts_keys absent = {.count_key = "n_routed_experts",
                                        .other_count_key = "num_local_experts",
                                        .num_experts = 256,
                                        .num_experts_per_tok = 8,
                                        .intermediate_size = 2048,
                                        .scoring = ROUTER_SIGMOID};
    TRY(describe_experts(reader, &absent, out));
    TRY(describe_activation(reader, "hidden_act", "silu", &out->activation));
    TRY(describe_expert_groups(reader, NULL, out));
    return describe_corrected_weights(reader, 1e-20f, 1, out);
}

// Without rope_parameters the thetas are the class's, whatever rope_theta says.
static enum status read_mimo_rope(struct mimo *m, bool slides, int32_t *index)
{
    struct plain_keys keys = m->keys;
    int32_t *kept = &m->ropes[slides];
    keys.partial_rotary_factor = rotary_part;
    if (*kept < 0 && json_is_object(json_object_get(m->reader->root, "rope_parameters"))) {
        TRY(describe_rope(m->reader, &keys, slides ? "sliding_attention" : "full_attention", false,
                          m->out, kept));
    } else if (*kept < 0) {
        struct rope_config rope;
        memset(&rope, 0, sizeof rope); // padding too: equal ones are found by their bytes
        rope.type = ROPE_DEFAULT;
        rope.theta = slides ? 1e4 : 5e6;
        rope.factor = 1;
        rope.truncate = true;
        rope.partial_rotary_factor = rotary_part;
        rope.max_position_embeddings = keys.max_position_embeddings;
        rope.head_dim = keys.head_dim;
        rope.n_dimensions = (int32_t)(keys.head_dim * rotary_part);
        if (rope.n_dimensions < 2 || rope.n_dimensions % 2)
            return fail(ERR_INPUT,
                        "%s: key \"head_dim\" is %d, of which 0.334 are rotated, %d; expected an "
                        "even number, 2 or more",
                        m->reader->name, (int)keys.head_dim, (int)rope.n_dimensions);
        TRY(describe_add_rope(m->reader, &rope, m->out, kept));
    }
    *index = *kept;
    return OK;
}

// Without mlp_layer_types the first layer is dense.
static enum status find_mlp_type(const struct config_reader *reader, int32_t layer, bool *is_sparse)
{
    json_t *list;
    bool found;
    *is_sparse = layer > 0;
    TRY(json_get_array(reader->root, reader->name, "mlp_layer_types", &list, &found));
    if (!found)
        return OK;
    const json_t *item = json_array_get(list, (size_t)layer);
    const char *text = json_is_string(item) ? json_string_value(item) : "";
    *is_sparse = strcmp(text, "sparse") == 0;
    if (*is_sparse || strcmp(text, "dense") == 0)
        return OK;
    return fail(ERR_INPUT,
                "%s: key \"mlp_layer_types\" has %s for layer %d; expected \"dense\" or \"sparse\" "
                "for each of the layers",
                reader->name, item ? json_show(item) : "nothing", (int)layer);
}

static enum status add_mimo_layer(struct mimo *m, int32_t layer)
{
    bool is_sparse;
    TRY(find_mlp_type(m->reader, layer, &is_sparse));
    struct layer_config own = is_sparse ? m->sparse : m->dense;
    struct attention_config *attention = &own.sublayers[0].attention;
    TRY(describe_window(m->reader, layer, layer > 0 && (layer + 1) % 6 != 0, m->window,
                        &attention->sliding_window));
    if (attention->sliding_window) {
        attention->num_key_value_heads *= 2;
        attention->sinks = true;
        if (attention->num_attention_heads % attention->num_key_value_heads)
            return fail(
                ERR_INPUT,
                "%s: key \"num_key_value_heads\" is %d, twice that in layers with a window; "
                "expected a divisor of num_attention_heads, which is %d",
                m->reader->name, (int)m->keys.num_key_value_heads,
                (int)attention->num_attention_heads);
    }
    TRY(read_mimo_rope(m, attention->sliding_window > 0, &attention->rope));
    return describe_add_layer(m->reader, m->out, layer, &own);
}

static enum status read_mimo_attention(struct mimo *m, struct attention_config *out)
{
    const struct config_reader *reader = m->reader;
    double scale = config_is_absent(reader, "attention_value_scale") ? 0.707 : 1;
    int64_t before = 0, value_dim = 128;
    bool bias = false;
    TRY(config_read_flag(reader, "attention_bias", &bias));
    out->q_bias = out->k_bias = out->v_bias = bias;
    TRY(config_read_int(reader, "v_head_dim", 2, HEAD_DIM_MAX, &value_dim));
    TRY(config_expect_even(reader, "v_head_dim", (int32_t)value_dim));
    TRY(config_read_number(reader, "attention_value_scale", -1e6, 1e6, &scale));
    out->value_dim = (int32_t)value_dim;
    out->value_scale = (float)scale;
    m->window = config_is_absent(reader, "sliding_window") ? 129 : 0;
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &m->window));
    TRY(config_read_int(reader, "sliding_window_size", 0, POSITIONS_MAX - 1, &before));
    if (!config_is_absent(reader, "sliding_window_size"))
        m->window = before + 1; // so many before the query
    return OK;
}

static enum status describe_mimo_v2_flash(const struct config_reader *reader,
                                          struct model_config *out)
{
    struct mimo m = {.reader = reader,
                     .out = out,
                     .ropes = {-1, -1},
                     .keys = {.hidden_size = 4096,
                              .intermediate_size = 16384,
                              .num_hidden_layers = 48,
                              .num_attention_heads = 64,
                              .num_key_value_heads = 4,
                              .head_dim = 192,
                              .vocab_size = 152576,
                              .max_position_embeddings = 131072,
                              .rms_norm_eps = 1e-5}};
    struct experts_config experts;
    TRY(describe_plain(reader, &m.keys, out));
    TRY(read_mimo_experts(reader, &experts));
    m.dense = describe_layer(&m.keys);
    m.dense.sublayers[1].mlp.activation = experts.activation;
    TRY(read_mimo_attention(&m, &m.dense.sublayers[0].attention));
    m.sparse = m.dense;
    describe_sparse_layer(&experts, &m.sparse);
    for (int32_t i = 0; i < out->num_hidden_layers; i++)
        TRY(add_mimo_layer(&m, i));
    return OK;
}

const struct family family_mimo_v2_flash = {
    .model_type = "mimo_v2_flash",
    .architecture = "MiMoV2FlashForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_mimo_v2_flash,
};
