#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

// jansson's own limit is 2048 levels; ours is lower and checked before it recurses.
static enum status check_depth(const char *name, const char *text, size_t length)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_DEPTH_MAX)
                return fail(ERR_INPUT, "%s: JSON is nested deeper than %d levels", name,
                            JSON_DEPTH_MAX);
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return OK;
}

enum status json_parse(const char *name, const char *text, size_t length, json_t **out)
{
    *out = NULL;
    TRY(check_depth(name, text, length));
    json_error_t error;
    *out =
        json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!*out)
        return fail(ERR_INPUT, "%s: not valid JSON (line %d, column %d: %s)", name, error.line,
                    error.column, error.text);
    return OK;
}

enum status json_file(const char *path, size_t bytes_max, json_t **out)
{
    *out = NULL;
    struct bytes text;
    bytes_init(&text);
    enum status status = file_read(path, bytes_max, &text);
    if (status == OK)
        status = json_parse(path, text.data, text.length, out);
    bytes_fini(&text);
    return status;
}

const char *json_kind(const json_t *value)
{
    if (!value)
        return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

const char *json_show(const json_t *value)
{
    static _Thread_local char text[80];
    if (!value || json_is_object(value) || json_is_array(value))
        return json_kind(value);
    size_t n = json_dumpb(value, text, sizeof text - 1,
                          JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (n > sizeof text - 1) {
        n = sizeof text - 1;
        memcpy(text + n - 3, "...", 3);
    }
    text[n] = '\0';
    return text;
}

// `*value` is NULL when the key is absent and that is allowed.
static enum status lookup(const json_t *object, const char *where, const char *key,
                          const char *wanted, bool *found, json_t **value)
{
    *value = NULL;
    if (!json_is_object(object))
        return fail(ERR_INPUT, "%s: expected an object with key \"%s\", found %s", where, key,
                    json_kind(object));
    json_t *item = json_object_get(object, key);
    if (!item || json_is_null(item)) {
        if (!found)
            return fail(ERR_INPUT, "%s: key \"%s\" is missing; expected %s", where, key, wanted);
        *found = false;
        return OK;
    }
    if (found)
        *found = true;
    *value = item;
    return OK;
}

static enum status wrong(const char *where, const char *key, const char *wanted,
                         const json_t *value)
{
    return fail(ERR_INPUT, "%s: key \"%s\" is %s; expected %s", where, key, json_show(value),
                wanted);
}

enum status json_get_int(const json_t *object, const char *where, const char *key, int64_t least,
                         int64_t most, int64_t *out, bool *found)
{
    json_t *value;
    TRY(lookup(object, where, key, "an integer", found, &value));
    if (!value)
        return OK;
    char wanted[96];
    snprintf(wanted, sizeof wanted, "an integer from %lld to %lld", (long long)least,
             (long long)most);
    if (!json_is_integer(value))
        return wrong(where, key, wanted, value);
    int64_t number = json_integer_value(value);
    if (number < least || number > most)
        return wrong(where, key, wanted, value);
    *out = number;
    return OK;
}

enum status json_get_number(const json_t *object, const char *where, const char *key, double least,
                            double most, double *out, bool *found)
{
    json_t *value;
    TRY(lookup(object, where, key, "a number", found, &value));
    if (!value)
        return OK;
    char wanted[96];
    snprintf(wanted, sizeof wanted, "a number from %g to %g", least, most);
    if (!json_is_number(value))
        return wrong(where, key, wanted, value);
    double number = json_number_value(value);
    if (!(number >= least && number <= most))
        return wrong(where, key, wanted, value);
    *out = number;
    return OK;
}

enum status json_get_bool(const json_t *object, const char *where, const char *key, bool *out,
                          bool *found)
{
    json_t *value;
    TRY(lookup(object, where, key, "true or false", found, &value));
    if (!value)
        return OK;
    if (!json_is_boolean(value))
        return wrong(where, key, "true or false", value);
    *out = json_is_true(value);
    return OK;
}

enum status json_get_text(const json_t *object, const char *where, const char *key,
                          const char **out, bool *found)
{
    json_t *value;
    TRY(lookup(object, where, key, "a string", found, &value));
    if (!value)
        return OK;
    if (!json_is_string(value))
        return wrong(where, key, "a string", value);
    *out = json_string_value(value);
    return OK;
}

enum status json_get_object(const json_t *object, const char *where, const char *key, json_t **out,
                            bool *found)
{
    json_t *value;
    TRY(lookup(object, where, key, "an object", found, &value));
    if (!value)
        return OK;
    if (!json_is_object(value))
        return wrong(where, key, "an object", value);
    *out = value;
    return OK;
}

enum status json_get_array(const json_t *object, const char *where, const char *key, json_t **out,
                           bool *found)
{
    json_t *value;
    TRY(lookup(object, where, key, "an array", found, &value));
    if (!value)
        return OK;
    if (!json_is_array(value))
        return wrong(where, key, "an array", value);
    *out = value;
    return OK;
}
