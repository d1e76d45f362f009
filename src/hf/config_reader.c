#include "hf/config_reader.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

bool config_is_absent(const struct config_reader *reader, const char *key)
{
    return json_object_get(reader->root, key) == NULL;
}

enum status config_read_size(const struct config_reader *reader, const char *key, int64_t least,
                             int64_t most, int32_t absent, int32_t *out)
{
    int64_t value = absent;
    if (config_is_absent(reader, key)) {
        log_warning("%s: key \"%s\" is missing: it is %d in %s without it, as in Transformers",
                    reader->name, key, (int)absent, reader->architecture);
        assert(least <= absent && absent <= most);
    } else {
        TRY(json_get_int(reader->root, reader->name, key, least, most, &value, NULL));
    }
    *out = (int32_t)value;
    return OK;
}

enum status config_read_int(const struct config_reader *reader, const char *key, int64_t least,
                            int64_t most, int64_t *out)
{
    bool found;
    return json_get_int(reader->root, reader->name, key, least, most, out, &found);
}

enum status config_read_number(const struct config_reader *reader, const char *key, double least,
                               double most, double *out)
{
    bool found;
    return json_get_number(reader->root, reader->name, key, least, most, out, &found);
}

enum status config_read_flag(const struct config_reader *reader, const char *key, bool *out)
{
    bool found;
    return json_get_bool(reader->root, reader->name, key, out, &found);
}

enum status config_expect_even(const struct config_reader *reader, const char *key, int32_t value)
{
    if (value % 2 == 0)
        return OK;
    return fail(
        ERR_UNSUPPORTED,
        "%s: key \"%s\" is %d; expected an even number (products and rotary embeddings take "
        "elements in pairs)",
        reader->name, key, (int)value);
}

// What a merge leaves behind: bitsandbytes with nothing on, or keys that say nothing. The weights'
// types are checked all the same.
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

static bool has_quant_method(const struct config_reader *reader, const char *wanted)
{
    const json_t *config = json_object_get(reader->root, "quantization_config");
    const char *method = json_string_value(json_object_get(config, "quant_method"));
    return method && strcmp(method, wanted) == 0;
}

bool config_is_mxfp4(const struct config_reader *reader)
{
    return has_quant_method(reader, "mxfp4");
}

bool config_is_fp8(const struct config_reader *reader)
{
    return has_quant_method(reader, "fp8");
}

enum status config_refuse_quantised(const struct config_reader *reader)
{
    static const char *const keys[] = {"quantization_config", "compression_config"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *value = json_object_get(reader->root, keys[i]);
        if (!is_switched_off(value)) {
            const char *method = json_string_value(json_object_get(value, "quant_method"));
            return fail(
                ERR_UNSUPPORTED,
                "%s: key \"%s\" is present (%.40s); expected unquantised weights in "
                "bfloat16, float16, float32 or float64: use the model's original checkpoint",
                reader->name, keys[i], method ? method : "no quant_method");
        }
        if (!json_is_falsy(value))
            log_info("%s: key \"%s\" is switched off and ignored", reader->name, keys[i]);
    }
    return OK;
}

static bool is_computable(enum element_type type)
{
    return type == ELEMENT_BF16 || type == ELEMENT_F16 || type == ELEMENT_F32;
}

// `dtype` counts before its older name. "auto" says nothing, nor does {}: the weights do. What
// names no type to compute in is kept for the caller: whoever names one
// need not stop.
void config_read_dtype(const struct config_reader *reader, enum element_type *out, char *unusable,
                       size_t room)
{
    const json_t *value = json_object_get(reader->root, "dtype");
    const char *key = !value || json_is_null(value) ? "torch_dtype" : "dtype";
    value = json_object_get(reader->root, key);
    *out = ELEMENT_NONE;
    *unusable = '\0';
    if (!value || json_is_null(value) || (json_is_object(value) && json_object_size(value) == 0))
        return;
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    if (strcmp(text, "auto") == 0)
        return;
    enum element_type type = element_from_dtype(text);
    if (type == ELEMENT_F64) {
        log_info("%s: key \"%s\" is \"%.80s\": computed in float32", reader->name, key, text);
        type = ELEMENT_F32;
    }
    if (is_computable(type))
        *out = type;
    else
        snprintf(unusable, room, "key \"%s\" is %s", key, json_show(value));
}
