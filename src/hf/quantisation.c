#include "hf/quantisation.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/log.h"
#include "hf/config_reader.h"
#include "hf/quantisation_rules.h"

// ---- GPTQ and auto-round ----

// A number of bits that the words of 32 hold.
static enum status check_packed_bits(const struct quantisation *q, int bits)
{
    if (bits == 2 || bits == 3 || bits == 4 || bits == 8)
        return OK;
    return fail(ERR_UNSUPPORTED, "%s: key \"bits\" is %d; expected 2, 3, 4 or 8", q->where, bits);
}

// Whole objects, or what overrides some of another's keys.
static enum status read_packed_keys(const json_t *config, const char *where,
                                    struct quant_scheme *out)
{
    int32_t bits = out->bits, group = out->group ? out->group : -1;
    TRY(quant_read_number(config, where, "bits", 1, 64, &bits));
    TRY(quant_read_number(config, where, "group_size", -1, QUANT_GROUP_MAX, &group));
    TRY(quant_read_flag(config, where, "sym", &out->symmetric));
    if (group == 0)
        return fail(ERR_INPUT, "%s: key \"group_size\" is 0; expected -1 (whole rows) or a size",
                    where);
    out->bits = bits;
    out->group = group > 0 ? group : 0;
    out->strategy = group > 0 ? QUANT_BY_GROUP : QUANT_BY_CHANNEL;
    return OK;
}

// {regex: overrides}; "-:" leaves a module alone.
static enum status read_dynamic(const json_t *config, struct quantisation *q)
{
    const char *pattern;
    json_t *dynamic = NULL, *over;
    bool found;
    TRY(json_get_object(config, q->where, "dynamic", &dynamic, &found));
    json_object_foreach(dynamic, pattern, over)
    {
        const bool alone = strncmp(pattern, "-:", 2) == 0;
        struct quant_scheme scheme = q->base;
        char where[512];
        snprintf(where, sizeof where, "%.300s: dynamic: \"%.100s\"", q->where, pattern);
        if (!json_is_object(over))
            return fail(ERR_INPUT, "%s: is %s; expected an object", where, json_show(over));
        TRY(read_packed_keys(over, where, &scheme));
        if (!alone)
            TRY(check_packed_bits(q, scheme.bits));
        TRY(quant_add_rule(q, TARGET_REGEX,
                           alone || strncmp(pattern, "+:", 2) == 0 ? pattern + 2 : pattern, &scheme,
                           alone));
    }
    return OK;
}

static enum status expect_text(const json_t *config, const struct quantisation *q, const char *key,
                               const char *const *known, const char **out)
{
    char list[200] = "";
    TRY(quant_read_text(config, q->where, key, out));
    for (int i = 0; known[i]; i++) {
        if (strcasecmp(known[i], *out) == 0)
            return OK;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", known[i]);
    }
    return **out ? fail(ERR_UNSUPPORTED, "%s: key \"%s\" is \"%.80s\"; expected %s", q->where, key,
                        *out, list)
                 : OK;
}

static enum status read_gptq(const json_t *config, struct quantisation *q)
{
    static const char *const forms[] = {"gptq", "gptq_v2", NULL}, *const words[] = {"int32", NULL};
    const char *checkpoint, *format, *unused;
    bool marlin = false;
    TRY(expect_text(config, q, "checkpoint_format", forms, &checkpoint));
    TRY(expect_text(config, q, "format", forms, &format));
    TRY(expect_text(config, q, "pack_dtype", words, &unused));
    TRY(quant_read_flag(config, q->where, "is_marlin_format", &marlin));
    if (marlin)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"is_marlin_format\" is true; expected GPTQ's own format", q->where);
    q->base.symmetric = true;
    q->base.zeros_less_one = strcasecmp(*checkpoint ? checkpoint : format, "gptq_v2") != 0;
    TRY(read_packed_keys(config, q->where, &q->base));
    TRY(check_packed_bits(q, q->base.bits));
    q->has_base = true;
    return read_dynamic(config, q);
}

static enum status read_awq(const json_t *config, struct quantisation *q)
{
    static const char *const versions[] = {"gemm", NULL};
    const char *unused;
    bool zeros = true;
    int32_t bits = 4, group = -1;
    TRY(expect_text(config, q, "version", versions, &unused));
    TRY(expect_text(config, q, "format", versions, &unused));
    TRY(expect_text(config, q, "checkpoint_format", versions, &unused));
    TRY(quant_read_flag(config, q->where, "zero_point", &zeros));
    TRY(quant_read_number(config, q->where, "w_bit", 1, 64, &bits));
    TRY(quant_read_number(config, q->where, "q_group_size", -1, QUANT_GROUP_MAX, &group));
    q->base.bits = bits;
    q->base.group = group > 0 ? group : 0;
    TRY(read_packed_keys(config, q->where, &q->base));
    q->base.symmetric = false;
    q->has_base = true;
    if (!zeros)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"zero_point\" is false; expected AWQ with zero points", q->where);
    if (q->base.bits != 4)
        return fail(ERR_UNSUPPORTED, "%s: key \"bits\" is %d; expected 4 (AWQ)", q->where,
                    q->base.bits);
    return read_dynamic(config, q);
}

// {name or regex: overrides}, of auto-round; 16 bits: left alone.
static enum status read_extra(const json_t *config, struct quantisation *q)
{
    const char *name;
    json_t *extra = NULL, *over;
    bool found;
    TRY(json_get_object(config, q->where, "extra_config", &extra, &found));
    json_object_foreach(extra, name, over)
    {
        struct quant_scheme scheme = q->base;
        char where[512];
        snprintf(where, sizeof where, "%.300s: extra_config: \"%.100s\"", q->where, name);
        if (!json_is_object(over))
            return fail(ERR_INPUT, "%s: is %s; expected an object", where, json_show(over));
        TRY(read_packed_keys(over, where, &scheme));
        const bool alone = scheme.bits >= 16;
        if (!alone)
            TRY(check_packed_bits(q, scheme.bits));
        TRY(quant_add_rule(q, strpbrk(name, "*\\^$|()[]+?") ? TARGET_REGEX : TARGET_NAME, name,
                           &scheme, alone));
    }
    return OK;
}

static enum status read_auto_round(const json_t *config, struct quantisation *q)
{
    static const char *const types[] = {"int", NULL};
    const char *packing, *unused;
    int32_t inputs = 16;
    TRY(quant_read_text(config, q->where, "packing_format", &packing));
    TRY(expect_text(config, q, "data_type", types, &unused));
    TRY(quant_read_number(config, q->where, "act_bits", 1, 64, &inputs));
    const bool as_awq = strcmp(packing, "auto_round:auto_awq") == 0;
    q->method = as_awq ? QUANT_AWQ : QUANT_GPTQ;
    if (!as_awq && strcmp(packing, "auto_round:auto_gptq") != 0)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"packing_format\" is \"%.80s\"; expected auto_round:auto_gptq or "
                    "auto_round:auto_awq",
                    q->where, packing);
    if (as_awq)
        TRY(read_awq(config, q));
    else
        TRY(read_gptq(config, q));
    q->base.quantises_inputs = inputs < 16;
    return read_extra(config, q);
}

// ---- the others ----

static enum status read_fp8(const json_t *config, struct quantisation *q)
{
    static const char *const types[] = {"e4m3", "float8_e4m3fn", NULL},
                             *const meanings[] = {"inverse", "multiplier", NULL},
                             *const schemes[] = {"dynamic", "static", NULL};
    const char *text;
    const json_t *block = json_object_get(config, "weight_block_size");
    TRY(expect_text(config, q, "fmt", types, &text));
    TRY(expect_text(config, q, "activation_scheme", schemes, &text));
    TRY(expect_text(config, q, "weight_scale_semantics", meanings, &text));
    q->base = (struct quant_scheme){.bits = 8,
                                    .is_float = true,
                                    .symmetric = true,
                                    .quantises_inputs = true,
                                    .divides = strcasecmp(text, "inverse") == 0};
    q->has_base = true;
    if (!block || json_is_null(block))
        return OK;
    q->base.strategy = QUANT_BY_BLOCK;
    for (size_t i = 0; i < 2; i++) {
        const json_t *size = json_array_get(block, i);
        const json_int_t value = json_integer_value(size);
        if (json_array_size(block) != 2 || !json_is_integer(size) || value < 1 ||
            value > QUANT_GROUP_MAX)
            return fail(ERR_INPUT,
                        "%s: key \"weight_block_size\" is %s; expected two sizes of 1 to %d",
                        q->where, json_show(block), QUANT_GROUP_MAX);
        q->base.block[i] = (int32_t)value;
    }
    return OK;
}

static enum status read_bitsandbytes(const json_t *config, struct quantisation *q)
{
    bool four = false, eight = false, older = false;
    TRY(quant_read_flag(config, q->where, "load_in_4bit", &four));
    TRY(quant_read_flag(config, q->where, "_load_in_4bit", &older));
    four = four || older;
    older = false;
    TRY(quant_read_flag(config, q->where, "load_in_8bit", &eight));
    TRY(quant_read_flag(config, q->where, "_load_in_8bit", &older));
    eight = eight || older;
    if (four && eight)
        return fail(ERR_INPUT,
                    "%s: keys \"load_in_4bit\" and \"load_in_8bit\" are both true; expected one",
                    q->where);
    q->base = (struct quant_scheme){
        .bits = four ? 4 : 8, .is_float = four, .symmetric = true, .quantises_inputs = !four};
    q->has_base = true;
    return OK;
}

static enum status read_torchao(const json_t *config, struct quantisation *q)
{
    const json_t *type = json_object_get(config, "quant_type");
    const json_t *inner = json_object_get(type, "default");
    const char *name = json_string_value(type);
    if (json_is_object(inner))
        name = json_string_value(json_object_get(inner, "_type"));
    q->base =
        (struct quant_scheme){.bits = 8,
                              .strategy = QUANT_BY_CHANNEL,
                              .symmetric = true,
                              .quantises_inputs = name && (strstr(name, "DynamicActivation") ||
                                                           strstr(name, "dynamic_activation"))};
    q->has_base = true;
    return OK;
}

static enum status read_mxfp4(const json_t *config, struct quantisation *q)
{
    (void)config;
    q->base = (struct quant_scheme){.bits = 4, .is_float = true, .symmetric = true, .group = 32};
    q->has_base = true;
    return OK;
}

static const struct {
    const char *name;
    enum quant_method method;
    enum status (*read)(const json_t *config, struct quantisation *q);
} methods[] = {
    {"compressed-tensors", QUANT_COMPRESSED_TENSORS, quant_read_compressed},
    {"gptq", QUANT_GPTQ, read_gptq},
    {"awq", QUANT_AWQ, read_awq},
    {"auto-round", QUANT_GPTQ, read_auto_round},
    {"fp8", QUANT_FP8, read_fp8},
    {"mxfp4", QUANT_MXFP4, read_mxfp4},
    {"bitsandbytes", QUANT_BITSANDBYTES, read_bitsandbytes},
    {"torchao", QUANT_TORCHAO, read_torchao},
};
enum { METHODS = sizeof methods / sizeof methods[0] };

// What a merge leaves behind: bitsandbytes with nothing on, or keys that say nothing.
static bool is_switched_off(const json_t *config)
{
    static const char *const switches[] = {"load_in_8bit", "load_in_4bit", "_load_in_8bit",
                                           "_load_in_4bit"};
    const json_t *method = json_object_get(config, "quant_method"), *value;
    const char *key;
    bool has_switch = false, says_something = false;
    if (json_is_falsy(config))
        return true;
    if (!json_is_object(config))
        return false;
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        value = json_object_get(config, switches[i]);
        has_switch = has_switch || value;
        if (!json_is_falsy(value))
            return false;
    }
    json_object_foreach((json_t *)(uintptr_t)config, key, value) says_something =
        says_something || !json_is_falsy(value);
    if (json_is_falsy(method))
        return has_switch || !says_something;
    return json_is_string(method) && strcmp(json_string_value(method), "bitsandbytes") == 0;
}

// Old files name no method: AutoAWQ's have w_bit, AutoGPTQ's bits; compressed-tensors' (as the key
// compression_config) groups; bitsandbytes' a switch.
static const char *infer_method(const json_t *config)
{
    return json_object_get(config, "config_groups") ? "compressed-tensors"
           : json_object_get(config, "w_bit")       ? "awq"
           : json_object_get(config, "bits") && json_object_get(config, "group_size") ? "gptq"
           : json_object_get(config, "load_in_8bit") || json_object_get(config, "load_in_4bit")
               ? "bitsandbytes"
               : "";
}

static enum status choose_method(const json_t *config, struct quantisation *q, int *out)
{
    const char *name;
    char list[200] = "";
    TRY(quant_read_text(config, q->where, "quant_method", &name));
    name = *name ? name : infer_method(config);
    for (int i = 0; i < METHODS; i++) {
        if (strcmp(methods[i].name, name) == 0) {
            *out = i;
            return OK;
        }
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "",
                 methods[i].name);
    }
    return fail(ERR_UNSUPPORTED,
                "%s: key \"quant_method\" is \"%.40s\"; expected one of %s, or the model's "
                "original checkpoint",
                q->where, name, list);
}

static enum status read_method(const json_t *config, const char *where, struct quantisation *q)
{
    char *copy;
    int method = 0;
    TRY(arena_text(&q->arena, where, strlen(where), &copy));
    q->where = copy;
    if (!json_is_object(config))
        return fail(ERR_INPUT, "%s: is %s; expected an object", where, json_show(config));
    TRY(choose_method(config, q, &method));
    q->method = methods[method].method;
    q->name = methods[method].name;
    return methods[method].read(config, q);
}

enum status quantisation_read(const json_t *config, const char *where, struct quantisation **out)
{
    struct quantisation *q;
    *out = NULL;
    if (is_switched_off(config)) {
        if (!json_is_falsy(config))
            log_info("%s: is switched off and ignored", where);
        return OK;
    }
    TRY(memory_new(1, sizeof *q, "a quantisation", &q));
    arena_init(&q->arena);
    enum status status = read_method(config, where, q);
    if (status == OK)
        *out = q;
    else
        quantisation_free(q);
    return status;
}

void quantisation_free(struct quantisation *q)
{
    if (!q)
        return;
    quant_free_rules(q);
    arena_fini(&q->arena);
    free(q);
}

// ---- a folder ----

enum status quantisation_of_config(const json_t *root, const char *path, struct quantisation **out)
{
    static const char *const keys[] = {"quantization_config", "compression_config"};
    const json_t *parts[] = {root, json_object_get(root, "text_config")};
    *out = NULL;
    for (size_t part = 0; part < 2; part++)
        for (size_t i = 0; !*out && i < sizeof keys / sizeof *keys; i++) {
            char where[FILE_PATH_MAX + 64];
            const json_t *value = json_object_get(parts[part], keys[i]);
            snprintf(where, sizeof where, "%s: %skey \"%s\"", path, part ? "text_config: " : "",
                     keys[i]);
            if (value && !json_is_null(value))
                TRY(quantisation_read(value, where, out));
        }
    return OK;
}

static enum status read_beside(const char *folder, const char *name, struct quantisation **out)
{
    char path[FILE_PATH_MAX];
    json_t *root;
    TRY(file_join(folder, name, path));
    if (!file_exists(path))
        return OK;
    TRY(json_file(path, CONFIG_BYTES_MAX, &root));
    enum status status = quantisation_read(root, path, out);
    json_decref(root);
    return status;
}

enum status quantisation_of_folder(const char *folder, struct quantisation **out)
{
    char path[FILE_PATH_MAX];
    json_t *root = NULL;
    *out = NULL;
    TRY(file_join(folder, "config.json", path));
    // What is wrong with config.json itself is its reader's to say.
    if (file_exists(path) && json_file(path, CONFIG_BYTES_MAX, &root) == OK) {
        enum status status = quantisation_of_config(root, path, out);
        json_decref(root);
        TRY(status);
    }
    if (!*out)
        TRY(read_beside(folder, "quantize_config.json", out));
    return *out ? OK : read_beside(folder, "quant_config.json", out);
}

// ---- what is asked of it ----

enum quant_method quantisation_method(const struct quantisation *q)
{
    return q ? q->method : QUANT_NONE;
}

const char *quantisation_name(const struct quantisation *q)
{
    return q->name;
}

const char *quantisation_where(const struct quantisation *q)
{
    return q->where;
}

enum status quantisation_scheme(const struct quantisation *q, const char *module,
                                struct quant_scheme *out)
{
    const struct quant_rule *rule = quant_find_rule(q, module);
    if (rule && !rule->is_left_alone) {
        *out = rule->scheme;
        return OK;
    }
    if (!q->has_base)
        return fail(ERR_INPUT,
                    "%s: no group has the module \"%.200s\", whose weight is quantised; expected "
                    "a target that names it",
                    q->where, module);
    *out = q->base;
    return OK;
}

bool quantisation_is_of_inputs(const struct quantisation *q)
{
    bool any = q->base.quantises_inputs;
    for (size_t i = 0; i < q->n_rules; i++)
        any = any || q->rules[i].scheme.quantises_inputs;
    return any;
}

void quantisation_show(const struct quantisation *q, char *out, size_t room)
{
    const struct quant_scheme *s = &q->base;
    char scales[64] = "";
    if (s->group)
        snprintf(scales, sizeof scales, ", group %d", (int)s->group);
    else if (s->block[0])
        snprintf(scales, sizeof scales, ", block %dx%d", (int)s->block[0], (int)s->block[1]);
    snprintf(out, room, "%s: %s%d%s%s", q->name, s->is_float ? "fp" : "int", s->bits, scales,
             q->has_base ? "" : ", and others");
}

double quantisation_bits(const struct quantisation *q)
{
    const struct quant_scheme *s = &q->base;
    const double scale = s->format == QUANT_NVFP4 || s->format == QUANT_MXFP4_PACKED ||
                                 s->format == QUANT_MXFP8 || q->method == QUANT_MXFP4
                             ? 8
                             : 16;
    return s->bits + (s->group ? scale / s->group : 0);
}
