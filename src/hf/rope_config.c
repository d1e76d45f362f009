// Source: Transformers 5.24, modeling_rope_utils.py (RotaryEmbeddingConfigMixin). Where it warns
// about a value that makes little sense and computes with it, so does colrow.
#include "hf/rope_config.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"

static const char *const type_names[] = {
    [ROPE_DEFAULT] = "default",
    [ROPE_LINEAR] = "linear",
    [ROPE_DYNAMIC] = "dynamic",
    [ROPE_LLAMA3] = "llama3",
    [ROPE_YARN] = "yarn",
    [ROPE_LONGROPE] = "longrope",
    [ROPE_PROPORTIONAL] = "proportional",
};
enum { N_TYPES = sizeof type_names / sizeof type_names[0] };

static const double theta_max = 1e15, factor_min = 1e-6, factor_max = 1e6;

const char *rope_type_name(enum rope_type type)
{
    assert((unsigned)type < N_TYPES);
    return type_names[type];
}

// In a new reference; NULL: no memory. Without a set of its own a type of layer begins with the
// default's name, so that "type", the older key, says nothing there: Transformers' doing, and worth
// a warning.
static json_t *copy_own(const char *name, json_t *own, const json_t *scaling)
{
    const char *type = json_string_value(json_object_get(scaling, "type"));
    if (own)
        return json_copy(own);
    if (type && strcmp(type, "default") != 0 && !json_object_get(scaling, "rope_type"))
        log_warning("%s: key \"rope_scaling\" has \"type\": \"%.40s\", which has no effect in this "
                    "model, as in Transformers; if it is meant, write \"rope_type\"",
                    name, type);
    return json_pack("{s:s}", "rope_type", type_names[ROPE_DEFAULT]);
}

// The set of numbers of one type of layer, in a new reference: rope_scaling counts before what
// rope_parameters says.
static enum status find_layer_parameters(const char *name, const json_t *root,
                                         const struct rope_reading *reading, json_t **out)
{
    json_t *all = NULL, *own = NULL, *scaling = NULL;
    bool found;
    TRY(json_get_object(root, name, "rope_parameters", &all, &found));
    if (all)
        TRY(json_get_object(all, name, reading->layer_type, &own, &found));
    if (json_object_get(all, "rope_theta") || json_object_get(all, "rope_type"))
        return fail(
            ERR_INPUT,
            "%s: key \"rope_parameters\" is one set of numbers; expected objects "
            "\"full_attention\" and \"sliding_attention\" in it, one for each type of layer",
            name);
    if (!reading->ignore_scaling && !json_is_falsy(json_object_get(root, "rope_scaling")))
        TRY(json_get_object(root, name, "rope_scaling", &scaling, &found));
    *out = own || scaling ? copy_own(name, own, scaling) : NULL;
    if ((own || scaling) && (!*out || (scaling && json_object_update(*out, scaling) != 0))) {
        json_decref(*out);
        return fail_memory(0, "rope_parameters");
    }
    return OK;
}

// The dictionary that counts, in a new reference, with its key for messages; NULL when there is
// none. Transformers takes rope_scaling where Python's `or` does, so not {}, [] or 0, else
// rope_parameters.
static enum status find_parameters(const char *name, const json_t *root,
                                   const struct rope_reading *reading, json_t **out,
                                   const char **key)
{
    bool found, scaled = !json_is_falsy(json_object_get(root, "rope_scaling"));
    *out = NULL;
    *key = scaled && !reading->ignore_scaling ? "rope_scaling" : "rope_parameters";
    if (reading->layer_type)
        return find_layer_parameters(name, root, reading, out);
    TRY(json_get_object(root, name, *key, out, &found));
    json_incref(*out);
    return OK;
}

static enum status read_type(const char *where, const json_t *parameters, bool only_longrope,
                             bool allow_mrope, enum rope_type *out)
{
    const char *text = "default";
    bool found;
    TRY(json_get_text(parameters, where, "rope_type", &text, &found));
    if (!found)
        TRY(json_get_text(parameters, where, "type", &text, &found));
    // Phi-3's first names for it
    if (strcmp(text, "su") == 0 || (only_longrope && strcmp(text, "yarn") == 0))
        text = "longrope";
    if (allow_mrope && strcmp(text, "mrope") == 0) // Qwen2-VL's first name for it
        text = "default";
    for (int i = 0; i < N_TYPES; i++)
        if (strcmp(text, type_names[i]) == 0) {
            *out = (enum rope_type)i;
            if (!only_longrope || *out == ROPE_DEFAULT || *out == ROPE_LONGROPE)
                return OK;
        }
    if (only_longrope)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"rope_type\" is \"%.80s\"; expected default or longrope", where,
                    text);
    return fail(ERR_UNSUPPORTED,
                "%s: key \"rope_type\" is \"%.80s\"; expected one of default, linear, dynamic, "
                "llama3, yarn, longrope, proportional",
                where, text);
}

// Keys with which Transformers would compute something else than colrow does.
static enum status refuse_foreign_keys(const char *where, json_t *parameters, bool allow_mrope)
{
    const char *key;
    json_t *value;
    json_object_foreach(parameters, key, value) if (json_is_object(value)) return fail(
        ERR_UNSUPPORTED,
        "%s: key \"%.80s\" is an object; expected one set of numbers for all layers", where, key);
    value = json_object_get(parameters, "mrope_section");
    if (!allow_mrope && value && !json_is_null(value))
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"mrope_section\" is %s; expected it absent (multimodal positions are "
                    "not supported)",
                    where, json_show(value));
    return OK;
}

static enum status read_partial(const char *where, const json_t *object, struct rope_config *out)
{
    bool found;
    return json_get_number(object, where, "partial_rotary_factor", 0, 1,
                           &out->partial_rotary_factor, &found);
}

static enum status read_llama3(const char *where, const json_t *parameters, struct rope_config *out)
{
    TRY(json_get_number(parameters, where, "low_freq_factor", 1e-6, factor_max,
                        &out->low_freq_factor, NULL));
    TRY(json_get_number(parameters, where, "high_freq_factor", 1e-6, factor_max,
                        &out->high_freq_factor, NULL));
    if (out->high_freq_factor <= out->low_freq_factor)
        log_warning("%s: key \"high_freq_factor\" is %g, and low_freq_factor %g: more was expected",
                    where, out->high_freq_factor, out->low_freq_factor);
    return OK;
}

static enum status read_yarn(const char *where, const json_t *parameters, struct rope_config *out)
{
    bool found;
    TRY(json_get_number(parameters, where, "attention_factor", 1e-6, 1e3, &out->attention_factor,
                        &found));
    TRY(json_get_number(parameters, where, "beta_fast", 0, 1e6, &out->beta_fast, &found));
    TRY(json_get_number(parameters, where, "beta_slow", 0, 1e6, &out->beta_slow, &found));
    // Transformers: `beta_fast or 32`, so that 0 means absent.
    if (out->beta_fast <= 0)
        out->beta_fast = 32;
    if (out->beta_slow <= 0)
        out->beta_slow = 1;
    if (out->beta_fast < out->beta_slow)
        log_warning("%s: key \"beta_fast\" is %g, and beta_slow %g: at least as much was expected",
                    where, out->beta_fast, out->beta_slow);
    TRY(json_get_number(parameters, where, "mscale", 0, 1e3, &out->mscale, &found));
    TRY(json_get_number(parameters, where, "mscale_all_dim", 0, 1e3, &out->mscale_all_dim, &found));
    if (out->mscale <= 0 || out->mscale_all_dim <= 0)
        out->mscale = out->mscale_all_dim = 0; // they count only together
    TRY(json_get_bool(parameters, where, "truncate", &out->truncate, &found));
    if (out->theta <= 1)
        return fail(ERR_INPUT, "%s: key \"rope_theta\" is %g; expected more than 1 for yarn", where,
                    out->theta);
    return OK;
}

// The length before scaling: beside the dictionary (it wins in Transformers), in it, or
// max_position_embeddings.
// Transformers looks for "truncate" beside the sets of the types of layers, not in them.
static void keep_truncating(const char *where, const struct rope_reading *reading,
                            struct rope_config *out)
{
    if (!reading->layer_type || out->truncate)
        return;
    log_warning("%s: key \"truncate\" is false, which has no effect in a set of one type of layer, "
                "as in Transformers",
                where);
    out->truncate = true;
}

static enum status read_original_length(const char *name, const char *where, const json_t *root,
                                        const struct rope_reading *reading,
                                        const json_t *parameters, struct rope_config *out)
{
    const char *key = "original_max_position_embeddings";
    bool found;
    out->original_max_position_embeddings = (double)out->max_position_embeddings;
    if (out->type == ROPE_DYNAMIC)
        return OK; // Transformers knows no other length for it
    if (reading->original_max_position_embeddings)
        out->original_max_position_embeddings = (double)reading->original_max_position_embeddings;
    else
        TRY(json_get_number(parameters, where, key, 1, POSITIONS_MAX,
                            &out->original_max_position_embeddings, &found));
    if (reading->layer_type)
        return OK;
    return json_get_number(root, name, key, 1, POSITIONS_MAX,
                           &out->original_max_position_embeddings, &found);
}

static enum status read_factor(const char *where, const json_t *parameters, struct rope_config *out)
{
    const json_t *value = json_object_get(parameters, "factor");
    double original = out->original_max_position_embeddings,
           all = (double)out->max_position_embeddings;
    bool yarn_by_lengths = out->type == ROPE_YARN && json_is_null(value) && original <= all;
    if (yarn_by_lengths || (out->type == ROPE_LONGROPE && (!value || json_is_null(value)))) {
        out->factor = all / original;
        return OK;
    }
    TRY(json_get_number(parameters, where, "factor", factor_min, factor_max, &out->factor, NULL));
    if (out->factor < 1)
        log_warning("%s: key \"factor\" is %g: at least 1 was expected", where, out->factor);
    return OK;
}

static enum status read_factor_list(const char *where, const json_t *parameters, const char *key,
                                    struct rope_config *config, float *out)
{
    json_t *list;
    TRY(json_get_array(parameters, where, key, &list, NULL));
    size_t n = json_array_size(list);
    if (n < 1 || n > HEAD_DIM_MAX / 2 || (config->n_factors && n != (size_t)config->n_factors))
        return fail(ERR_INPUT,
                    "%s: key \"%s\" has %zu numbers; expected half of the dimensions "
                    "of a head that are rotated, in both lists",
                    where, key, n);
    config->n_factors = (int32_t)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        double value = json_is_number(item) ? json_number(item) : 0;
        if (!(value >= factor_min && value <= factor_max))
            return fail(ERR_INPUT,
                        "%s: key \"%s\" has %s at place %zu; expected a number from %g "
                        "to %g",
                        where, key, json_show(item), i, factor_min, factor_max);
        out[i] = (float)value;
    }
    return OK;
}

static enum status read_mscales(const char *where, const json_t *parameters,
                                struct rope_config *out)
{
    TRY(json_get_number(parameters, where, "short_mscale", 1e-6, 1e3, &out->short_mscale, NULL));
    TRY(json_get_number(parameters, where, "long_mscale", 1e-6, 1e3, &out->long_mscale, NULL));
    memcpy(out->long_factor, out->short_factor, sizeof out->long_factor);
    return OK;
}

static enum status read_longrope(const char *where, const json_t *parameters,
                                 struct rope_config *out)
{
    bool found;
    TRY(json_get_number(parameters, where, "attention_factor", 1e-6, 1e3, &out->attention_factor,
                        &found));
    TRY(read_factor_list(where, parameters, "short_factor", out, out->short_factor));
    return read_factor_list(where, parameters, "long_factor", out, out->long_factor);
}

static enum status read_scaling(const char *name, const char *where, const json_t *root,
                                const struct rope_reading *reading, const json_t *parameters,
                                struct rope_config *out)
{
    TRY(read_type(where, parameters, reading->only_longrope, reading->allow_mrope, &out->type));
    if (out->type == ROPE_DEFAULT || out->type == ROPE_PROPORTIONAL)
        return OK;
    TRY(read_original_length(name, where, root, reading, parameters, out));
    assert(out->theta >= 1 && out->original_max_position_embeddings >= 1);
    TRY(read_factor(where, parameters, out));
    assert(out->factor > 0);
    if (out->type == ROPE_LLAMA3)
        return read_llama3(where, parameters, out);
    if (out->type == ROPE_YARN) {
        TRY(read_yarn(where, parameters, out));
        keep_truncating(where, reading, out);
        return OK;
    }
    if (out->type != ROPE_LONGROPE)
        return OK;
    TRY(read_longrope(where, parameters, out));
    return reading->scales_by_length ? read_mscales(where, parameters, out) : OK;
}

static enum status read_parameters(const char *name, const char *key, const json_t *root,
                                   const struct rope_reading *reading, json_t *parameters,
                                   struct rope_config *out)
{
    char where[FILE_PATH_MAX + 64];
    bool found;
    snprintf(where, sizeof where, "%.*s: %s", FILE_PATH_MAX, name, key);
    TRY(refuse_foreign_keys(where, parameters, reading->allow_mrope));
    TRY(read_partial(where, parameters, out));
    TRY(json_get_number(parameters, where, "rope_theta", 1, theta_max, &out->theta, &found));
    if (reading->fixed_theta > 0)
        out->theta = reading->fixed_theta;
    return read_scaling(name, where, root, reading, parameters, out);
}

enum status rope_config_read(const char *name, const json_t *root,
                             const struct rope_reading *reading, struct rope_config *out)
{
    assert(json_is_object(root) && reading->max_position_embeddings > 0);
    memset(out, 0, sizeof *out); // padding too: equal ones are found by their bytes
    out->type = ROPE_DEFAULT;
    out->theta = reading->theta;
    out->factor = 1;
    out->truncate = true;
    out->partial_rotary_factor = reading->partial_rotary_factor;
    out->max_position_embeddings = reading->max_position_embeddings;
    bool found;
    json_t *parameters;
    const char *key;
    if (reading->theta_key)
        TRY(json_get_number(root, name, reading->theta_key, 1, theta_max, &out->theta, &found));
    TRY(read_partial(name, root, out));
    TRY(find_parameters(name, root, reading, &parameters, &key));
    if (!parameters) {
        out->theta = reading->fixed_theta > 0 ? reading->fixed_theta : out->theta;
        return OK;
    }
    enum status status = read_parameters(name, key, root, reading, parameters, out);
    json_decref(parameters);
    return status;
}

enum status rope_config_number(const char *name, const json_t *root,
                               const struct rope_reading *reading, const char *key, double least,
                               double most, double *out)
{
    json_t *parameters;
    const char *set;
    char where[FILE_PATH_MAX + 32];
    bool found;
    TRY(find_parameters(name, root, reading, &parameters, &set));
    if (!parameters)
        return OK;
    snprintf(where, sizeof where, "%.*s: %s", FILE_PATH_MAX, name, set);
    enum status status = json_get_number(parameters, where, key, least, most, out, &found);
    json_decref(parameters);
    return status;
}

bool rope_config_is_absent(const json_t *root)
{
    const json_t *parameters = json_object_get(root, "rope_parameters");
    return json_is_falsy(json_object_get(root, "rope_scaling")) &&
           (!parameters || json_is_null(parameters));
}
