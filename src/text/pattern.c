#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pattern.h"

#include <assert.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "text/regex_class.h"
#include "text/regex_rewrite.h"
#include "text/unicode.h"

// A tokenizer's expression that needs more than this for one match is hostile or broken.
enum {
    MATCH_LIMIT = 50 * 1000 * 1000, // a run of 1 MB of blanks backtracks a million times
    DEPTH_LIMIT = 1000 * 1000,
    HEAP_LIMIT_KIB = 256 * 1024,
    PARENTHESES_MAX = 1000, // the rewritten expression's; REGEX_GROUPS_MAX bounds what is given
};

struct pattern {
    char *literal; // NULL for a regular expression
    size_t literal_length;
    pcre2_code *code;  // for texts without young characters (regex_class.h)
    pcre2_code *exact; // for all texts; NULL where it would be the same
    pcre2_match_context *limits;
    char where[256]; // for messages while matching
};

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

static enum status pattern_literal(const char *where, const char *text, size_t length,
                                   struct pattern **out)
{
    *out = NULL;
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

static enum status compile(const char *where, const struct bytes *source, pcre2_code **out)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context)
        return fail_memory(0, "a regular expression");
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context, PARENTHESES_MAX);
    int error;
    PCRE2_SIZE offset;
    *out = pcre2_compile((PCRE2_SPTR)source->data, source->length,
                         PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                         &offset, context);
    pcre2_compile_context_free(context);
    if (!*out) {
        PCRE2_UCHAR text[128] = "";
        pcre2_get_error_message(error, text, sizeof text);
        return fail(ERR_UNSUPPORTED,
                    "%s: the regular expression cannot be used: %s; expected one without it", where,
                    (const char *)text);
    }
    pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE); // without it matching is slower, not different
    return OK;
}

static enum status compile_both(struct pattern *pattern, const char *where, const char *regex,
                                size_t length)
{
    struct bytes usual, exact;
    bytes_init(&usual);
    bytes_init(&exact);
    enum status status;
    TRY_DONE(regex_rewrite(where, regex, length, false, &usual));
    TRY_DONE(regex_rewrite(where, regex, length, true, &exact));
    TRY_DONE(bytes_append(&usual, "", 0)); // so that its data is never NULL
    TRY_DONE(compile(where, &usual, &pattern->code));
    if (usual.length != exact.length || memcmp(usual.data, exact.data, usual.length) != 0)
        TRY_DONE(compile(where, &exact, &pattern->exact));
    pattern->limits = pcre2_match_context_create(NULL);
    if (!pattern->limits) {
        status = fail_memory(0, "a regular expression");
        goto done;
    }
    pcre2_set_match_limit(pattern->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(pattern->limits, DEPTH_LIMIT);
    pcre2_set_heap_limit(pattern->limits, HEAP_LIMIT_KIB);
    status = OK;
done:
    bytes_fini(&usual);
    bytes_fini(&exact);
    return status;
}

enum status pattern_regex(const char *where, const char *regex, size_t length, struct pattern **out)
{
    assert(where && (regex || length == 0) && out);
    *out = NULL;
    if (length == 0) { // found around every character
        regex = "(?:)";
        length = 4;
    }
    if (length > PATTERN_BYTES_MAX)
        return fail(ERR_INPUT, "%s: the regular expression has %zu bytes; at most %d are allowed",
                    where, length, PATTERN_BYTES_MAX);
    struct pattern *pattern;
    TRY(pattern_new(where, &pattern));
    enum status status = compile_both(pattern, where, regex, length);
    if (status == OK)
        *out = pattern;
    else
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
    // An empty text is found where an empty expression is.
    return text && length > 0 ? pattern_literal(place, data, length, out)
                              : pattern_regex(place, data, length, out);
}

void pattern_free(struct pattern *pattern)
{
    if (!pattern)
        return;
    pcre2_code_free(pattern->code);
    pcre2_code_free(pattern->exact);
    pcre2_match_context_free(pattern->limits);
    free(pattern->literal);
    free(pattern);
}

// ---- searching ----

enum status pattern_walk_init(struct pattern_walk *walk, const struct pattern *pattern)
{
    assert(walk && pattern);
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
    assert(walk && walk->pattern && (text || length == 0));
    walk->text = text;
    walk->length = length;
    walk->from = 0;
    walk->last_end = SIZE_MAX;
    const struct pattern *pattern = walk->pattern;
    walk->exact = pattern->exact && regex_class_has_young(text, length);
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
    const pcre2_code *code = walk->exact ? pattern->exact : pattern->code;
    int n = pcre2_match(code, (PCRE2_SPTR)walk->text, walk->length, walk->from, options,
                        walk->scratch, pattern->limits);
    if (n == PCRE2_ERROR_JIT_STACKLIMIT)
        n = pcre2_match(code, (PCRE2_SPTR)walk->text, walk->length, walk->from,
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
    assert(walk && walk->pattern && found);
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
