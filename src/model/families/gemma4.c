// Gemma 4's text models: heads of another size on full layers, which may take the projected keys
// for values and turn by a rope of their own; the last layers may read keys of earlier ones; inputs
// of each layer beside the stream; or with experts beside the MLP.
//
// Source: Transformers 5.24, models/gemma4 (modeling_gemma4.py, configuration_gemma4.py).
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "model/families/gemma_parts.h"

#define FIRST_ROWS                                                                                 \
    LLAMA_EMBED, PARAMETER("model.embed_tokens_per_layer", -1, SLOT_INPUTS_TABLE),                 \
        PARAMETER("model.per_layer_model_projection", -1, SLOT_INPUTS_PROJECTION),                 \
        PARAMETER("model.per_layer_projection_norm", -1, SLOT_INPUTS_NORM), LLAMA_ATTENTION,       \
        LLAMA_QK_NORMS, PARAMETER(LLAMA_LAYER "post_attention_layernorm", 0, SLOT_AFTER_NORM),     \
        PARAMETER(LLAMA_LAYER "pre_feedforward_layernorm", 1, SLOT_BEFORE_NORM), LLAMA_MLP
// `place`: of the sublayer that reads a layer's inputs, where there is one; or the last before it.
#define LAST_ROWS(place)                                                                           \
    PARAMETER(LLAMA_LAYER "per_layer_input_gate", place, SLOT_UP),                                 \
        PARAMETER(LLAMA_LAYER "per_layer_projection", place, SLOT_DOWN),                           \
        PARAMETER(LLAMA_LAYER "post_per_layer_input_norm", place, SLOT_AFTER_NORM),                \
        PARAMETER_NAMED(LLAMA_LAYER "layer_scalar", (place)-1, SLOT_LAYER_SCALAR),                 \
        PARAMETER_NAMED(LLAMA_LAYER "layer_scalar", place, SLOT_LAYER_SCALAR), LLAMA_END

static const struct parameter_row parameters[] = {
    FIRST_ROWS,
    PARAMETER(LLAMA_LAYER "post_feedforward_layernorm", 1, SLOT_AFTER_NORM),
    LAST_ROWS(2),
};
#define EXPERTS LLAMA_LAYER "experts."
static const struct parameter_row sparse_parameters[] = {
    FIRST_ROWS,
    PARAMETER(LLAMA_LAYER "post_feedforward_layernorm_1", 1, SLOT_AFTER_NORM),
    PARAMETER(LLAMA_LAYER "pre_feedforward_layernorm_2", 2, SLOT_BEFORE_NORM),
    PARAMETER_NAMED(LLAMA_LAYER "router.scale", 2, SLOT_ROUTER_SCALE),
    PARAMETER(LLAMA_LAYER "router.proj", 2, SLOT_EXPERT_ROUTER),
    PARAMETER_NAMED(LLAMA_LAYER "router.per_expert_scale", 2, SLOT_EXPERT_SCALES),
    PARAMETER_EXPERT_PAIR(EXPERTS "gate_up_proj", 2, EXPERTS "gate_up_proj"),
    PARAMETER_EXPERT_DOWN(EXPERTS "down_proj", 2, EXPERTS "down_proj"),
    PARAMETER(LLAMA_LAYER "post_feedforward_layernorm_2", 2, SLOT_AFTER_NORM),
    PARAMETER(LLAMA_LAYER "post_feedforward_layernorm", 2, SLOT_JOINT_NORM),
    LAST_ROWS(3),
};
extern const struct family family_gemma4_sparse;
static const char *const ignored[] = {LLAMA_IGNORED, NULL};
// Of models with experts.
static const char *const idle_rules[] = {
    "model.layers.0.experts.gate_up_proj",
    "model.layers.0.experts.down_proj",
    "model.layers.0.experts",
    NULL,
};

struct gemma4 {
    const struct config_reader *reader;
    struct plain_keys keys;
    struct model_config *out;
    int64_t sliding_window;
    bool value_is_key, wide, bias;
    int64_t global_head_dim, global_kv_heads; // 0: as in the other layers
    int32_t first_shared;                     // layers from here on have no keys of their own
    enum activation activation;
    bool has_experts;
    struct experts_config experts;
};

static enum status read_inputs(struct gemma4 *g)
{
    int64_t size = 256, vocab = 262144;
    TRY(config_read_int(g->reader, "hidden_size_per_layer_input", 0, HIDDEN_SIZE_MAX, &size));
    TRY(config_read_int(g->reader, "vocab_size_per_layer_input", 1, VOCAB_MAX, &vocab));
    TRY(config_expect_even(g->reader, "hidden_size_per_layer_input", (int32_t)size));
    if (size && vocab < g->out->vocab_size)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"vocab_size_per_layer_input\" is %lld; expected at least vocab_size, "
                    "which is %d",
                    g->reader->name, (long long)vocab, (int)g->out->vocab_size);
    if (size)
        g->out->layer_inputs = (struct layer_inputs_config){
            .size = (int32_t)size, .vocab_size = (int32_t)vocab, .norm = g->out->final_norm};
    return OK;
}

// A number without which there are no experts.
static enum status read_expert_size(const struct config_reader *reader, const char *key,
                                    int64_t most, int32_t *out)
{
    int64_t value = 0;
    TRY(config_read_int(reader, key, 1, most, &value));
    *out = (int32_t)value;
    if (value)
        return OK;
    return fail(ERR_INPUT,
                "%s: key \"%s\" says nothing; expected a number: \"enable_moe_block\" is true",
                reader->name, key);
}

static enum status read_gemma4_experts(struct gemma4 *g)
{
    struct experts_config *e = &g->experts;
    const struct config_reader *reader = g->reader;
    TRY(config_read_flag(reader, "enable_moe_block", &g->has_experts));
    if (!g->has_experts)
        return OK;
    memset(e, 0, sizeof *e); // padding too: kinds are compared by bytes
    TRY(read_expert_size(reader, "num_experts", EXPERTS_MAX, &e->num_experts));
    TRY(read_expert_size(reader, "top_k_experts", CHOSEN_EXPERTS_MAX, &e->num_experts_per_tok));
    TRY(read_expert_size(reader, "moe_intermediate_size", INTERMEDIATE_SIZE_MAX,
                         &e->intermediate_size));
    if (e->num_experts_per_tok > e->num_experts)
        return fail(ERR_INPUT,
                    "%s: key \"top_k_experts\" is %d; expected at most num_experts, which is %d",
                    reader->name, (int)e->num_experts_per_tok, (int)e->num_experts);
    e->activation = g->activation;
    e->scoring = ROUTER_SOFTMAX;
    e->scaling_factor = 1;
    e->gated = e->normalised = e->expert_scales = true;
    e->router_norm = g->out->final_norm;
    g->out->family = &family_gemma4_sparse;
    return OK;
}

static enum status refuse_looking_ahead(const struct config_reader *reader)
{
    const char *both = "vision";
    bool found;
    TRY(json_get_text(reader->root, reader->name, "use_bidirectional_attention", &both, &found));
    if (found && strcmp(both, "vision") != 0)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"use_bidirectional_attention\" is \"%.80s\"; expected null or "
                    "\"vision\": text attends to what is before it",
                    reader->name, both);
    return OK;
}

static enum status read_keys(struct gemma4 *g)
{
    const struct config_reader *reader = g->reader;
    double softcap = 0;
    g->sliding_window = 512;
    g->global_head_dim = 512;
    TRY(describe_plain(reader, &g->keys, g->out));
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &g->sliding_window));
    TRY(config_read_flag(reader, "attention_k_eq_v", &g->value_is_key));
    TRY(config_read_flag(reader, "use_double_wide_mlp", &g->wide));
    TRY(config_read_flag(reader, "attention_bias", &g->bias));
    TRY(config_read_int(reader, "global_head_dim", 2, HEAD_DIM_MAX, &g->global_head_dim));
    TRY(config_read_int(reader, "num_global_key_value_heads", 1, HEADS_MAX, &g->global_kv_heads));
    TRY(config_read_number(reader, "final_logit_softcapping", 1e-6, 1e6, &softcap));
    TRY(describe_activation(reader, "hidden_activation", "gelu_pytorch_tanh", &g->activation));
    g->out->logit_softcap = (float)softcap;
    g->out->embed_multiplier = (float)sqrt((double)g->out->hidden_size);
    g->out->round_embed_multiplier = true;
    TRY(refuse_looking_ahead(reader));
    TRY(read_gemma4_experts(g));
    TRY(gemma_read_sharing(reader, 0, g->out, &g->first_shared));
    return read_inputs(g);
}

// Without layer_types every sixth layer sees all positions, and the last one always does.
static enum status find_type(const struct gemma4 *g, int32_t layer, bool *slides)
{
    TRY(describe_slides(g->reader, layer, (layer + 1) % 6 != 0, slides));
    if (layer == g->out->num_hidden_layers - 1)
        *slides = false;
    return OK;
}

// A key of per_layer_config: a layer's number, which Transformers writes with zeros before it ("05"
// of 12 layers). Names of kinds of layers are refused there, too.
static enum status read_layer_number(const struct gemma4 *g, const char *key, int64_t *out)
{
    size_t digits = strspn(key, "0123456789");
    *out = digits > 0 && digits <= 9 && key[digits] == '\0' ? strtoll(key, NULL, 10) : -1;
    if (*out >= 0 && *out < g->out->num_hidden_layers)
        return OK;
    return fail(ERR_INPUT,
                "%s: key \"per_layer_config\" has \"%s\"; expected numbers of layers, from 0 to %d",
                g->reader->name, text_show(key, strlen(key)), (int)g->out->num_hidden_layers - 1);
}

// Which keys may differ by layer: the rest would be another program than the one that is made here.
static enum status check_own_keys(const char *where, json_t *own)
{
    const char *key;
    json_t *value;
    json_object_foreach(own, key,
                        value) if (strcmp(key, "head_dim") != 0 &&
                                   strcmp(key, "num_key_value_heads") !=
                                       0) return fail(ERR_UNSUPPORTED,
                                                      "%s: has \"%s\"; only head_dim and "
                                                      "num_key_value_heads may differ by layer",
                                                      where, text_show(key, strlen(key)));
    return OK;
}

// What a layer's entry says; of several for one layer ("5" and "05") the last one counts.
static enum status read_own_heads(const struct gemma4 *g, json_t *all, int32_t layer,
                                  int64_t *head_dim, int64_t *kv_heads)
{
    const int64_t usual_dim = *head_dim, usual_heads = *kv_heads;
    char where[512];
    const char *key;
    json_t *own;
    bool found;
    json_object_foreach(all, key, own)
    {
        int64_t number;
        TRY(read_layer_number(g, key, &number));
        if (number != layer)
            continue;
        *head_dim = usual_dim;
        *kv_heads = usual_heads;
        snprintf(where, sizeof where, "%s: per_layer_config: %s", g->reader->name, key);
        TRY(json_get_object(all, where, key, &own, &found));
        TRY(check_own_keys(where, own));
        TRY(json_get_int(own, where, "head_dim", 2, HEAD_DIM_MAX, head_dim, &found));
        TRY(json_get_int(own, where, "num_key_value_heads", 1, HEADS_MAX, kv_heads, &found));
    }
    return OK;
}

// A layer's own head_dim and num_key_value_heads: per_layer_config has those that differ, by the
// layer's number (null: none); files without it say what full layers have.
static enum status read_heads_of(const struct gemma4 *g, int32_t layer, bool slides,
                                 int64_t *head_dim, int64_t *kv_heads)
{
    json_t *all = NULL;
    bool found;
    *head_dim = g->keys.head_dim;
    *kv_heads = g->keys.num_key_value_heads;
    if (json_object_get(g->reader->root, "per_layer_config")) {
        TRY(json_get_object(g->reader->root, g->reader->name, "per_layer_config", &all, &found));
        return all ? read_own_heads(g, all, layer, head_dim, kv_heads) : OK;
    }
    if (slides)
        return OK;
    *head_dim = g->global_head_dim;
    if (g->value_is_key && g->global_kv_heads)
        *kv_heads = g->global_kv_heads;
    return OK;
}

static enum status check_layer_heads(const struct gemma4 *g, int32_t layer, int64_t head_dim,
                                     int64_t kv_heads)
{
    if (head_dim % 2 || g->keys.num_attention_heads % kv_heads)
        return fail(
            ERR_INPUT,
            "%s: layer %d has %lld key and value heads of %lld elements; expected a divisor "
            "of num_attention_heads, which is %d, and an even number",
            g->reader->name, (int)layer, (long long)kv_heads, (long long)head_dim,
            (int)g->keys.num_attention_heads);
    return OK;
}

// Where rope_parameters is absent: 10000 on sliding layers, a quarter of the pairs at 1000000 on
// full ones.
static enum status add_own_rope(const struct gemma4 *g, bool slides, int32_t head_dim,
                                int32_t *index)
{
    struct rope_config rope;
    memset(&rope, 0, sizeof rope);
    rope.type = slides ? ROPE_DEFAULT : ROPE_PROPORTIONAL;
    rope.theta = slides ? 10000 : 1000000;
    rope.partial_rotary_factor = slides ? 1 : 0.25;
    rope.factor = 1;
    rope.truncate = true;
    rope.n_dimensions = rope.head_dim = head_dim;
    rope.max_position_embeddings = g->keys.max_position_embeddings;
    return describe_add_rope(g->reader, &rope, g->out, index);
}

static enum status add_rope(const struct gemma4 *g, bool slides, int32_t head_dim, int32_t *index)
{
    struct plain_keys keys = g->keys;
    const json_t *sets = json_object_get(g->reader->root, "rope_parameters");
    keys.head_dim = head_dim;
    keys.partial_rotary_factor = 1;
    if (!sets || json_is_null(sets))
        return add_own_rope(g, slides, head_dim, index);
    return describe_rope(g->reader, &keys, slides ? "sliding_attention" : "full_attention", false,
                         g->out, index);
}

// Experts beside the MLP: each has norms before and after, and one is for both.
static void add_experts(const struct gemma4 *g, struct layer_config *layer)
{
    struct sublayer_config *mlp = &layer->sublayers[1], *experts = &layer->sublayers[2];
    layer->n_sublayers = 3;
    mlp->keeps_sum = true;
    experts->kind = MIX_EXPERTS;
    experts->before = experts->after = experts->joint = mlp->before;
    experts->multiplier = 1;
    experts->parallel = true;
    experts->experts = g->experts;
}

static struct layer_config make_layer(const struct gemma4 *g)
{
    struct layer_config layer = describe_layer(&g->keys);
    struct attention_config *a = &layer.sublayers[0].attention;
    layer.sublayers[0].after = layer.sublayers[1].after = layer.sublayers[0].before;
    layer.sublayers[1].mlp.activation = g->activation;
    a->q_norm = a->k_norm = a->v_norm = layer.sublayers[0].before;
    a->v_norm.weightless = true;
    a->q_bias = a->k_bias = a->v_bias = a->o_bias = g->bias;
    a->scale = 1;
    if (g->has_experts)
        add_experts(g, &layer);
    if (g->out->layer_inputs.size)
        gemma_add_inputs(g->out, g->activation, &layer);
    layer.sublayers[layer.n_sublayers - 1].has_scalar = true;
    return layer;
}

static enum status add_layer(const struct gemma4 *g, const struct layer_config *like, int32_t layer)
{
    struct layer_config own = *like;
    struct attention_config *a = &own.sublayers[0].attention;
    int64_t head_dim, kv_heads;
    bool slides;
    TRY(find_type(g, layer, &slides));
    TRY(read_heads_of(g, layer, slides, &head_dim, &kv_heads));
    TRY(check_layer_heads(g, layer, head_dim, kv_heads));
    a->head_dim = (int32_t)head_dim;
    a->num_key_value_heads = (int32_t)kv_heads;
    a->sliding_window = slides ? g->sliding_window : 0;
    a->value_is_key = g->value_is_key && !slides && layer < g->first_shared;
    TRY(add_rope(g, slides, a->head_dim, &a->rope));
    if (layer >= g->first_shared && g->wide)
        own.sublayers[1].mlp.intermediate_size *= 2;
    return gemma_add_layer(g->reader, g->out, g->first_shared, layer, &own);
}

static enum status describe_gemma4(const struct config_reader *reader, struct model_config *out)
{
    struct gemma4 g = {.reader = reader,
                       .out = out,
                       .keys = {.hidden_size = 2304,
                                .intermediate_size = 9216,
                                .num_hidden_layers = 30,
                                .num_attention_heads = 8,
                                .num_key_value_heads = 4,
                                .head_dim = 256,
                                .vocab_size = 262144,
                                .max_position_embeddings = 131072,
                                .rms_norm_eps = 1e-6,
                                .tie_word_embeddings = true}};
    TRY(read_keys(&g));
    const struct layer_config layer = make_layer(&g);
    for (int32_t i = 0; i < out->num_hidden_layers; i++)
        TRY(add_layer(&g, &layer, i));
    return OK;
}

const struct family family_gemma4 = {
    .model_type = "gemma4_text",
    .architecture = "Gemma4ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .idle_rules = idle_rules,
    .describe = describe_gemma4,
};

// With experts, whose tensors, and the norms around them, are others.
const struct family family_gemma4_sparse = {
    .model_type = "gemma4_text",
    .architecture = "Gemma4ForCausalLM",
    .base_prefix = "model.",
    .parameters = sparse_parameters,
    .n_parameters = sizeof sparse_parameters / sizeof sparse_parameters[0],
    .ignored = ignored,
    .describe = describe_gemma4,
};
