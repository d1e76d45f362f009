#include "base/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

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

// As Python shows a float: 64.0 is not 64.
static void show_real(const json_t *value, char *out, size_t room)
{
    double number = json_number(value);
    if (!isfinite(number)) {
        snprintf(out, room, "%s", isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity");
        return;
    }
    size_t n = json_dumpb(value, out, room - 1, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    assert(n < room);
    out[n] = '\0';
}

// A string as JSON writes it, cut to whole characters where it is long.
static void show_string(const char *text, size_t length, char *out, size_t room)
{
    static const char end[] = "...\"";
    size_t n = 0;
    out[n++] = '"';
    for (size_t i = 0, bytes; i < length; i += bytes) {
        uint32_t code;
        char one[12];
        int width;
        enum utf8_kind kind = utf8_next(text + i, length - i, &code, &bytes);
        if (kind != UTF8_VALID || code < 0x20)
            width = snprintf(one, sizeof one, "\\u%04x", kind == UTF8_VALID ? code : 0xFFFDu);
        else
            width = snprintf(one, sizeof one, "%s%.*s", code == '"' || code == '\\' ? "\\" : "",
                             (int)bytes, text + i);
        if (n + (size_t)width + sizeof end > room) {
            memcpy(out + n, end, sizeof end);
            return;
        }
        memcpy(out + n, one, (size_t)width);
        n += (size_t)width;
    }
    memcpy(out + n, "\"", 2);
}

const char *json_show(const json_t *value)
{
    static _Thread_local char text[80];
    if (json_is_string(value)) {
        show_string(json_string_value(value), json_string_length(value), text, sizeof text);
    } else if (json_is_integer(value)) {
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        show_real(value, text, sizeof text);
    } else if (json_is_boolean(value)) {
        return json_is_true(value) ? "true" : "false";
    } else {
        return json_kind(value);
    }
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

static enum status wrong_json_kind(const char *where, const char *key, const char *wanted,
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
        return wrong_json_kind(where, key, wanted, value);
    int64_t number = json_integer_value(value);
    if (number < least || number > most)
        return wrong_json_kind(where, key, wanted, value);
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
        return wrong_json_kind(where, key, wanted, value);
    double number = json_number(value);
    if (!(number >= least && number <= most))
        return wrong_json_kind(where, key, wanted, value);
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
        return wrong_json_kind(where, key, "true or false", value);
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
        return wrong_json_kind(where, key, "a string", value);
    if (strlen(json_string_value(value)) != json_string_length(value))
        return wrong_json_kind(where, key, "a string without the character NUL", value);
    *out = json_string_value(value);
    return OK;
}

enum status json_get_string(const json_t *object, const char *where, const char *key,
                            const char **out, size_t *length, bool *found)
{
    json_t *value;
    TRY(lookup(object, where, key, "a string", found, &value));
    if (!value)
        return OK;
    if (!json_is_string(value))
        return wrong_json_kind(where, key, "a string", value);
    *out = json_string_value(value);
    *length = json_string_length(value);
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
        return wrong_json_kind(where, key, "an object", value);
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
        return wrong_json_kind(where, key, "an array", value);
    *out = value;
    return OK;
}
