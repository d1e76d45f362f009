#include "model/describe.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/name_list.h"

static const double eps_max = 1;

static enum status read_heads(const struct config_reader *reader, struct plain_keys *keys)
{
    int64_t value;
    bool found;
    TRY(config_read_size(reader, keys->heads_key ? keys->heads_key : "num_attention_heads", 1,
                         HEADS_MAX, keys->num_attention_heads, &keys->num_attention_heads));
    if (keys->own_heads_only) {
        keys->num_key_value_heads = keys->num_attention_heads;
        return OK;
    }
    bool absent = config_is_absent(reader, "num_key_value_heads") && keys->num_key_value_heads;
    value = absent ? keys->num_key_value_heads : keys->num_attention_heads;
    TRY(json_get_int(reader->root, reader->name, "num_key_value_heads", 1, HEADS_MAX, &value,
                     &found));
    keys->num_key_value_heads = (int32_t)value;
    if (keys->num_attention_heads % keys->num_key_value_heads != 0)
        return fail(
            ERR_INPUT,
            "%s: key \"num_key_value_heads\" is %d%s; expected a divisor of num_attention_heads, "
            "which is %d",
            reader->name, (int)keys->num_key_value_heads, found ? "" : " (absent, the default)",
            (int)keys->num_attention_heads);
    return OK;
}

static enum status read_head_dim(const struct config_reader *reader, struct plain_keys *keys)
{
    bool found = false,
         fixed = keys->head_dim && (keys->fixed_head_dim || config_is_absent(reader, "head_dim"));
    int64_t value = fixed ? keys->head_dim : keys->hidden_size / keys->num_attention_heads;
    if (!keys->own_heads_only && !keys->fixed_head_dim)
        TRY(json_get_int(reader->root, reader->name, "head_dim", 2, HEAD_DIM_MAX, &value, &found));
    if (!found && !fixed && keys->hidden_size % keys->num_attention_heads != 0)
        return fail(
            ERR_INPUT,
            "%s: key \"hidden_size\" is %d; expected a multiple of num_attention_heads, which is "
            "%d, or a key \"head_dim\"",
            reader->name, (int)keys->hidden_size, (int)keys->num_attention_heads);
    if (value < 2 || value > HEAD_DIM_MAX)
        return fail(
            ERR_INPUT,
            "%s: key \"hidden_size\" is %d, so that each of %d heads has %lld elements; expected 2 "
            "to %d",
            reader->name, (int)keys->hidden_size, (int)keys->num_attention_heads, (long long)value,
            HEAD_DIM_MAX);
    keys->head_dim = (int32_t)value;
    return config_expect_even(reader, "head_dim", keys->head_dim);
}

static enum status read_shape(const struct config_reader *reader, struct plain_keys *keys)
{
    TRY(config_read_size(reader, keys->hidden_key ? keys->hidden_key : "hidden_size", 2,
                         HIDDEN_SIZE_MAX, keys->hidden_size, &keys->hidden_size));
    if (keys->mlp_factor)
        keys->intermediate_size = keys->mlp_factor * keys->hidden_size;
    else if (!keys->own_intermediate)
        TRY(config_read_size(
            reader, keys->intermediate_key ? keys->intermediate_key : "intermediate_size", 1,
            INTERMEDIATE_SIZE_MAX, keys->intermediate_size, &keys->intermediate_size));
    if (!keys->own_layers)
        TRY(config_read_size(reader, keys->layers_key ? keys->layers_key : "num_hidden_layers", 1,
                             LAYERS_MAX, keys->num_hidden_layers, &keys->num_hidden_layers));
    TRY(config_read_size(reader, "vocab_size", 1, VOCAB_MAX, keys->vocab_size, &keys->vocab_size));
    TRY(read_heads(reader, keys));
    assert(keys->num_key_value_heads > 0 && keys->num_attention_heads >= keys->num_key_value_heads);
    return read_head_dim(reader, keys);
}

static struct norm_config norm_of(const struct plain_keys *keys)
{
    return (struct norm_config){.kind = keys->layer_norm ? NORM_LAYER : NORM_RMS,
                                .has_bias = keys->layer_norm && !keys->no_norm_bias,
                                .eps = (float)keys->rms_norm_eps};
}

enum status describe_plain(const struct config_reader *reader, struct plain_keys *keys,
                           struct model_config *out)
{
    TRY(read_shape(reader, keys));
    TRY(config_read_int(reader,
                        keys->positions_key ? keys->positions_key : "max_position_embeddings", 1,
                        POSITIONS_MAX, &keys->max_position_embeddings));
    TRY(config_read_number(reader, keys->eps_key ? keys->eps_key : "rms_norm_eps", 0, eps_max,
                           &keys->rms_norm_eps));
    TRY(config_read_flag(reader, "tie_word_embeddings", &keys->tie_word_embeddings));
    out->hidden_size = keys->hidden_size;
    out->num_hidden_layers = keys->num_hidden_layers;
    out->vocab_size = keys->vocab_size;
    out->max_position_embeddings = keys->max_position_embeddings;
    out->tie_word_embeddings = keys->tie_word_embeddings;
    out->embed_multiplier = out->logit_multiplier = 1;
    out->final_norm = norm_of(keys);
    return OK;
}

static enum status check_rope(const struct config_reader *reader, int32_t head_dim,
                              const struct rope_config *rope)
{
    if (rope->type == ROPE_DYNAMIC && head_dim <= 2) // its exponent is head_dim / (head_dim - 2)
        return fail(ERR_INPUT,
                    "%s: key \"head_dim\" is %d; expected at least 4 with rope_type dynamic",
                    reader->name, (int)head_dim);
    if (rope->n_dimensions < 2 || rope->n_dimensions % 2)
        return fail(ERR_INPUT,
                    "%s: %d of the %d dimensions of a head are rotated (partial_rotary_factor %g); "
                    "expected an even number, 2 or more",
                    reader->name, (int)rope->n_dimensions, (int)head_dim,
                    rope->partial_rotary_factor);
    if (rope->type == ROPE_LONGROPE && rope->n_factors != rope->n_dimensions / 2)
        return fail(ERR_INPUT,
                    "%s: keys \"short_factor\" and \"long_factor\" have %d numbers; expected %d, "
                    "one for each pair of dimensions that is rotated",
                    reader->name, (int)rope->n_factors, (int)rope->n_dimensions / 2);
    return OK;
}

struct rope_reading describe_rope_reading(const struct plain_keys *keys)
{
    return (struct rope_reading){
        .theta_key = "rope_theta",
        .theta = keys->rope_theta > 0 ? keys->rope_theta : 10000,
        .partial_rotary_factor = keys->partial_rotary_factor > 0 ? keys->partial_rotary_factor : 1,
        .max_position_embeddings = keys->max_position_embeddings,
        .allow_mrope = keys->allow_mrope,
    };
}

enum status describe_rope(const struct config_reader *reader, const struct plain_keys *keys,
                          const char *layer_type, bool interleaved, struct model_config *out,
                          int32_t *index)
{
    struct rope_reading reading = describe_rope_reading(keys);
    reading.layer_type = layer_type;
    return describe_rope_as(reader, keys, &reading, interleaved, out, index);
}

enum status describe_rope_as(const struct config_reader *reader, const struct plain_keys *keys,
                             const struct rope_reading *reading, bool interleaved,
                             struct model_config *out, int32_t *index)
{
    struct rope_config rope;
    TRY(rope_config_read(reader->name, reader->root, reading, &rope));
    if (keys->partial_rotary_factor <= 0 && rope.partial_rotary_factor < 1)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"partial_rotary_factor\" is %g; expected 1 (whole heads are rotated "
                    "in %s)",
                    reader->name, rope.partial_rotary_factor, reader->architecture);
    rope.interleaved = interleaved;
    rope.head_dim = keys->head_dim;
    rope.n_dimensions = rope.type == ROPE_PROPORTIONAL
                            ? keys->head_dim
                            : (int32_t)(keys->head_dim * rope.partial_rotary_factor);
    if (keys->round_partial && rope.n_dimensions % 2 && rope.type != ROPE_YARN)
        rope.exponent_dimensions = rope.n_dimensions++;
    TRY(check_rope(reader, keys->head_dim, &rope));
    return describe_add_rope(reader, &rope, out, index);
}

enum status describe_default_rope(const struct config_reader *reader, const struct plain_keys *keys,
                                  struct rope_config *rope, struct model_config *out,
                                  int32_t *index)
{
    rope->partial_rotary_factor = 1;
    rope->max_position_embeddings = keys->max_position_embeddings;
    rope->head_dim = rope->n_dimensions = keys->head_dim;
    return describe_add_rope(reader, rope, out, index);
}

enum status describe_rope_number(const struct config_reader *reader, const char *key, double least,
                                 double most, double *value)
{
    const struct rope_reading reading = {.theta = 10000};
    return rope_config_number(reader->name, reader->root, &reading, key, least, most, value);
}

// Sequences have two kinds of keys at most (struct step_sequence).
static enum status check_long_lengths(const struct config_reader *reader,
                                      const struct rope_config *rope,
                                      const struct model_config *config)
{
    int64_t length = model_config_long_length(config);
    int64_t own = (int64_t)rope->original_max_position_embeddings;
    if (rope->type != ROPE_LONGROPE || !length || length == own)
        return OK;
    return fail(ERR_UNSUPPORTED,
                "%s: layers have longrope with original_max_position_embeddings %lld and %lld; "
                "expected the same number for all",
                reader->name, (long long)length, (long long)own);
}

enum status describe_add_rope(const struct config_reader *reader, const struct rope_config *rope,
                              struct model_config *out, int32_t *index)
{
    TRY(check_long_lengths(reader, rope, out));
    for (*index = 0; *index < out->n_ropes; ++*index)
        // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): zeroed with its padding
        if (memcmp(&out->ropes[*index], rope, sizeof *rope) == 0)
            return OK;
    if (out->n_ropes == ROPES_MAX)
        return fail(ERR_UNSUPPORTED,
                    "%s: layers have more than %d different rotary embeddings; expected fewer",
                    reader->name, ROPES_MAX);
    out->ropes[out->n_ropes++] = *rope;
    return OK;
}

enum status describe_activation(const struct config_reader *reader, const char *key,
                                const char *absent, enum activation *out)
{
    static const struct {
        const char *name;
        enum activation activation;
    } known[] = {
        {"silu", ACTIVATION_SILU},
        {"swish", ACTIVATION_SILU},
        {"gelu_pytorch_tanh", ACTIVATION_GELU_TANH},
        {"gelu_python_tanh", ACTIVATION_GELU_TANH},
        {"gelu_new", ACTIVATION_GELU_TANH},
        {"gelu_fast", ACTIVATION_GELU_TANH},
        {"gelu_accurate", ACTIVATION_GELU_TANH},
        {"gelu", ACTIVATION_GELU_ERF},
        {"gelu_python", ACTIVATION_GELU_ERF},
        {"quick_gelu", ACTIVATION_QUICK_GELU},
        {"relu", ACTIVATION_RELU},
        {"relu2", ACTIVATION_RELU_SQUARED},
    };
    char names[256] = "";
    bool found;
    TRY(json_get_text(reader->root, reader->name, key, &absent, &found));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(absent, known[i].name) == 0) {
            *out = known[i].activation;
            return OK;
        }
        name_list_add(names, sizeof names, known[i].name);
    }
    return fail(ERR_UNSUPPORTED, "%s: key \"%s\" is \"%.80s\"; expected one of %s for %s",
                reader->name, key, absent, names, reader->architecture);
}

enum status describe_slides(const struct config_reader *reader, int32_t layer, bool absent,
                            bool *out)
{
    json_t *list;
    bool found;
    *out = absent;
    TRY(json_get_array(reader->root, reader->name, "layer_types", &list, &found));
    if (!found)
        return OK;
    const json_t *item = json_array_get(list, (size_t)layer);
    const char *text = json_is_string(item) ? json_string_value(item) : "";
    *out = strcmp(text, "sliding_attention") == 0;
    if (*out || strcmp(text, "full_attention") == 0)
        return OK;
    return fail(ERR_INPUT,
                "%s: key \"layer_types\" has %s for layer %d; expected \"full_attention\" or "
                "\"sliding_attention\" for each of the layers",
                reader->name, item ? json_show(item) : "nothing", (int)layer);
}

enum status describe_window(const struct config_reader *reader, int32_t layer, bool absent,
                            int64_t window, int64_t *out)
{
    bool slides;
    TRY(describe_slides(reader, layer, absent, &slides));
    *out = slides ? window : 0;
    if (!slides || window)
        return OK;
    return fail(ERR_INPUT,
                "%s: key \"sliding_window\" says nothing; expected a number: layer %d attends "
                "within a window",
                reader->name, (int)layer);
}

struct layer_config describe_layer(const struct plain_keys *keys)
{
    struct layer_config layer;
    const struct norm_config norm = norm_of(keys);
    memset(&layer, 0, sizeof layer); // padding too: kinds are compared by bytes
    layer.n_sublayers = 2;
    layer.sublayers[0].kind = MIX_ATTENTION;
    layer.sublayers[1].kind = MIX_MLP;
    layer.sublayers[0].before = layer.sublayers[1].before = norm;
    layer.sublayers[0].multiplier = layer.sublayers[1].multiplier = 1;
    struct attention_config *a = &layer.sublayers[0].attention;
    a->num_attention_heads = keys->num_attention_heads;
    a->num_key_value_heads = keys->num_key_value_heads;
    a->head_dim = keys->head_dim;
    a->scale = (float)(1 / sqrt((double)keys->head_dim));
    layer.sublayers[1].mlp.intermediate_size = keys->intermediate_size;
    layer.sublayers[1].mlp.gated = true;
    layer.sublayers[1].mlp.activation = ACTIVATION_SILU;
    return layer;
}

void describe_parallel(struct layer_config *layer, bool same_input)
{
    struct sublayer_config *mlp = &layer->sublayers[1];
    mlp->parallel = true;
    mlp->same_input = same_input;
    if (same_input)
        mlp->before = (struct norm_config){.kind = NORM_NONE};
}

void describe_attention_bias(struct layer_config *layer, bool qkv, bool o)
{
    struct attention_config *a = &layer->sublayers[0].attention;
    a->q_bias = a->k_bias = a->v_bias = qkv;
    a->o_bias = o;
}

void describe_mlp_bias(struct layer_config *layer, bool bias)
{
    struct mlp_config *mlp = &layer->sublayers[1].mlp;
    mlp->gate_bias = mlp->up_bias = mlp->down_bias = bias;
}

enum status describe_add_layer(const struct config_reader *reader, struct model_config *out,
                               int32_t layer, const struct layer_config *kind)
{
    int found = 0;
    assert(layer >= 0 && layer < out->num_hidden_layers && kind->n_sublayers > 0);
    // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): zeroed with its padding
    while (found < out->n_layer_kinds && memcmp(&out->layer_kinds[found], kind, sizeof *kind) != 0)
        found++;
    if (found == LAYER_KINDS_MAX)
        return fail(ERR_UNSUPPORTED,
                    "%s: layer %d is unlike the %d kinds of layers before it; expected at most %d "
                    "different kinds",
                    reader->name, (int)layer, LAYER_KINDS_MAX, LAYER_KINDS_MAX);
    if (found == out->n_layer_kinds)
        memcpy(&out->layer_kinds[out->n_layer_kinds++], kind, sizeof *kind);
    out->layer_kind[layer] = (uint8_t)found;
    out->kv_layer[layer] = (int16_t)layer;
    return OK;
}

enum status describe_all_layers(const struct config_reader *reader, struct model_config *out,
                                const struct layer_config *kind)
{
    for (int32_t layer = 0; layer < out->num_hidden_layers; layer++)
        TRY(describe_add_layer(reader, out, layer, kind));
    return OK;
}

enum status describe_same_layer_types(const struct config_reader *reader, const char *wanted)
{
    json_t *list;
    bool found;
    TRY(json_get_array(reader->root, reader->name, "layer_types", &list, &found));
    for (size_t i = 0; found && i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_string(item) || strcmp(json_string_value(item), wanted) != 0)
            return fail(ERR_UNSUPPORTED,
                        "%s: key \"layer_types\" has %s for layer %zu; expected \"%s\" for every "
                        "layer of this %s",
                        reader->name, json_show(item), i, wanted, reader->architecture);
    }
    return OK;
}

enum status describe_has_rope(const struct config_reader *reader, int32_t layer, int64_t interval,
                              bool *out)
{
    json_t *list = NULL;
    bool found;
    *out = (layer + 1) % interval != 0;
    TRY(json_get_array(reader->root, reader->name, "no_rope_layers", &list, &found));
    if (!found)
        return OK;
    const json_t *item = json_array_get(list, (size_t)layer);
    *out = json_is_true(item) || json_integer_value(item) == 1;
    if (*out || json_is_false(item) || (json_is_integer(item) && json_integer_value(item) == 0))
        return OK;
    return fail(ERR_INPUT,
                "%s: key \"no_rope_layers\" has %s for layer %d; expected 1 (with a rotary "
                "embedding) or 0 (without) for each layer",
                reader->name, item ? json_show(item) : "nothing", (int)layer);
}
