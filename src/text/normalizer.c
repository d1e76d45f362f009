#include "text/normalizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/pattern.h"
#include "text/splits.h"
#include "text/unicode.h"

enum step_kind {
    STEP_FORM,
    STEP_LOWERCASE,
    STEP_STRIP,
    STEP_PREPEND,
    STEP_REPLACE,
    STEP_BYTE_LEVEL
};

struct normalizer_step {
    enum step_kind kind;
    enum unicode_form form;
    bool left, right;        // STEP_STRIP
    struct bytes text;       // STEP_PREPEND, STEP_REPLACE
    struct pattern *pattern; // STEP_REPLACE
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

static enum status parse_normalizer_step(const json_t *object, const char *where, const char *type,
                                         struct normalizer *n)
{
    static const char *const forms[] = {[UNICODE_NFC] = "NFC",
                                        [UNICODE_NFD] = "NFD",
                                        [UNICODE_NFKC] = "NFKC",
                                        [UNICODE_NFKD] = "NFKD"};
    struct normalizer_step *step = NULL;
    TRY(add_step(n, where, &step));
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (strcmp(type, forms[i]) == 0) {
            step->kind = STEP_FORM;
            step->form = (enum unicode_form)i;
            return OK;
        }
    }
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
    step->kind = STEP_LOWERCASE;
    if (strcmp(type, "Lowercase") == 0)
        return OK;
    step->kind = STEP_BYTE_LEVEL;
    if (strcmp(type, "ByteLevel") == 0)
        return OK;
    return fail(ERR_UNSUPPORTED,
                "%s: key \"type\" is \"%.60s\"; expected Sequence, NFC, NFD, NFKC, NFKD, "
                "Lowercase, Strip, "
                "Prepend, Replace, ByteLevel",
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

static enum status normalize_replace(const struct normalizer_step *step, const char *text,
                                     size_t length, struct bytes *out)
{
    struct pattern_walk walk;
    TRY(pattern_walk_init(&walk, step->pattern));
    pattern_walk_begin(&walk, text, length);
    enum status status;
    size_t written = 0;
    for (bool found; (status = pattern_walk_next(&walk, &found)) == OK && found;
         written = walk.end) {
        TRY_DONE(bytes_append(out, text + written, walk.begin - written));
        TRY_DONE(bytes_append(out, step->text.data, step->text.length));
        if (out->length > TEXT_BYTES_MAX) {
            status =
                fail(ERR_INPUT, "the text grows beyond %zu bytes in the tokenizer", TEXT_BYTES_MAX);
            goto done;
        }
    }
    TRY_DONE(status);
    status = bytes_append(out, text + written, length - written);
done:
    pattern_walk_fini(&walk);
    return status;
}

static enum status normalize_strip(const struct normalizer_step *step, const char *text,
                                   size_t length, struct bytes *out)
{
    uint32_t code;
    size_t bytes;
    while (step->left && length > 0) {
        utf8_next(text, length, &code, &bytes);
        if (!unicode_is_space(code))
            break;
        text += bytes;
        length -= bytes;
    }
    while (step->right && length > 0) {
        bytes = utf8_last(text, length, &code);
        if (!unicode_is_space(code))
            break;
        length -= bytes;
    }
    return bytes_append(out, text, length);
}

static enum status normalizer_apply_step(const struct normalizer_step *step, const char *text,
                                         size_t length, struct bytes *out)
{
    switch (step->kind) {
    case STEP_FORM:
        return unicode_normalize(step->form, text, length, out);
    case STEP_LOWERCASE:
        return unicode_lowercase(text, length, out);
    case STEP_STRIP:
        return normalize_strip(step, text, length, out);
    case STEP_PREPEND:
        if (length > 0)
            TRY(bytes_append(out, step->text.data, step->text.length));
        return bytes_append(out, text, length);
    case STEP_REPLACE:
        return normalize_replace(step, text, length, out);
    case STEP_BYTE_LEVEL:
        return byte_letters_append(out, text, length);
    }
    return fail(ERR_INTERNAL, "unknown normalizer step");
}

enum status normalizer_apply(const struct normalizer *normalizer, const char *text, size_t length,
                             struct bytes *out)
{
    struct bytes now, next;
    bytes_init(&now);
    bytes_init(&next);
    enum status status = OK;
    for (size_t i = 0; i < normalizer->n; i++) {
        bytes_clear(&next);
        TRY_DONE(normalizer_apply_step(&normalizer->steps[i], text, length, &next));
        struct bytes swap = now;
        now = next;
        next = swap;
        text = now.length ? now.data : "";
        length = now.length;
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
