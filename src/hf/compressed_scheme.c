// compressed-tensors' config_groups: which modules are stored how.
#include <stdio.h>
#include <string.h>

#include "hf/quantisation_rules.h"

static const struct {
    const char *name;
    enum quant_format format;
} formats[] = {
    {"pack-quantized", QUANT_PACKED},       {"int-quantized", QUANT_WHOLE},
    {"float-quantized", QUANT_WHOLE},       {"naive-quantized", QUANT_WHOLE},
    {"nvfp4-pack-quantized", QUANT_NVFP4},  {"mxfp4-pack-quantized", QUANT_MXFP4_PACKED},
    {"mxfp8-quantized", QUANT_MXFP8},       {"mxfp8-pack-quantized", QUANT_MXFP8},
    {"mixed-precision", QUANT_FORMAT_NONE}, // each group says its own
    {"dense", QUANT_FORMAT_NONE},           // of groups without weights
};

static enum status find_quant_format(const char *where, const char *name, enum quant_format *out)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(formats[i].name, name) == 0) {
            *out = formats[i].format;
            return OK;
        }
    return fail(ERR_UNSUPPORTED,
                "%s: key \"format\" is \"%.80s\"; expected pack-quantized, int-quantized, "
                "float-quantized, nvfp4-pack-quantized, mxfp4-pack-quantized, mxfp8-quantized or "
                "mixed-precision",
                where, name);
}

static enum status read_strategy(const json_t *weights, const char *where,
                                 struct quant_scheme *scheme)
{
    static const struct {
        const char *name;
        enum quant_strategy strategy;
    } known[] = {{"tensor", QUANT_BY_TENSOR},
                 {"channel", QUANT_BY_CHANNEL},
                 {"group", QUANT_BY_GROUP},
                 {"tensor_group", QUANT_BY_GROUP},
                 {"block", QUANT_BY_BLOCK}};
    const char *name;
    TRY(quant_read_text(weights, where, "strategy", &name));
    if (!*name) { // as compressed-tensors infers it
        scheme->strategy = scheme->group ? QUANT_BY_GROUP : QUANT_BY_TENSOR;
        return OK;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, name) == 0) {
            scheme->strategy = known[i].strategy;
            return OK;
        }
    return fail(ERR_UNSUPPORTED,
                "%s: key \"strategy\" is \"%.80s\"; expected tensor, channel, group, tensor_group "
                "or block",
                where, name);
}

// [128, 128], or in old files "128x128".
static enum status read_block(const json_t *weights, const char *where, struct quant_scheme *scheme)
{
    const json_t *value = json_object_get(weights, "block_structure");
    int rows = 0, columns = 0;
    char end;
    if (!value || json_is_null(value))
        return OK;
    if (json_is_string(value)) {
        if (sscanf(json_string_value(value), "%6dx%6d%c", &rows, &columns, &end) != 2)
            rows = 0;
    } else if (json_array_size(value) == 2 && json_is_integer(json_array_get(value, 0)) &&
               json_is_integer(json_array_get(value, 1))) {
        const json_int_t r = json_integer_value(json_array_get(value, 0)),
                         c = json_integer_value(json_array_get(value, 1));
        rows = r > 0 && r <= QUANT_GROUP_MAX ? (int)r : 0;
        columns = c > 0 && c <= QUANT_GROUP_MAX ? (int)c : 0;
    }
    if (rows <= 0 || columns <= 0)
        return fail(ERR_INPUT,
                    "%s: key \"block_structure\" is %s; expected two sizes of at most %d", where,
                    json_show(value), QUANT_GROUP_MAX);
    scheme->block[0] = rows;
    scheme->block[1] = columns;
    return OK;
}

static enum status read_group_size(const json_t *weights, const char *where,
                                   struct quant_scheme *scheme)
{
    int32_t group = 0;
    TRY(quant_read_number(weights, where, "group_size", -1, QUANT_GROUP_MAX, &group));
    scheme->group = group > 0 ? group : 0;
    return OK;
}

static enum status read_weight_type(const json_t *weights, const char *where,
                                    struct quant_scheme *scheme)
{
    const char *type;
    TRY(quant_read_text(weights, where, "type", &type));
    scheme->is_float = strcmp(type, "float") == 0;
    if (*type && !scheme->is_float && strcmp(type, "int") != 0)
        return fail(ERR_UNSUPPORTED, "%s: key \"type\" is \"%.80s\"; expected int or float", where,
                    type);
    return OK;
}

static enum status read_actorder(const json_t *weights, const char *where,
                                 struct quant_scheme *scheme)
{
    const json_t *value = json_object_get(weights, "actorder");
    const char *text = json_string_value(value);
    if (json_is_falsy(value))
        return OK;
    scheme->has_columns_of_any_groups = json_is_true(value) || (text && strcmp(text, "group") == 0);
    if (scheme->has_columns_of_any_groups ||
        (text && (strcmp(text, "static") == 0 || strcmp(text, "weight") == 0 ||
                  strcmp(text, "dynamic") == 0)))
        return OK;
    return fail(ERR_UNSUPPORTED,
                "%s: key \"actorder\" is %s; expected null, group, static, dynamic or weight",
                where, json_show(value));
}

// What each format can hold.
static enum status check_compressed(const char *where, const struct quant_scheme *s)
{
    const bool four = s->format == QUANT_NVFP4 || s->format == QUANT_MXFP4_PACKED;
    const int least = s->format == QUANT_PACKED ? 1 : four ? 4 : 8, most = four ? 4 : 8;
    if (s->bits < least || s->bits > most)
        return fail(ERR_UNSUPPORTED, "%s: key \"num_bits\" is %d; expected %d to %d in this format",
                    where, s->bits, least, most);
    if (s->format == QUANT_PACKED && s->is_float)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"type\" is \"float\"; expected int in the format pack-quantized",
                    where);
    if ((four || s->format == QUANT_MXFP8) && !s->is_float)
        return fail(ERR_UNSUPPORTED, "%s: key \"type\" is \"int\"; expected float in this format",
                    where);
    if (s->strategy == QUANT_BY_GROUP && !s->group)
        return fail(ERR_INPUT,
                    "%s: key \"group_size\" is missing; expected it with the strategy group",
                    where);
    if (s->strategy == QUANT_BY_BLOCK && (!s->block[0] || s->format != QUANT_WHOLE))
        return fail(ERR_INPUT,
                    "%s: the strategy block: expected block_structure, and a format that does not "
                    "pack",
                    where);
    return OK;
}

static enum status read_weights(const json_t *group, const char *where, struct quant_scheme *scheme)
{
    json_t *weights = NULL;
    bool found;
    int32_t bits = 8;
    TRY(json_get_object(group, where, "weights", &weights, &found));
    if (!weights)
        return OK;
    scheme->symmetric = true;
    TRY(quant_read_number(weights, where, "num_bits", 1, 64, &bits));
    scheme->bits = bits;
    TRY(read_weight_type(weights, where, scheme));
    TRY(quant_read_flag(weights, where, "symmetric", &scheme->symmetric));
    TRY(read_group_size(weights, where, scheme));
    TRY(read_strategy(weights, where, scheme));
    TRY(read_block(weights, where, scheme));
    TRY(read_actorder(weights, where, scheme));
    return check_compressed(where, scheme);
}

static enum status add_targets(struct quantisation *q, const json_t *group, const char *where,
                               const struct quant_scheme *scheme, bool is_left_alone)
{
    json_t *targets;
    TRY(json_get_array(group, where, "targets", &targets, NULL));
    for (size_t i = 0; i < json_array_size(targets); i++) {
        const char *text = json_string_value(json_array_get(targets, i));
        if (!text)
            return fail(ERR_INPUT, "%s: key \"targets\" holds %s; expected names", where,
                        json_show(json_array_get(targets, i)));
        const bool is_class = strcmp(text, "Linear") == 0 || strcmp(text, "Embedding") == 0;
        TRY(quant_add_rule(q, is_class ? TARGET_CLASS : TARGET_NAME, text, scheme, is_left_alone));
    }
    return OK;
}

static enum status read_group(struct quantisation *q, const char *name, const json_t *group,
                              enum quant_format format)
{
    char where[512];
    const char *own;
    const json_t *inputs = json_object_get(group, "input_activations");
    struct quant_scheme scheme = {.format = format,
                                  .quantises_inputs = inputs && !json_is_null(inputs)};
    snprintf(where, sizeof where, "%.300s: config_groups: \"%.100s\"", q->where, name);
    if (!json_is_object(group))
        return fail(ERR_INPUT, "%s: is %s; expected an object", where, json_show(group));
    TRY(quant_read_text(group, where, "format", &own));
    if (*own)
        TRY(find_quant_format(where, own, &scheme.format));
    const json_t *weights = json_object_get(group, "weights");
    const bool left_alone = !weights || json_is_null(weights);
    if (!left_alone && scheme.format == QUANT_FORMAT_NONE)
        return fail(ERR_INPUT, "%s: key \"format\" is missing; expected how its weights are stored",
                    where);
    if (!left_alone)
        TRY(read_weights(group, where, &scheme));
    if (!left_alone && !q->has_base)
        q->base = scheme;
    q->has_base = q->has_base || !left_alone;
    return add_targets(q, group, where, &scheme, left_alone);
}

// What is not empty changes weights in ways that are not undone here.
static enum status refuse_transforms(const json_t *config, const char *where)
{
    const json_t *sparsity = json_object_get(config, "sparsity_config");
    const json_t *transform = json_object_get(config, "transform_config");
    const char *format = json_string_value(json_object_get(sparsity, "format"));
    if (!json_is_falsy(sparsity) && !(format && strcmp(format, "dense") == 0))
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"sparsity_config\" is not empty (%.60s); expected weights without "
                    "it, or its format dense",
                    where, format ? format : "no format");
    if (!json_is_falsy(transform) && !json_is_falsy(json_object_get(transform, "config_groups")))
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"transform_config\" is not empty; expected weights that no "
                    "transform has turned",
                    where);
    return OK;
}

enum status quant_read_compressed(const json_t *config, struct quantisation *q)
{
    json_t *groups, *group;
    const char *name, *format_name;
    enum quant_format format = QUANT_FORMAT_NONE;
    TRY(refuse_transforms(config, q->where));
    TRY(quant_read_text(config, q->where, "format", &format_name));
    if (*format_name)
        TRY(find_quant_format(q->where, format_name, &format));
    TRY(json_get_object(config, q->where, "config_groups", &groups, NULL));
    if (json_object_size(groups) == 0)
        return fail(ERR_INPUT, "%s: key \"config_groups\" is empty; expected at least one group",
                    q->where);
    json_object_foreach(groups, name, group) TRY(read_group(q, name, group, format));
    q->has_base = q->has_base && json_object_size(groups) == 1;
    return OK;
}
