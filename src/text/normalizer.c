#include "text/normalizer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/character_filters.h"
#include "text/pattern.h"
#include "text/precompiled_charsmap.h"
#include "text/splits.h"
#include "text/unicode.h"

enum step_kind {
    STEP_FORM,
    STEP_LOWERCASE,
    STEP_STRIP,
    STEP_PREPEND,
    STEP_REPLACE,
    STEP_BYTE_LEVEL,
    STEP_ACCENTS,
    STEP_NMT,
    STEP_BERT,
    STEP_CHARSMAP
};

struct normalizer_step {
    enum step_kind kind;
    enum unicode_form form;
    bool left, right;        // STEP_STRIP
    struct bytes text;       // STEP_PREPEND, STEP_REPLACE
    struct pattern *pattern; // STEP_REPLACE
    struct bert_normalizer bert;
    struct precompiled_charsmap charsmap;
};

void normalizer_init(struct normalizer *normalizer)
{
    *normalizer = (struct normalizer){0};
}

void normalizer_fini(struct normalizer *normalizer)
{
    for (size_t i = 0; i < normalizer->n; i++) {
        bytes_fini(&normalizer->steps[i].text);
        pattern_free(normalizer->steps[i].pattern);
        precompiled_charsmap_fini(&normalizer->steps[i].charsmap);
    }
    free(normalizer->steps);
    normalizer_init(normalizer);
}

// ---- reading ----

static enum status add_step(struct normalizer *normalizer, const char *where,
                            struct normalizer_step **out)
{
    if (normalizer->n >= TOKENIZER_STEPS_MAX)
        return fail(ERR_INPUT, "%s: has too many steps; at most %d are allowed", where,
                    TOKENIZER_STEPS_MAX);
    TRY(memory_grow(&normalizer->steps, &normalizer->capacity, normalizer->n + 1, sizeof **out,
                    "a normalizer"));
    *out = &normalizer->steps[normalizer->n++];
    **out = (struct normalizer_step){0};
    return OK;
}

static enum status copy_normalized(const json_t *object, const char *where, const char *key,
                                   struct bytes *out)
{
    const char *text;
    size_t length;
    TRY(json_get_string(object, where, key, &text, &length, NULL));
    return bytes_append(out, text, length);
}

static enum status parse_normalizer_strip(const json_t *object, const char *where,
                                          struct normalizer_step *step)
{
    step->kind = STEP_STRIP;
    TRY(json_get_bool(object, where, "strip_left", &step->left, NULL));
    return json_get_bool(object, where, "strip_right", &step->right, NULL);
}

static enum status parse_bert(const json_t *object, const char *where, struct normalizer_step *step)
{
    struct bert_normalizer *bert = &step->bert;
    bool found;
    step->kind = STEP_BERT;
    TRY(json_get_bool(object, where, "clean_text", &bert->clean_text, NULL));
    TRY(json_get_bool(object, where, "handle_chinese_chars", &bert->handle_chinese_chars, NULL));
    TRY(json_get_bool(object, where, "lowercase", &bert->lowercase, NULL));
    bert->strip_accents = bert->lowercase; // what null stands for
    return json_get_bool(object, where, "strip_accents", &bert->strip_accents, &found);
}

static enum status parse_charsmap(const json_t *object, const char *where,
                                  struct normalizer_step *step)
{
    const char *text;
    size_t length;
    step->kind = STEP_CHARSMAP;
    TRY(json_get_string(object, where, "precompiled_charsmap", &text, &length, NULL));
    return precompiled_charsmap_decode(&step->charsmap, where, text, length);
}

// Those without keys; false when `type` is none of them.
static bool plain_step(const char *type, struct normalizer_step *step)
{
    static const struct {
        const char *type;
        enum step_kind kind;
        enum unicode_form form;
    } types[] = {{"NFC", STEP_FORM, UNICODE_NFC},   {"NFD", STEP_FORM, UNICODE_NFD},
                 {"NFKC", STEP_FORM, UNICODE_NFKC}, {"NFKD", STEP_FORM, UNICODE_NFKD},
                 {"Lowercase", STEP_LOWERCASE, 0},  {"ByteLevel", STEP_BYTE_LEVEL, 0},
                 {"StripAccents", STEP_ACCENTS, 0}, {"Nmt", STEP_NMT, 0}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(type, types[i].type) == 0) {
            step->kind = types[i].kind;
            step->form = types[i].form;
            return true;
        }
    }
    return false;
}

static enum status parse_normalizer_step(const json_t *object, const char *where, const char *type,
                                         struct normalizer *n)
{
    struct normalizer_step *step = NULL;
    TRY(add_step(n, where, &step));
    if (plain_step(type, step))
        return OK;
    if (strcmp(type, "Strip") == 0)
        return parse_normalizer_strip(object, where, step);
    if (strcmp(type, "Prepend") == 0) {
        step->kind = STEP_PREPEND;
        return copy_normalized(object, where, "prepend", &step->text);
    }
    if (strcmp(type, "Replace") == 0) {
        step->kind = STEP_REPLACE;
        TRY(copy_normalized(object, where, "content", &step->text));
        return pattern_parse(object, where, "pattern", &step->pattern);
    }
    if (strcmp(type, "BertNormalizer") == 0)
        return parse_bert(object, where, step);
    if (strcmp(type, "Precompiled") == 0)
        return parse_charsmap(object, where, step);
    return fail(ERR_UNSUPPORTED,
                "%s: key \"type\" is \"%.60s\"; expected Sequence, NFC, NFD, NFKC, NFKD, "
                "Lowercase, Strip, StripAccents, Prepend, Replace, ByteLevel, Nmt, BertNormalizer "
                "or Precompiled",
                where, type);
}

static enum status parse_normalizer(const json_t *object, const char *where,
                                    struct normalizer *normalizer)
{
    const char *type;
    TRY(json_get_text(object, where, "type", &type, NULL));
    if (strcmp(type, "Sequence") != 0)
        return parse_normalizer_step(object, where, type, normalizer);
    json_t *list, *item;
    size_t i;
    TRY(json_get_array(object, where, "normalizers", &list, NULL));
    json_array_foreach(list, i, item) TRY(parse_normalizer(item, where, normalizer));
    return OK;
}

enum status normalizer_parse(const json_t *root, const char *where, struct normalizer *normalizer)
{
    json_t *object;
    bool found;
    char place[512];
    snprintf(place, sizeof place, "%.400s: normalizer", where);
    TRY(json_get_object(root, where, "normalizer", &object, &found));
    return found ? parse_normalizer(object, place, normalizer) : OK;
}

// ---- applying ----

// A replacement comes from where the last byte that it replaces does, an insertion from where the
// byte before it does.
static enum status normalize_replace(const struct normalizer_step *step, const char *text,
                                     size_t length, size_t *start, struct bytes *out)
{
    struct pattern_walk walk;
    TRY(pattern_walk_init(&walk, step->pattern));
    pattern_walk_begin(&walk, text, length);
    enum status status;
    size_t written = 0, from_start = 0;
    for (bool found; (status = pattern_walk_next(&walk, &found)) == OK && found;
         written = walk.end) {
        TRY_DONE(bytes_append(out, text + written, walk.begin - written));
        TRY_DONE(bytes_append(out, step->text.data, step->text.length));
        if (*start > written)
            from_start += (*start < walk.begin ? *start : walk.begin) - written;
        if (walk.end == 0 || walk.end - 1 < *start)
            from_start += step->text.length;
        if (out->length > TEXT_BYTES_MAX) {
            status =
                fail(ERR_INPUT, "the text grows beyond %zu bytes in the tokenizer", TEXT_BYTES_MAX);
            goto done;
        }
    }
    TRY_DONE(status);
    if (*start > written)
        from_start += *start - written;
    *start = from_start;
    status = bytes_append(out, text + written, length - written);
done:
    pattern_walk_fini(&walk);
    return status;
}

static enum status normalize_strip(const struct normalizer_step *step, const char *text,
                                   size_t length, size_t *start, struct bytes *out)
{
    uint32_t code;
    size_t bytes;
    while (step->left && length > 0) {
        utf8_next(text, length, &code, &bytes);
        if (!unicode_is_space(code))
            break;
        text += bytes;
        length -= bytes;
        *start -= *start < bytes ? *start : bytes;
    }
    while (step->right && length > 0) {
        bytes = utf8_last(text, length, &code);
        if (!unicode_is_space(code))
            break;
        length -= bytes;
    }
    return bytes_append(out, text, length);
}

static enum status normalize_prepend(const struct normalizer_step *step, const char *text,
                                     size_t length, size_t *start, struct bytes *out)
{
    if (length > 0)
        TRY(bytes_append(out, step->text.data, step->text.length));
    *start += *start > 0 ? step->text.length : 0;
    return bytes_append(out, text, length);
}

// Steps that look at characters by themselves, or nearly so.
static enum status normalize_characters(const struct normalizer_step *step, const char *text,
                                        size_t length, struct bytes *out)
{
    switch (step->kind) {
    case STEP_FORM:
        return unicode_normalize(step->form, text, length, out);
    case STEP_LOWERCASE:
        return unicode_lowercase(text, length, out);
    case STEP_BYTE_LEVEL:
        return byte_letters_append(out, text, length);
    case STEP_ACCENTS:
        return filter_accents(text, length, out);
    case STEP_NMT:
        return filter_nmt(text, length, out);
    case STEP_BERT:
        return filter_bert(&step->bert, text, length, out);
    case STEP_STRIP:
    case STEP_PREPEND:
    case STEP_REPLACE:
    case STEP_CHARSMAP:
        break;
    }
    return fail(ERR_INTERNAL, "this normalizer step does not look at characters");
}

static enum status normalizer_apply_step(const struct normalizer_step *step, const char *text,
                                         size_t length, size_t *start, struct bytes *out)
{
    assert(*start <= length && out->length == 0);
    switch (step->kind) {
    case STEP_STRIP:
        return normalize_strip(step, text, length, start, out);
    case STEP_PREPEND:
        return normalize_prepend(step, text, length, start, out);
    case STEP_REPLACE:
        return normalize_replace(step, text, length, start, out);
    case STEP_CHARSMAP:
        return precompiled_charsmap_apply(&step->charsmap, text, length, start, out);
    case STEP_FORM:
    case STEP_LOWERCASE:
    case STEP_BYTE_LEVEL:
    case STEP_ACCENTS:
    case STEP_NMT:
    case STEP_BERT:
        break;
    }
    if (*start > 0) { // what comes of the begin alone
        TRY(normalize_characters(step, text, *start, out));
        *start = out->length;
        bytes_clear(out);
    }
    return normalize_characters(step, text, length, out);
}

enum status normalizer_apply(const struct normalizer *normalizer, const char *text, size_t length,
                             size_t *start, struct bytes *out)
{
    struct bytes now, next;
    bytes_init(&now);
    bytes_init(&next);
    enum status status = OK;
    for (size_t i = 0; i < normalizer->n; i++) {
        bytes_clear(&next);
        TRY_DONE(normalizer_apply_step(&normalizer->steps[i], text, length, start, &next));
        struct bytes swap = now;
        now = next;
        next = swap;
        text = now.length ? now.data : "";
        length = now.length;
        // The begin's own form may be longer than what it is in the whole, or end inside a
        // character there.
        if (*start > length)
            *start = length;
        while (*start < length && ((unsigned char)text[*start] & 0xC0) == 0x80)
            ++*start;
        if (length > TEXT_BYTES_MAX) {
            status =
                fail(ERR_INPUT, "the text grows beyond %zu bytes in the tokenizer", TEXT_BYTES_MAX);
            goto done;
        }
    }
    status = bytes_append(out, text, length);
done:
    bytes_fini(&now);
    bytes_fini(&next);
    return status;
}
