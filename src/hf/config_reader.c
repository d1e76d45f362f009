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
