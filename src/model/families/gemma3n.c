// Gemma 3n, text: streams beside each other of which layers work on one, a low-rank path beside
// attention, activations that are sparse in the first layers, inputs of each layer; the last layers
// read keys of earlier ones.
//
// Source: Transformers 5.24, models/gemma3n (modeling_gemma3n.py, configuration_gemma3n.py).
#include <math.h>
#include <stddef.h>

#include "model/families/gemma_parts.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    PARAMETER("model.embed_tokens_per_layer", -1, SLOT_INPUTS_TABLE),
    PARAMETER("model.per_layer_model_projection", -1, SLOT_INPUTS_PROJECTION),
    PARAMETER("model.per_layer_projection_norm", -1, SLOT_INPUTS_NORM),
    PARAMETER("model.altup_projections.*", -1, SLOT_STREAM_PROJECTIONS),
    PARAMETER("model.altup_unembed_projections.*", -1, SLOT_STREAM_UNEMBEDDINGS),
    PARAMETER(LLAMA_LAYER "altup.router_norm", 0, SLOT_ROUTER_NORM),
    PARAMETER(LLAMA_LAYER "altup.modality_router", 0, SLOT_ROUTER),
    PARAMETER(LLAMA_LAYER "altup.prediction_coefs", 0, SLOT_PREDICTION),
    PARAMETER(LLAMA_LAYER "altup.correction_coefs", 0, SLOT_CORRECTION),
    PARAMETER_NAMED(LLAMA_LAYER "altup.correct_output_scale", 0, SLOT_CORRECT_SCALE),
    LLAMA_ATTENTION,
    LLAMA_QK_NORMS,
    PARAMETER(LLAMA_LAYER "post_attention_layernorm", 0, SLOT_AFTER_NORM),
    PARAMETER(LLAMA_LAYER "laurel.linear_left", 0, SLOT_LAUREL_LEFT),
    PARAMETER(LLAMA_LAYER "laurel.linear_right", 0, SLOT_LAUREL_RIGHT),
    PARAMETER(LLAMA_LAYER "laurel.post_laurel_norm", 0, SLOT_LAUREL_NORM),
    PARAMETER(LLAMA_LAYER "pre_feedforward_layernorm", 1, SLOT_BEFORE_NORM),
    LLAMA_MLP,
    PARAMETER(LLAMA_LAYER "post_feedforward_layernorm", 1, SLOT_AFTER_NORM),
    PARAMETER(LLAMA_LAYER "per_layer_input_gate", 2, SLOT_UP),
    PARAMETER(LLAMA_LAYER "per_layer_projection", 2, SLOT_DOWN),
    PARAMETER(LLAMA_LAYER "post_per_layer_input_norm", 2, SLOT_AFTER_NORM),
    LLAMA_END,
};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};
// A norm without a weight.
static const char *const idle_rules[] = {"model.layers.0.self_attn.v_norm", NULL};

static const double sparsity_most = 1 - 0x1p-24, cap_min = 1e-6, cap_max = 1e6;
enum { SPARSE_LAYERS = 10 }; // the first ones, where no key says which

struct gemma3n {
    const struct config_reader *reader;
    struct plain_keys keys;
    struct model_config *out;
    json_t *intermediate_sizes, *sparsities; // a list by layer, or NULL
    int64_t sliding_window;
    int32_t first_shared;  // layers from here on have no keys of their own
    int32_t full, sliding; // ropes
};

// A list with a value for each layer; `*list` NULL where the key is absent.
static enum status read_layer_list(const struct gemma3n *g, const char *key, json_t **list)
{
    bool found;
    TRY(json_get_array(g->reader->root, g->reader->name, key, list, &found));
    if (!found)
        *list = NULL;
    if (found && json_array_size(*list) != (size_t)g->out->num_hidden_layers)
        return fail(ERR_INPUT,
                    "%s: key \"%s\" has %zu entries; expected one for each of the %d layers",
                    g->reader->name, key, json_array_size(*list), (int)g->out->num_hidden_layers);
    return OK;
}

static enum status bad_entry(const struct gemma3n *g, const char *key, int32_t layer,
                             const json_t *entry, const char *expected)
{
    return fail(ERR_INPUT, "%s: key \"%s\" has %s for layer %d; expected %s", g->reader->name, key,
                json_show(entry), (int)layer, expected);
}

// One for all layers, or a list.
static enum status read_intermediate(struct gemma3n *g)
{
    static const char key[] = "intermediate_size";
    if (json_is_array(json_object_get(g->reader->root, key)))
        return read_layer_list(g, key, &g->intermediate_sizes);
    return config_read_size(g->reader, key, 1, INTERMEDIATE_SIZE_MAX, 16384,
                            &g->keys.intermediate_size);
}

static enum status find_intermediate(const struct gemma3n *g, int32_t layer, int32_t *size)
{
    const json_t *entry = json_array_get(g->intermediate_sizes, (size_t)layer);
    if (!g->intermediate_sizes)
        return OK;
    if (!json_is_integer(entry) || json_integer_value(entry) < 1 ||
        json_integer_value(entry) > INTERMEDIATE_SIZE_MAX)
        return bad_entry(g, "intermediate_size", layer, entry, "an integer from 1 to 1048576");
    *size = (int32_t)json_integer_value(entry);
    return OK;
}

// The part of a layer's activations that is cut off, as the deviations that this means of a normal
// distribution. Transformers takes the part for a float.
static enum status find_sparsity(const struct gemma3n *g, int32_t layer, struct mlp_config *mlp)
{
    const json_t *entry = json_array_get(g->sparsities, (size_t)layer);
    bool sparse = layer < SPARSE_LAYERS && g->out->num_hidden_layers > SPARSE_LAYERS;
    double part = sparse ? 0.95 : 0;
    if (g->sparsities) {
        part = json_number(entry);
        if (!json_is_number(entry) || !(part >= 0 && part <= sparsity_most))
            return bad_entry(g, "activation_sparsity_pattern", layer, entry,
                             "a number from 0 to less than 1");
    }
    mlp->sparse = (float)part > 0;
    if (mlp->sparse)
        mlp->deviations = (float)number_normal_quantile((double)(float)part);
    return OK;
}

static enum status read_altup(struct gemma3n *g)
{
    struct altup_config *altup = &g->out->altup;
    int64_t n = 4, active = 0;
    TRY(config_read_int(g->reader, "altup_num_inputs", 1, ALTUP_INPUTS_MAX, &n));
    TRY(config_read_int(g->reader, "altup_active_idx", 0, n - 1, &active));
    altup->correct_scale = true;
    TRY(config_read_flag(g->reader, "altup_correct_scale", &altup->correct_scale));
    altup->num_inputs = (int32_t)n;
    altup->active_idx = (int32_t)active;
    altup->router_norm = g->out->final_norm;
    return OK;
}

static enum status read_own_inputs(struct gemma3n *g)
{
    int64_t size = 256, vocab = 262144;
    TRY(config_read_int(g->reader, "hidden_size_per_layer_input", 1, HIDDEN_SIZE_MAX, &size));
    TRY(config_read_int(g->reader, "vocab_size_per_layer_input", 1, VOCAB_MAX, &vocab));
    g->out->layer_inputs = (struct layer_inputs_config){
        .size = (int32_t)size, .vocab_size = (int32_t)vocab, .norm = g->out->final_norm};
    return OK;
}

static enum status read_gemma3n(struct gemma3n *g)
{
    const struct config_reader *reader = g->reader;
    double softcap = config_is_absent(reader, "final_logit_softcapping") ? 30 : 0;
    g->sliding_window = 512;
    TRY(describe_plain(reader, &g->keys, g->out));
    TRY(read_intermediate(g));
    TRY(read_layer_list(g, "activation_sparsity_pattern", &g->sparsities));
    TRY(config_read_int(reader, "sliding_window", 1, POSITIONS_MAX, &g->sliding_window));
    TRY(config_read_number(reader, "final_logit_softcapping", cap_min, cap_max, &softcap));
    TRY(gemma_read_sharing(reader, 15, g->out, &g->first_shared));
    TRY(gemma3_read_ropes(reader, &g->keys, g->out, &g->full, &g->sliding));
    g->out->logit_softcap = (float)softcap;
    g->out->embed_multiplier = (float)sqrt((double)g->out->hidden_size);
    g->out->round_embed_multiplier = true;
    TRY(read_altup(g));
    return read_own_inputs(g);
}

static enum status make_gemma3n_layer(const struct gemma3n *g, struct layer_config *layer)
{
    enum activation activation;
    int64_t rank = 64;
    bool bias = false;
    TRY(describe_activation(g->reader, "hidden_activation", "gelu_pytorch_tanh", &activation));
    TRY(config_read_int(g->reader, "laurel_rank", 1, HIDDEN_SIZE_MAX, &rank));
    TRY(config_read_flag(g->reader, "attention_bias", &bias));
    *layer = describe_layer(&g->keys);
    struct sublayer_config *attention = &layer->sublayers[0], *mlp = &layer->sublayers[1];
    const struct norm_config norm = attention->before;
    attention->after = mlp->after = norm;
    attention->predicts = mlp->corrects = true;
    attention->laurel = (struct laurel_config){.rank = (int32_t)rank, .norm = norm};
    attention->attention.q_norm = attention->attention.k_norm = attention->attention.v_norm = norm;
    attention->attention.v_norm.weightless = true;
    attention->attention.scale = 1;
    describe_attention_bias(layer, bias, bias);
    mlp->mlp.activation = activation;
    gemma_add_inputs(g->out, activation, layer)->adds_to_others = true;
    return OK;
}

// Without layer_types every fifth layer sees all positions.
static enum status add_gemma3n_layer(const struct gemma3n *g, const struct layer_config *like,
                                     int32_t layer)
{
    struct layer_config own = *like;
    struct attention_config *a = &own.sublayers[0].attention;
    TRY(describe_window(g->reader, layer, (layer + 1) % 5 != 0, g->sliding_window,
                        &a->sliding_window));
    a->rope = a->sliding_window ? g->sliding : g->full;
    TRY(find_intermediate(g, layer, &own.sublayers[1].mlp.intermediate_size));
    TRY(find_sparsity(g, layer, &own.sublayers[1].mlp));
    return gemma_add_layer(g->reader, g->out, g->first_shared, layer, &own);
}

// altup_coef_clip has no effect but in training.
static enum status describe_gemma3n(const struct config_reader *reader, struct model_config *out)
{
    struct gemma3n g = {.reader = reader,
                        .out = out,
                        .keys = {.hidden_size = 2048,
                                 .num_hidden_layers = 35,
                                 .num_attention_heads = 8,
                                 .num_key_value_heads = 2,
                                 .head_dim = 256,
                                 .vocab_size = 262400,
                                 .max_position_embeddings = 32768,
                                 .rms_norm_eps = 1e-6,
                                 .own_intermediate = true,
                                 .tie_word_embeddings = true}};
    struct layer_config layer;
    TRY(read_gemma3n(&g));
    TRY(make_gemma3n_layer(&g, &layer));
    for (int32_t i = 0; i < out->num_hidden_layers; i++)
        TRY(add_gemma3n_layer(&g, &layer, i));
    return OK;
}

const struct family family_gemma3n = {
    .model_type = "gemma3n_text",
    .architecture = "Gemma3nForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .idle_rules = idle_rules,
    .describe = describe_gemma3n,
};
