#include "server/api_fields.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"

// 2^64 is the largest whole number that stands for an integer too large to hold; beyond, pydantic
// refuses to read one as well.
static const double WHOLE_MAX = 18446744073709551616.0;

static const char *path_of(const struct api_fields *fields, const char *key, char *out)
{
    snprintf(out, API_PARAM_MAX, "%s.%s", fields->path, key);
    return out;
}

// The value, or NULL where there is none to read; a fault where null is refused.
static const json_t *find(struct api_fields *fields, const char *key, enum field_null null)
{
    const json_t *value = json_object_get(fields->object, key);
    if (!value || fields->fault->status)
        return NULL;
    if (!json_is_null(value))
        return value;
    char path[API_PARAM_MAX];
    if (null == NULL_REFUSED)
        fault_in_body(fields->fault, path_of(fields, key, path),
                      "%s is null; leave it out to have the default", path);
    return NULL;
}

static bool not_what(struct api_fault *fault, const char *path, const char *wanted,
                     const json_t *value)
{
    return fault_in_body(fault, path, "%s is %s; expected %s", path, json_show(value), wanted);
}

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t\r\n");
}

static const double INT64_ABOVE = 9223372036854775808.0; // 2^63

static bool int_of_text(struct api_fault *fault, const char *path, const json_t *value,
                        int64_t *out, bool *beyond)
{
    const char *text = skip_blanks(json_string_value(value)), *digits = text;
    digits += *digits == '-' || *digits == '+';
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || n > 4300 || *skip_blanks(digits + n)) // Python's limit of digits
        return not_what(fault, path, "an integer", value);
    errno = 0;
    *out = strtoll(text, NULL, 10); // saturates
    *beyond = errno == ERANGE;
    return true;
}

// An integer that fits came as one: this one is too large, or was written as 2.0.
static bool int_of_real(struct api_fault *fault, const char *path, const json_t *value,
                        int64_t *out, bool *beyond)
{
    double real = json_number(value);
    if (!isfinite(real) || real != floor(real) || fabs(real) > WHOLE_MAX)
        return not_what(fault, path, "an integer", value);
    *beyond = fabs(real) >= INT64_ABOVE;
    *out = *beyond ? real < 0 ? INT64_MIN : INT64_MAX : (int64_t)real;
    return true;
}

static bool read_int(struct api_fault *fault, const char *path, const json_t *value, int64_t *out,
                     bool *beyond)
{
    *beyond = false;
    if (fault->status)
        return false;
    if (json_is_string(value))
        return int_of_text(fault, path, value, out, beyond);
    if (json_is_real(value))
        return int_of_real(fault, path, value, out, beyond);
    if (!json_is_integer(value) && !json_is_boolean(value))
        return not_what(fault, path, "an integer", value);
    *out = json_is_integer(value) ? json_integer_value(value) : json_is_true(value);
    return true;
}

bool value_any_int(struct api_fault *fault, const char *path, const json_t *value, int64_t *out)
{
    bool beyond;
    return read_int(fault, path, value, out, &beyond);
}

bool value_int(struct api_fault *fault, const char *path, const json_t *value, int64_t least,
               int64_t most, int64_t *out)
{
    bool beyond;
    int64_t number = 0;
    if (!read_int(fault, path, value, &number, &beyond))
        return false;
    if (number < least || number > most || beyond)
        return fault_in_body(fault, path, "%s is %s; expected an integer from %lld to %lld", path,
                             json_show(value), (long long)least, (long long)most);
    *out = number;
    return true;
}

bool value_number(struct api_fault *fault, const char *path, const json_t *value, double *out)
{
    if (fault->status)
        return false;
    if (json_is_number(value)) {
        *out = json_number(value);
        return true;
    }
    if (json_is_boolean(value)) {
        *out = json_is_true(value);
        return true;
    }
    if (!json_is_string(value))
        return not_what(fault, path, "a number", value);
    const char *text = skip_blanks(json_string_value(value));
    char *end;
    double number = strtod(text, &end);
    if (end == text || *skip_blanks(end) || strpbrk(text, "xX(")) // no C notations
        return not_what(fault, path, "a number", value);
    *out = number;
    return true;
}

bool field_int(struct api_fields *fields, const char *key, enum field_null null, int64_t least,
               int64_t most, int64_t *out)
{
    char path[API_PARAM_MAX];
    const json_t *value = find(fields, key, null);
    return value && value_int(fields->fault, path_of(fields, key, path), value, least, most, out);
}

bool field_any_int(struct api_fields *fields, const char *key, enum field_null null, int64_t *out)
{
    char path[API_PARAM_MAX];
    const json_t *value = find(fields, key, null);
    return value && value_any_int(fields->fault, path_of(fields, key, path), value, out);
}

bool field_number(struct api_fields *fields, const char *key, enum field_null null, double *out)
{
    char path[API_PARAM_MAX];
    const json_t *value = find(fields, key, null);
    return value && value_number(fields->fault, path_of(fields, key, path), value, out);
}

static int bool_of_text(const char *text)
{
    static const char *const yes[] = {"true", "yes", "on", "y", "t", "1"};
    static const char *const no[] = {"false", "no", "off", "n", "f", "0"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (strcasecmp(text, yes[i]) == 0)
            return 1;
        if (strcasecmp(text, no[i]) == 0)
            return 0;
    }
    return -1;
}

bool field_bool(struct api_fields *fields, const char *key, enum field_null null, bool *out)
{
    char path[API_PARAM_MAX];
    const json_t *value = find(fields, key, null);
    if (!value)
        return false;
    int is = -1;
    if (json_is_boolean(value))
        is = json_is_true(value);
    else if (json_is_number(value) && json_number_value(value) == 0)
        is = 0;
    else if (json_is_number(value) && json_number_value(value) == 1)
        is = 1;
    else if (json_is_string(value))
        is = bool_of_text(json_string_value(value));
    if (is < 0)
        return not_what(fields->fault, path_of(fields, key, path), "true or false", value);
    *out = is == 1;
    return true;
}

bool field_string(struct api_fields *fields, const char *key, enum field_null null,
                  const char **out, size_t *length)
{
    char path[API_PARAM_MAX];
    const json_t *value = find(fields, key, null);
    if (!value)
        return false;
    if (!json_is_string(value))
        return not_what(fields->fault, path_of(fields, key, path), "a string", value);
    *out = json_string_value(value);
    if (length)
        *length = json_string_length(value);
    return true;
}

bool field_object(struct api_fields *fields, const char *key, enum field_null null,
                  const json_t **out)
{
    char path[API_PARAM_MAX];
    const json_t *value = find(fields, key, null);
    if (!value)
        return false;
    if (!json_is_object(value))
        return not_what(fields->fault, path_of(fields, key, path), "an object", value);
    *out = value;
    return true;
}

bool field_list(struct api_fields *fields, const char *key, enum field_null null,
                const json_t **out)
{
    char path[API_PARAM_MAX];
    const json_t *value = find(fields, key, null);
    if (!value)
        return false;
    if (!json_is_array(value))
        return not_what(fields->fault, path_of(fields, key, path), "a list", value);
    *out = value;
    return true;
}

bool field_word(struct api_fields *fields, const char *key, enum field_null null,
                const char *const *words, const char **out)
{
    char path[API_PARAM_MAX], wanted[256] = "one of";
    const json_t *value = find(fields, key, null);
    if (!value)
        return false;
    for (const char *const *word = words; *word; word++) {
        if (json_is_string(value) && strcmp(json_string_value(value), *word) == 0) {
            *out = *word;
            return true;
        }
        size_t used = strlen(wanted);
        snprintf(wanted + used, sizeof wanted - used, " %s", *word);
    }
    return not_what(fields->fault, path_of(fields, key, path), wanted, value);
}
