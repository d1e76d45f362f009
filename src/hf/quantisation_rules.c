#include "hf/quantisation_rules.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { MATCH_LIMIT = 100000, DEPTH_LIMIT = 10000, HEAP_LIMIT_KIB = 4096 };

// As Python's re.match: from the start of the name, the end open.
static enum status compile_target(const char *where, const char *text, void **out)
{
    int error;
    PCRE2_SIZE offset;
    const size_t length = strlen(text);
    if (length > QUANT_PATTERN_BYTES_MAX)
        return fail(ERR_INPUT,
                    "%s: a regular expression has %zu bytes; expected at most %d: \"%.60s...\"",
                    where, length, QUANT_PATTERN_BYTES_MAX, text);
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)text, length,
                      PCRE2_ANCHORED | PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &offset, NULL);
    if (!code) {
        PCRE2_UCHAR reason[128] = "";
        pcre2_get_error_message(error, reason, sizeof reason);
        return fail(ERR_UNSUPPORTED,
                    "%s: the regular expression \"%.200s\" cannot be used: %s; expected one "
                    "without it",
                    where, text, (const char *)reason);
    }
    *out = code;
    return OK;
}

// What takes too long does not match.
static bool is_matched(const void *code, const char *module)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    int n = PCRE2_ERROR_NOMEMORY;
    if (data && limits) {
        pcre2_set_match_limit(limits, MATCH_LIMIT);
        pcre2_set_depth_limit(limits, DEPTH_LIMIT);
        pcre2_set_heap_limit(limits, HEAP_LIMIT_KIB);
        n = pcre2_match(code, (PCRE2_SPTR)module, strlen(module), 0, 0, data, limits);
    }
    pcre2_match_context_free(limits);
    pcre2_match_data_free(data);
    return n >= 0;
}

enum status quant_add_rule(struct quantisation *q, enum quant_target kind, const char *text,
                           const struct quant_scheme *scheme, bool is_left_alone)
{
    static const char mark[] = "re:";
    struct quant_rule rule = {.kind = kind, .scheme = *scheme, .is_left_alone = is_left_alone};
    char *copy;
    if (q->n_rules == QUANT_RULES_MAX)
        return fail(ERR_INPUT, "%s: names more than %d modules and patterns; expected fewer",
                    q->where, QUANT_RULES_MAX);
    if (kind == TARGET_NAME && strncmp(text, mark, sizeof mark - 1) == 0) {
        rule.kind = TARGET_REGEX;
        text += sizeof mark - 1;
    }
    TRY(arena_text(&q->arena, text, strlen(text), &copy));
    rule.text = copy;
    TRY(memory_grow(&q->rules, &q->capacity, q->n_rules + 1, sizeof *q->rules,
                    "rules of quantised modules"));
    if (rule.kind == TARGET_REGEX)
        TRY(compile_target(q->where, copy, &rule.code));
    q->rules[q->n_rules++] = rule;
    return OK;
}

void quant_free_rules(struct quantisation *q)
{
    for (size_t i = 0; i < q->n_rules; i++)
        pcre2_code_free(q->rules[i].code);
    free(q->rules);
}

static const char *class_of_module(const char *module)
{
    const size_t length = strlen(module);
    static const char embed[] = "embed_tokens";
    return length >= sizeof embed - 1 && strcmp(module + length - (sizeof embed - 1), embed) == 0
               ? "Embedding"
               : "Linear";
}

const struct quant_rule *quant_find_rule(const struct quantisation *q, const char *module)
{
    assert(q && module);
    for (size_t i = 0; i < q->n_rules; i++)
        if (q->rules[i].kind == TARGET_NAME && strcmp(q->rules[i].text, module) == 0)
            return &q->rules[i];
    for (size_t i = 0; i < q->n_rules; i++)
        if (q->rules[i].kind == TARGET_REGEX && is_matched(q->rules[i].code, module))
            return &q->rules[i];
    for (size_t i = 0; i < q->n_rules; i++)
        if (q->rules[i].kind == TARGET_CLASS &&
            strcmp(q->rules[i].text, class_of_module(module)) == 0)
            return &q->rules[i];
    return NULL;
}

enum status quant_read_flag(const json_t *object, const char *where, const char *key, bool *out)
{
    bool found;
    return json_get_bool(object, where, key, out, &found);
}

enum status quant_read_number(const json_t *object, const char *where, const char *key,
                              int64_t least, int64_t most, int32_t *out)
{
    int64_t value = *out;
    bool found;
    TRY(json_get_int(object, where, key, least, most, &value, &found));
    *out = (int32_t)value;
    return OK;
}

enum status quant_read_text(const json_t *object, const char *where, const char *key,
                            const char **out)
{
    bool found;
    *out = "";
    TRY(json_get_text(object, where, key, out, &found));
    if (!found)
        *out = "";
    return OK;
}
