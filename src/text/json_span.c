#include "text/json_span.h"

#include <string.h>

static const char *span_skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

// After the closing quote of the string that opens at `at`; `end` when it does not close.
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at < end ? at + 1 : end;
}

static const char *skip_value(const char *at, const char *end)
{
    size_t depth = 0;
    while (at < end) {
        char c = *at;
        if (c == '"') {
            at = skip_string(at, end);
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return at;
            depth--;
            at++;
        } else if (c == ',' && depth == 0) {
            return at;
        } else {
            at++;
            continue;
        }
        if (depth == 0)
            return at;
    }
    return end;
}

struct json_span json_span_member(struct json_span object, const char *key)
{
    const struct json_span none = {NULL, 0};
    struct json_span found = none;
    if (!object.text)
        return none;
    const char *end = object.text + object.length, *at = span_skip_blanks(object.text, end);
    size_t key_length = strlen(key);
    if (at == end || *at != '{')
        return none;
    for (at++;;) {
        at = span_skip_blanks(at, end);
        if (at == end || *at != '"')
            return none;
        const char *name = at + 1;
        at = skip_string(at, end);
        size_t length = (size_t)(at - name) - 1;
        at = span_skip_blanks(at, end);
        if (at == end || *at != ':')
            return none;
        const char *value = span_skip_blanks(at + 1, end);
        at = skip_value(value, end);
        if (length == key_length && memcmp(name, key, length) == 0)
            found = (struct json_span){value, (size_t)(at - value)};
        at = span_skip_blanks(at, end);
        if (at == end || *at != ',')
            return found;
        at++;
    }
}

enum status json_span_replace(struct json_span text, const struct json_span *spans, size_t n,
                              struct bytes *out)
{
    const char *at = text.text;
    for (size_t i = 0; i < n; i++) {
        if (!spans[i].text)
            continue;
        const char *begin = spans[i].text, *end = begin + spans[i].length;
        TRY(bytes_append(out, at, (size_t)(begin - at)));
        TRY(bytes_text(out, "null"));
        for (const char *line = begin; (line = memchr(line, '\n', (size_t)(end - line))); line++)
            TRY(bytes_append(out, "\n", 1));
        at = end;
    }
    return bytes_append(out, at, (size_t)(text.text + text.length - at));
}
