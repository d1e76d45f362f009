#include "text/pre_tokenizer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/normalizer.h"
#include "text/pattern.h"
#include "text/splits.h"
#include "text/unicode.h"
#include "text/unicode_tables.h"

enum step_kind {
    STEP_BYTE_LEVEL,
    STEP_SPLIT,
    STEP_METASPACE,
    STEP_CHARACTERS,
    STEP_WORDS,
    STEP_LENGTH,
    STEP_SCRIPTS
};

// What becomes of the pieces that match.
enum behavior { ISOLATED, REMOVED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS };

struct pre_tokenizer_step {
    enum step_kind kind;
    enum behavior behavior;
    struct pattern *pattern;        // STEP_SPLIT; STEP_BYTE_LEVEL unless use_regex is false
    bool invert;                    // STEP_SPLIT
    bool add_prefix_space;          // STEP_BYTE_LEVEL
    struct metaspace metaspace;     // STEP_METASPACE
    bool (*matches)(uint32_t code); // STEP_CHARACTERS; NULL: `delimiter` alone does
    uint32_t delimiter;             // STEP_CHARACTERS
    size_t characters;              // STEP_LENGTH: in each piece, but the last
};

void pre_tokenizer_init(struct pre_tokenizer *pre)
{
    *pre = (struct pre_tokenizer){0};
}

void pre_tokenizer_fini(struct pre_tokenizer *pre)
{
    for (size_t i = 0; i < pre->n; i++)
        pattern_free(pre->steps[i].pattern);
    free(pre->steps);
    pre_tokenizer_init(pre);
}

// ---- reading ----

static enum status parse_behavior(const json_t *object, const char *where, enum behavior *out,
                                  bool *found)
{
    static const char *const names[] = {[ISOLATED] = "Isolated",
                                        [REMOVED] = "Removed",
                                        [MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
                                        [MERGED_WITH_NEXT] = "MergedWithNext",
                                        [CONTIGUOUS] = "Contiguous"};
    const char *name = NULL;
    TRY(json_get_text(object, where, "behavior", &name, found));
    if (!name)
        return OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum behavior)i;
            return OK;
        }
    }
    return fail(ERR_INPUT,
                "%s: key \"behavior\" is \"%.60s\"; expected Isolated, Removed, "
                "MergedWithPrevious, MergedWithNext "
                "or Contiguous",
                where, name);
}

static enum status parse_split(const json_t *object, const char *where,
                               struct pre_tokenizer_step *step)
{
    step->kind = STEP_SPLIT;
    TRY(parse_behavior(object, where, &step->behavior, NULL));
    TRY(json_get_bool(object, where, "invert", &step->invert, NULL));
    return pattern_parse(object, where, "pattern", &step->pattern);
}

static enum status parse_byte_level(const json_t *object, const char *where,
                                    struct pre_tokenizer_step *step)
{
    // GPT-2's own expression
    static const char words[] =
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    bool use_regex = true, found;
    step->kind = STEP_BYTE_LEVEL;
    TRY(json_get_bool(object, where, "add_prefix_space", &step->add_prefix_space, NULL));
    TRY(json_get_bool(object, where, "use_regex", &use_regex, &found));
    return use_regex ? pattern_regex(where, words, sizeof words - 1, &step->pattern) : OK;
}

enum status metaspace_parse(const json_t *object, const char *where, struct metaspace *out)
{
    static const char *const schemes[] = {
        [PREPEND_ALWAYS] = "always", [PREPEND_FIRST] = "first", [PREPEND_NEVER] = "never"};
    const char *text, *scheme = "always";
    bool add_prefix_space = true, found;
    uint32_t code;
    size_t length, bytes = 0;
    TRY(json_get_string(object, where, "replacement", &text, &length, NULL));
    if (length > 0)
        utf8_next(text, length, &code, &bytes);
    if (length == 0 || bytes != length)
        return fail(ERR_INPUT, "%s: key \"replacement\" is \"%.60s\"; expected one character",
                    where, text);
    *out = (struct metaspace){.length = length, .split = true};
    memcpy(out->replacement, text, length);
    TRY(json_get_bool(object, where, "split", &out->split, &found));
    TRY(json_get_bool(object, where, "add_prefix_space", &add_prefix_space, &found));
    TRY(json_get_text(object, where, "prepend_scheme", &scheme, &found));
    size_t i = 0, n = sizeof schemes / sizeof *schemes;
    while (i < n && strcmp(scheme, schemes[i]) != 0)
        i++;
    if (i == n)
        return fail(ERR_INPUT,
                    "%s: key \"prepend_scheme\" is \"%.60s\"; expected always, first or never",
                    where, scheme);
    out->prepend = (enum metaspace_prepend)i;
    if (!add_prefix_space && found && out->prepend != PREPEND_NEVER)
        return fail(ERR_INPUT,
                    "%s: key \"add_prefix_space\" is false and \"prepend_scheme\" is \"%s\"; "
                    "expected \"never\"",
                    where, scheme);
    if (!add_prefix_space)
        out->prepend = PREPEND_NEVER;
    return OK;
}

static enum status parse_digits(const json_t *object, const char *where,
                                struct pre_tokenizer_step *step)
{
    bool individual = false;
    step->kind = STEP_CHARACTERS;
    step->matches = unicode_is_number;
    TRY(json_get_bool(object, where, "individual_digits", &individual, NULL));
    step->behavior = individual ? ISOLATED : CONTIGUOUS;
    return OK;
}

static enum status parse_delimiter(const json_t *object, const char *where,
                                   struct pre_tokenizer_step *step)
{
    const char *text;
    size_t length, bytes = 0;
    step->kind = STEP_CHARACTERS;
    step->behavior = REMOVED;
    TRY(json_get_string(object, where, "delimiter", &text, &length, NULL));
    if (length > 0)
        utf8_next(text, length, &step->delimiter, &bytes);
    if (length == 0 || bytes != length)
        return fail(ERR_INPUT, "%s: key \"delimiter\" is \"%.60s\"; expected one character", where,
                    text);
    return OK;
}

static enum status parse_length(const json_t *object, const char *where,
                                struct pre_tokenizer_step *step)
{
    int64_t length = 5; // what tokenizers takes where the key is absent
    bool found;
    step->kind = STEP_LENGTH;
    step->behavior = ISOLATED;
    TRY(json_get_int(object, where, "length", 1, INT32_MAX, &length, &found));
    step->characters = (size_t)length;
    return OK;
}

// Those without keys; false when `type` is none of them.
static bool plain_cut(const char *type, struct pre_tokenizer_step *step)
{
    *step = (struct pre_tokenizer_step){.kind = STEP_WORDS, .behavior = REMOVED};
    if (strcmp(type, "Whitespace") == 0)
        return true;
    step->kind = STEP_CHARACTERS;
    step->matches = unicode_is_space;
    if (strcmp(type, "WhitespaceSplit") == 0)
        return true;
    *step = (struct pre_tokenizer_step){.kind = STEP_SCRIPTS, .behavior = REMOVED};
    return strcmp(type, "UnicodeScripts") == 0;
}

static enum status parse_pre_tokenizer_step(const json_t *object, const char *where,
                                            const char *type, struct pre_tokenizer_step *step)
{
    bool found;
    if (strcmp(type, "ByteLevel") == 0)
        return parse_byte_level(object, where, step);
    if (strcmp(type, "Split") == 0)
        return parse_split(object, where, step);
    if (strcmp(type, "Metaspace") == 0) {
        step->kind = STEP_METASPACE;
        step->behavior = MERGED_WITH_NEXT;
        return metaspace_parse(object, where, &step->metaspace);
    }
    if (strcmp(type, "Digits") == 0)
        return parse_digits(object, where, step);
    if (strcmp(type, "CharDelimiterSplit") == 0)
        return parse_delimiter(object, where, step);
    if (strcmp(type, "FixedLength") == 0)
        return parse_length(object, where, step);
    if (strcmp(type, "Punctuation") == 0) {
        *step =
            (struct pre_tokenizer_step){.kind = STEP_CHARACTERS, .matches = unicode_is_punctuation};
        return parse_behavior(object, where, &step->behavior, &found);
    }
    if (plain_cut(type, step))
        return OK;
    return fail(ERR_UNSUPPORTED,
                "%s: key \"type\" is \"%.60s\"; expected Sequence, ByteLevel, Split, Metaspace, "
                "Digits, Punctuation, Whitespace, WhitespaceSplit, BertPreTokenizer, "
                "CharDelimiterSplit, FixedLength or UnicodeScripts",
                where, type);
}

static enum status add_cut_step(struct pre_tokenizer *pre, const char *where,
                                struct pre_tokenizer_step **out)
{
    if (pre->n >= TOKENIZER_STEPS_MAX)
        return fail(ERR_INPUT, "%s: has too many steps; at most %d are allowed", where,
                    TOKENIZER_STEPS_MAX);
    TRY(memory_grow(&pre->steps, &pre->capacity, pre->n + 1, sizeof *pre->steps,
                    "a pre-tokenizer"));
    *out = &pre->steps[pre->n++];
    **out = (struct pre_tokenizer_step){0};
    return OK;
}

// Two steps: white space goes, each mark of punctuation is a word.
static enum status add_bert(struct pre_tokenizer *pre, const char *where)
{
    struct pre_tokenizer_step *step;
    TRY(add_cut_step(pre, where, &step));
    *step = (struct pre_tokenizer_step){
        .kind = STEP_CHARACTERS, .behavior = REMOVED, .matches = unicode_is_space};
    TRY(add_cut_step(pre, where, &step));
    *step = (struct pre_tokenizer_step){
        .kind = STEP_CHARACTERS, .behavior = ISOLATED, .matches = unicode_is_punctuation};
    return OK;
}

static enum status parse_pre_tokenizer(const json_t *object, const char *where,
                                       struct pre_tokenizer *pre)
{
    const char *type;
    TRY(json_get_text(object, where, "type", &type, NULL));
    if (strcmp(type, "BertPreTokenizer") == 0)
        return add_bert(pre, where);
    if (strcmp(type, "Sequence") != 0) {
        struct pre_tokenizer_step *step;
        TRY(add_cut_step(pre, where, &step));
        return parse_pre_tokenizer_step(object, where, type, step);
    }
    json_t *list, *item;
    size_t i;
    TRY(json_get_array(object, where, "pretokenizers", &list, NULL));
    json_array_foreach(list, i, item) TRY(parse_pre_tokenizer(item, where, pre));
    return OK;
}

enum status pre_tokenizer_parse(const json_t *root, const char *where, struct pre_tokenizer *pre)
{
    assert(root && where && pre);
    json_t *object;
    bool found;
    char place[512];
    snprintf(place, sizeof place, "%.400s: pre_tokenizer", where);
    TRY(json_get_object(root, where, "pre_tokenizer", &object, &found));
    return found ? parse_pre_tokenizer(object, place, pre) : OK;
}

// ---- cutting ----

struct piece {
    uint32_t begin, end;
    bool match;
};

struct cutter {
    struct piece *pieces; // cover the text without gaps
    size_t n, capacity;
    struct bytes text; // the part at hand, where a step changes it
    struct pattern_walk walk;
};

static enum status add_split_piece(struct cutter *cutter, size_t begin, size_t end, bool match)
{
    assert(cutter->n <= cutter->capacity && begin <= end && end <= UINT32_MAX);
    if (cutter->n == cutter->capacity)
        TRY(memory_grow(&cutter->pieces, &cutter->capacity, cutter->n + 1, sizeof *cutter->pieces,
                        "words"));
    cutter->pieces[cutter->n++] = (struct piece){(uint32_t)begin, (uint32_t)end, match};
    return OK;
}

static enum status find_by_pattern(struct cutter *cutter, const char *text, size_t length,
                                   bool invert)
{
    size_t before = 0;
    enum status status;
    cutter->n = 0;
    pattern_walk_begin(&cutter->walk, text, length);
    for (bool found; (status = pattern_walk_next(&cutter->walk, &found)) == OK && found;) {
        size_t begin = cutter->walk.begin, end = cutter->walk.end;
        if (before != begin)
            TRY(add_split_piece(cutter, before, begin, invert));
        TRY(add_split_piece(cutter, begin, end, !invert));
        before = end;
    }
    TRY(status);
    return before != length ? add_split_piece(cutter, before, length, invert) : OK;
}

static enum status find_by_character(struct cutter *cutter, const char *text, size_t length,
                                     const struct pre_tokenizer_step *step)
{
    const struct metaspace *m = &step->metaspace;
    size_t before = 0, bytes;
    cutter->n = 0;
    for (size_t i = 0; i < length; i += bytes) {
        uint32_t code;
        utf8_next(text + i, length - i, &code, &bytes);
        bool match = step->kind == STEP_METASPACE
                         ? bytes == m->length && memcmp(text + i, m->replacement, bytes) == 0
                     : step->matches ? step->matches(code)
                                     : code == step->delimiter;
        if (!match)
            continue;
        if (before < i)
            TRY(add_split_piece(cutter, before, i, false));
        TRY(add_split_piece(cutter, i, i + bytes, true));
        before = i + bytes;
    }
    return before < length ? add_split_piece(cutter, before, length, false) : OK;
}

// `\w+|[^\w\s]+`: runs of one class of characters; white space counts as a match.
static enum status find_words(struct cutter *cutter, const char *text, size_t length)
{
    enum { BLANK, WORD, MARK } class, before = BLANK;
    size_t begin = 0, bytes;
    cutter->n = 0;
    for (size_t i = 0; i < length; i += bytes) {
        uint32_t code;
        utf8_next(text + i, length - i, &code, &bytes);
        class = unicode_is_space(code) ? BLANK : unicode_is_word(code) ? WORD : MARK;
        if (class != before && begin < i) {
            TRY(add_split_piece(cutter, begin, i, before == BLANK));
            begin = i;
        }
        before = class;
    }
    return begin < length ? add_split_piece(cutter, begin, length, before == BLANK) : OK;
}

static enum status find_lengths(struct cutter *cutter, const char *text, size_t length,
                                size_t characters)
{
    size_t begin = 0, n = 0, bytes;
    assert(characters > 0);
    cutter->n = 0;
    for (size_t i = 0; i < length; i += bytes) {
        uint32_t code;
        if (n == characters) {
            TRY(add_split_piece(cutter, begin, i, true));
            begin = i;
            n = 0;
        }
        utf8_next(text + i, length - i, &code, &bytes);
        n++;
    }
    return begin < length ? add_split_piece(cutter, begin, length, true) : OK;
}

// A cut wherever the script changes. Characters of any script go with those before them; in front
// of all others they are lost, as in `tokenizers`.
static enum status find_scripts(struct cutter *cutter, const char *text, size_t length)
{
    size_t begin = 0, bytes;
    uint32_t code, script, before = 0;
    cutter->n = 0;
    for (size_t i = 0; i < length; i += bytes) {
        utf8_next(text + i, length - i, &code, &bytes);
        script = unicode_class_of(unicode_scripts, n_unicode_scripts, code);
        if (script == 0 || script == before)
            continue;
        if (i > begin)
            TRY(add_split_piece(cutter, begin, i, before == 0));
        begin = i;
        before = script;
    }
    return begin < length ? add_split_piece(cutter, begin, length, before == 0) : OK;
}

// Joins pieces as the behaviour says; the pieces left are the words, in place.
static void join_pieces(struct cutter *cutter, enum behavior behavior)
{
    struct piece *p = cutter->pieces;
    size_t n = 0;
    bool before = false;
    switch (behavior) {
    case ISOLATED:
        return;
    case REMOVED:
        for (size_t i = 0; i < cutter->n; i++)
            if (!p[i].match)
                p[n++] = p[i];
        break;
    case CONTIGUOUS:
    case MERGED_WITH_PREVIOUS:
        for (size_t i = 0; i < cutter->n; i++) {
            bool match = p[i].match;
            bool join = behavior == CONTIGUOUS ? match == before : match && !before;
            if (join && n > 0)
                p[n - 1].end = p[i].end;
            else
                p[n++] = p[i];
            before = match;
        }
        break;
    case MERGED_WITH_NEXT: // from the end, then to the front
        n = cutter->n;
        for (size_t i = cutter->n; i-- > 0;) {
            bool match = p[i].match;
            if (match && !before && n < cutter->n)
                p[n].begin = p[i].begin;
            else
                p[--n] = p[i];
            before = match;
        }
        memmove(p, p + n, (cutter->n - n) * sizeof *p);
        n = cutter->n - n;
        break;
    }
    cutter->n = n;
}

static enum status write_words(const struct cutter *cutter, const char *text, bool letters,
                               size_t start, struct splits *out)
{
    for (size_t i = 0; i < cutter->n; i++) {
        const struct piece *p = &cutter->pieces[i];
        size_t from_start = splits_start_of(start, p->begin, p->end);
        if (!letters) {
            TRY(splits_add_text(out, text + p->begin, p->end - p->begin, -1, from_start));
            continue;
        }
        size_t before = out->text.length;
        TRY(byte_letters_append(&out->text, text + p->begin, from_start));
        size_t letters_from_start = out->text.length - before;
        TRY(byte_letters_append(&out->text, text + p->begin + from_start,
                                p->end - p->begin - from_start));
        TRY(splits_add(out, -1, letters_from_start));
    }
    return OK;
}

static enum status split_byte_level(struct cutter *cutter, const struct pre_tokenizer_step *step,
                                    const char *text, size_t length, size_t start,
                                    struct splits *out)
{
    if (step->add_prefix_space && text[0] != ' ') {
        bytes_clear(&cutter->text);
        TRY(bytes_append(&cutter->text, " ", 1));
        TRY(bytes_append(&cutter->text, text, length));
        text = cutter->text.data;
        length++;
        start += start > 0;
    }
    if (step->pattern) {
        TRY(find_by_pattern(cutter, text, length, false));
    } else {
        cutter->n = 0;
        TRY(add_split_piece(cutter, 0, length, true));
    }
    return write_words(cutter, text, true, start, out);
}

static enum status split_metaspace(struct cutter *cutter, const struct pre_tokenizer_step *step,
                                   const char *text, size_t length, size_t start,
                                   struct splits *out)
{
    const struct metaspace *m = &step->metaspace;
    bool there =
        text[0] == ' ' || (length >= m->length && memcmp(text, m->replacement, m->length) == 0);
    bytes_clear(&cutter->text);
    if (!there && (m->prepend == PREPEND_ALWAYS || (m->prepend == PREPEND_FIRST && start > 0)))
        TRY(bytes_append(&cutter->text, m->replacement, m->length));
    size_t from_start = start > 0 ? cutter->text.length + start : 0;
    for (size_t i = 0; i < start; i++)
        from_start += text[i] == ' ' ? m->length - 1 : 0;
    for (size_t i = 0; i < length;) {
        const char *blank = memchr(text + i, ' ', length - i);
        size_t end = blank ? (size_t)(blank - text) : length;
        TRY(bytes_append(&cutter->text, text + i, end - i));
        if (blank)
            TRY(bytes_append(&cutter->text, m->replacement, m->length));
        i = end + 1;
    }
    cutter->n = 0;
    if (m->split) {
        TRY(find_by_character(cutter, cutter->text.data, cutter->text.length, step));
        join_pieces(cutter, step->behavior);
    } else {
        TRY(add_split_piece(cutter, 0, cutter->text.length, true));
    }
    return write_words(cutter, cutter->text.data, false, from_start, out);
}

static enum status cut_split(struct cutter *cutter, const struct pre_tokenizer_step *step,
                             const char *text, size_t length, size_t start, struct splits *out)
{
    assert(length > 0);
    switch (step->kind) {
    case STEP_BYTE_LEVEL:
        return split_byte_level(cutter, step, text, length, start, out);
    case STEP_METASPACE:
        return split_metaspace(cutter, step, text, length, start, out);
    case STEP_SPLIT:
        TRY(find_by_pattern(cutter, text, length, step->invert));
        break;
    case STEP_CHARACTERS:
        TRY(find_by_character(cutter, text, length, step));
        break;
    case STEP_WORDS:
        TRY(find_words(cutter, text, length));
        break;
    case STEP_LENGTH:
        TRY(find_lengths(cutter, text, length, step->characters));
        break;
    case STEP_SCRIPTS:
        TRY(find_scripts(cutter, text, length));
        break;
    }
    join_pieces(cutter, step->behavior);
    return write_words(cutter, text, false, start, out);
}

static enum status pre_tokenizer_apply_step(const struct pre_tokenizer_step *step,
                                            struct cutter *cutter, const struct splits *in,
                                            struct splits *out)
{
    assert(step && in && out && in != out);
    if (step->pattern)
        TRY(pattern_walk_init(&cutter->walk, step->pattern));
    enum status status = OK;
    splits_clear(out);
    for (size_t i = 0; i < in->n && status == OK; i++) {
        const struct split *s = &in->items[i];
        const char *text = in->text.data + s->begin;
        size_t length = s->end - s->begin;
        status = s->id >= 0 ? splits_add_text(out, text, length, s->id, s->start)
                            : cut_split(cutter, step, text, length, s->start, out);
    }
    pattern_walk_fini(&cutter->walk);
    return status;
}

enum status pre_tokenizer_apply(const struct pre_tokenizer *pre, struct splits *splits)
{
    assert(pre && splits);
    struct splits next;
    struct cutter cutter = {0};
    splits_init(&next);
    bytes_init(&cutter.text);
    enum status status = OK;
    for (size_t i = 0; i < pre->n; i++) {
        TRY_DONE(pre_tokenizer_apply_step(&pre->steps[i], &cutter, splits, &next));
        struct splits swap = *splits;
        *splits = next;
        next = swap;
    }
done:
    splits_fini(&next);
    bytes_fini(&cutter.text);
    free(cutter.pieces);
    return status;
}
