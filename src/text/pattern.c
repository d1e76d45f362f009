#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pattern.h"

#include <assert.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "text/unicode.h"

// A tokenizer's expression that needs more than this for one match is hostile or broken.
enum {
    MATCH_LIMIT = 50 * 1000 * 1000, // a run of 1 MB of blanks backtracks a million times
    DEPTH_LIMIT = 1000 * 1000,
    HEAP_LIMIT_KIB = 256 * 1024,
    GROUPS_MAX = 100, // nesting of parentheses
};

struct pattern {
    char *literal; // NULL for a regular expression
    size_t literal_length;
    pcre2_code *code;
    pcre2_match_context *limits;
    char where[256]; // for messages while matching
};

// ---- Oniguruma's spelling to PCRE2's ----

// White_Space: PCRE2's own \s also holds U+180E.
#define SPACE_SET "\\t-\\r\\x{85}\\p{Z}"
// Alphabetic, marks, decimal digits, connectors: PCRE2's own \w has no marks.
#define WORD_SET                                                                                   \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{"     \
    "1F169}"                                                                                       \
    "\\x{1F170}-\\x{1F189}"

static enum status rewrite_escape(const char *where, char c, bool in_class, struct bytes *out)
{
    switch (c) {
    case 's':
        return bytes_text(out, in_class ? SPACE_SET : "[" SPACE_SET "]");
    case 'w':
        return bytes_text(out, in_class ? WORD_SET : "[" WORD_SET "]");
    case 'h':
        return bytes_text(out, in_class ? "0-9a-fA-F" : "[0-9a-fA-F]");
    case 'S':
        return bytes_text(out, in_class ? "\\S" : "[^" SPACE_SET "]");
    case 'W':
        if (!in_class)
            return bytes_text(out, "[^" WORD_SET "]");
        return fail(ERR_UNSUPPORTED,
                    "%s: the regular expression has \\W inside [...], which is not supported",
                    where);
    case 'H':
        if (!in_class)
            return bytes_text(out, "[^0-9a-fA-F]");
        return fail(ERR_UNSUPPORTED,
                    "%s: the regular expression has \\H inside [...], which is not supported",
                    where);
    default:
        TRY(bytes_append(out, "\\", 1));
        return bytes_append(out, &c, 1);
    }
}

// Oniguruma nests classes and intersects them with &&; PCRE2 10.42 reads both as plain characters.
static enum status check_class(const char *where, const char *at, size_t left)
{
    bool nested = at[0] == '[' && !(left > 1 && at[1] == ':');
    bool intersected = left > 1 && at[0] == '&' && at[1] == '&';
    if (nested || intersected)
        return fail(
            ERR_UNSUPPORTED,
            "%s: the regular expression has a nested or intersected class [..[..]..], [..&&..], "
            "which is not supported; expected one plain class",
            where);
    return OK;
}

// (?m) of Ruby lets the dot match newlines; ^ and $ always match at lines.
static enum status check_option(const char *where, const char *regex, size_t length, size_t at)
{
    if (at + 2 >= length || regex[at] != '(' || regex[at + 1] != '?')
        return OK;
    for (size_t i = at + 2; i < length && strchr("imxs-", regex[i]) && regex[i] != '\0'; i++)
        if (regex[i] == 'm')
            return fail(ERR_UNSUPPORTED,
                        "%s: the regular expression has the option (?m); expected none of its "
                        "kind, which is not supported",
                        where);
    return OK;
}

static enum status rewrite(const char *where, const char *regex, size_t length, struct bytes *out)
{
    bool in_class = false;
    size_t class_begin = 0;
    for (size_t i = 0; i < length; i++) {
        char c = regex[i];
        if (c == '\\' && i + 1 < length) {
            TRY(rewrite_escape(where, regex[++i], in_class, out));
            continue;
        }
        if (in_class) {
            if (c == '[' && i + 1 < length && regex[i + 1] == ':') { // [:alpha:]
                const char *end = memmem(regex + i, length - i, ":]", 2);
                if (end) {
                    size_t n = (size_t)(end - (regex + i)) + 2;
                    TRY(bytes_append(out, regex + i, n));
                    i += n - 1;
                    continue;
                }
            }
            TRY(check_class(where, regex + i, length - i));
            if (c == ']' && i > class_begin)
                in_class = false;
        } else if (c == '[') {
            in_class = true;
            TRY(bytes_append(out, &c, 1));
            if (i + 1 < length && regex[i + 1] == '^')
                TRY(bytes_append(out, &regex[++i], 1));
            class_begin = i + 1; // a ] that stands here is a member
            continue;
        } else {
            TRY(check_option(where, regex, length, i));
        }
        TRY(bytes_append(out, &c, 1));
    }
    return OK;
}

// ---- opening ----

static enum status pattern_new(const char *where, struct pattern **out)
{
    TRY(memory_new(1, sizeof **out, "a pattern", out));
    size_t n = strlen(where);
    size_t most = sizeof(*out)->where - 1;
    const char *from =
        n > most ? where + n - most : where; // the key at the end says more than the folder
    memcpy((*out)->where, from, n > most ? most : n);
    return OK;
}

enum status pattern_literal(const char *where, const char *text, size_t length,
                            struct pattern **out)
{
    *out = NULL;
    if (length == 0)
        return fail(ERR_UNSUPPORTED, "%s: the pattern is empty; expected a text to search for",
                    where);
    if (length > PATTERN_BYTES_MAX)
        return fail(ERR_INPUT, "%s: the pattern has %zu bytes; at most %d are allowed", where,
                    length, PATTERN_BYTES_MAX);
    struct pattern *pattern;
    TRY(pattern_new(where, &pattern));
    enum status status;
    TRY_DONE(memory_new(length + 1, 1, "a pattern", &pattern->literal));
    memcpy(pattern->literal, text, length);
    pattern->literal_length = length;
    *out = pattern;
    pattern = NULL;
done:
    pattern_free(pattern);
    return status;
}

static enum status compile(struct pattern *pattern, const char *where, const struct bytes *source)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    pattern->limits = pcre2_match_context_create(NULL);
    if (!context || !pattern->limits) {
        pcre2_compile_context_free(context);
        return fail_memory(0, "a regular expression");
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context, GROUPS_MAX);
    int error;
    PCRE2_SIZE offset;
    pattern->code = pcre2_compile((PCRE2_SPTR)source->data, source->length,
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                  &error, &offset, context);
    pcre2_compile_context_free(context);
    if (!pattern->code) {
        PCRE2_UCHAR text[128] = "";
        pcre2_get_error_message(error, text, sizeof text);
        return fail(
            ERR_INPUT,
            "%s: expected a regular expression, found one with an error near character %zu: %s",
            where, (size_t)offset, (const char *)text);
    }
    pcre2_jit_compile(pattern->code,
                      PCRE2_JIT_COMPLETE); // without it matching is slower, not different
    pcre2_set_match_limit(pattern->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(pattern->limits, DEPTH_LIMIT);
    pcre2_set_heap_limit(pattern->limits, HEAP_LIMIT_KIB);
    return OK;
}

enum status pattern_regex(const char *where, const char *regex, size_t length, struct pattern **out)
{
    *out = NULL;
    if (length == 0)
        return fail(ERR_UNSUPPORTED,
                    "%s: the regular expression is empty; expected one that matches something",
                    where);
    if (length > PATTERN_BYTES_MAX)
        return fail(ERR_INPUT, "%s: the regular expression has %zu bytes; at most %d are allowed",
                    where, length, PATTERN_BYTES_MAX);
    struct bytes source;
    bytes_init(&source);
    struct pattern *pattern;
    TRY(pattern_new(where, &pattern));
    enum status status;
    TRY_DONE(rewrite(where, regex, length, &source));
    TRY_DONE(compile(pattern, where, &source));
    *out = pattern;
    pattern = NULL;
done:
    bytes_fini(&source);
    pattern_free(pattern);
    return status;
}

enum status pattern_parse(const json_t *object, const char *where, const char *key,
                          struct pattern **out)
{
    json_t *value;
    *out = NULL;
    TRY(json_get_object(object, where, key, &value, NULL));
    const json_t *text = json_object_get(value, "String"), *regex = json_object_get(value, "Regex");
    const json_t *either = text ? text : regex;
    if (!json_is_string(either) || json_object_size(value) != 1)
        return fail(ERR_INPUT,
                    "%s: key \"%s\": expected {\"String\": text} or {\"Regex\": expression}", where,
                    key);
    char place[512];
    snprintf(place, sizeof place, "%.400s: key \"%.80s\"", where, key);
    const char *data = json_string_value(either);
    size_t length = json_string_length(either);
    return text ? pattern_literal(place, data, length, out)
                : pattern_regex(place, data, length, out);
}

void pattern_free(struct pattern *pattern)
{
    if (!pattern)
        return;
    pcre2_code_free(pattern->code);
    pcre2_match_context_free(pattern->limits);
    free(pattern->literal);
    free(pattern);
}

// ---- searching ----

enum status pattern_walk_init(struct pattern_walk *walk, const struct pattern *pattern)
{
    *walk = (struct pattern_walk){.pattern = pattern};
    if (pattern->literal)
        return OK;
    walk->scratch = pcre2_match_data_create(1, NULL);
    return walk->scratch ? OK : fail_memory(0, "the state of a regular expression");
}

void pattern_walk_fini(struct pattern_walk *walk)
{
    pcre2_match_data_free(walk->scratch);
    *walk = (struct pattern_walk){0};
}

void pattern_walk_begin(struct pattern_walk *walk, const char *text, size_t length)
{
    walk->text = text;
    walk->length = length;
    walk->from = 0;
    walk->last_end = SIZE_MAX;
}

static enum status regex_failed(const struct pattern *pattern, int code)
{
    if (code == PCRE2_ERROR_NOMEMORY)
        return fail_memory(0, "a regular expression");
    PCRE2_UCHAR text[128] = "";
    pcre2_get_error_message(code, text, sizeof text);
    return fail(ERR_INPUT, "%s: the regular expression gave up on a text: %s", pattern->where,
                (const char *)text);
}

static enum status search(struct pattern_walk *walk, bool *found)
{
    const struct pattern *pattern = walk->pattern;
    if (pattern->literal) {
        const char *at = memmem(walk->text + walk->from, walk->length - walk->from,
                                pattern->literal, pattern->literal_length);
        *found = at != NULL;
        if (at) {
            walk->begin = (size_t)(at - walk->text);
            walk->end = walk->begin + pattern->literal_length;
        }
        return OK;
    }
    // The whole text was checked once; checking it at each match would be quadratic.
    uint32_t options = PCRE2_NO_UTF_CHECK;
    int n = pcre2_match(pattern->code, (PCRE2_SPTR)walk->text, walk->length, walk->from, options,
                        walk->scratch, pattern->limits);
    if (n == PCRE2_ERROR_JIT_STACKLIMIT)
        n = pcre2_match(pattern->code, (PCRE2_SPTR)walk->text, walk->length, walk->from,
                        options | PCRE2_NO_JIT, walk->scratch, pattern->limits);
    *found = n >= 0;
    if (n == PCRE2_ERROR_NOMATCH)
        return OK;
    if (n < 0)
        return regex_failed(pattern, n);
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(walk->scratch);
    walk->begin = ends[0];
    walk->end = ends[1];
    if (walk->begin > walk->end || walk->begin < walk->from) // \K can do that
        return fail(ERR_UNSUPPORTED,
                    "%s: the regular expression moves the start of its match (\\K)",
                    pattern->where);
    return OK;
}

enum status pattern_walk_next(struct pattern_walk *walk, bool *found)
{
    for (;;) {
        *found = false;
        if (walk->from > walk->length)
            return OK;
        TRY(search(walk, found));
        if (!*found)
            return OK;
        // No empty match right after a match: step over one character, as Oniguruma's iterator
        // does.
        if (walk->begin != walk->end || walk->end != walk->last_end)
            break;
        uint32_t code;
        size_t bytes = 1;
        if (walk->from < walk->length)
            utf8_next(walk->text + walk->from, walk->length - walk->from, &code, &bytes);
        walk->from += bytes;
    }
    walk->from = walk->last_end = walk->end;
    return OK;
}
