#include "text/json_span.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

static const char *span_skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

// What a value consists of besides numbers, words and blanks. Most of a pretty-printed vocabulary
// is blanks: they are passed in a loop of one test.
static const bool has_meaning[256] = {
    ['"'] = true, ['{'] = true, ['['] = true, ['}'] = true, [']'] = true, [','] = true};

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
    for (;;) {
        while (at < end && !has_meaning[(unsigned char)*at])
            at++;
        if (at == end)
            return end;
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
        } else if (depth == 0) { // the comma behind a number or word
            return at;
        } else {
            at++;
        }
        if (depth == 0)
            return at;
    }
}

static bool is_key(const char *key, const char *name, size_t length)
{
    return strlen(key) == length && memcmp(name, key, length) == 0;
}

// What is sought: the values of `keys`, in the object at hand or in its member `within`.
struct sought {
    const char *within; // NULL: in the object itself
    const char *const *keys;
    size_t n;
    struct json_span *found;
};

static void keep_member(const struct sought *sought, const char *name, size_t length,
                        struct json_span value)
{
    for (size_t i = 0; i < sought->n; i++)
        if (is_key(sought->keys[i], name, length))
            sought->found[i] = value;
}

// Walks the members of the object at `*begin`, which is moved behind it. False unless it is one to
// its end.
static bool find_members(const char **begin, const char *end, const struct sought *sought)
{
    const char *at = span_skip_blanks(*begin, end);
    if (at == end || *at != '{')
        return false;
    do {
        at = span_skip_blanks(at + 1, end);
        if (at == end || *at != '"')
            return false;
        const char *name = at + 1;
        at = skip_string(at, end);
        size_t length = (size_t)(at - name) - 1;
        at = span_skip_blanks(at, end);
        if (at == end || *at != ':')
            return false;
        const char *value = at = span_skip_blanks(at + 1, end);
        if (sought->within && is_key(sought->within, name, length)) {
            struct sought inside = *sought;
            inside.within = NULL;
            memset(sought->found, 0, sought->n * sizeof *sought->found);
            if (!find_members(&at, end, &inside))
                return false;
        } else {
            at = skip_value(value, end);
            if (!sought->within)
                keep_member(sought, name, length, (struct json_span){value, (size_t)(at - value)});
        }
        at = span_skip_blanks(at, end);
    } while (at < end && *at == ',');
    if (at == end || *at != '}')
        return false;
    *begin = at + 1;
    return true;
}

void json_span_members(struct json_span file, const char *within, const char *const *keys, size_t n,
                       struct json_span *found)
{
    assert(within && keys && found && (file.text || file.length == 0));
    const char *begin = file.text;
    memset(found, 0, n * sizeof *found);
    const struct sought sought = {within, keys, n, found};
    if (!begin || !find_members(&begin, begin + file.length, &sought))
        memset(found, 0, n * sizeof *found);
}

enum status json_span_replace(struct json_span text, const struct json_span *spans, size_t n,
                              struct bytes *out)
{
    assert(out && (text.text || text.length == 0) && (spans || n == 0));
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
