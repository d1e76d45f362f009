#include "text/grapheme.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/utf8.h"
#include "text/unicode_tables.h"

enum { ZWJ = 0x200D };

// What the rules need to know of the characters so far.
struct cluster {
    uint32_t code;             // the last character
    enum grapheme_class class; // its class
    bool odd_flag;             // GB12: it ends with an odd number of flag letters
    bool pictograph;           // GB11: a pictograph, and what joins it
    bool consonant, linked;    // GB9c: a consonant, and what may stand in a conjunct; a linker too
};

static enum grapheme_class grapheme_class_of(uint32_t code)
{
    if (code >= 0x20 && code < 0x7F) // most text
        return GRAPHEME_OTHER;
    return unicode_class_of(grapheme_classes, n_grapheme_classes, code);
}

static bool joins_before(enum grapheme_class class)
{
    return class >= GRAPHEME_LINKER;
}

static bool is_flag_letter(uint32_t code)
{
    return code >= 0x1F1E6 && code <= 0x1F1FF;
}

// ---- Hangul: GB6, GB7, GB8 ----

static bool is_leading(uint32_t code)
{
    return (code >= 0x1100 && code <= 0x115F) || (code >= 0xA960 && code <= 0xA97C);
}

static bool is_vowel(uint32_t code)
{
    return (code >= 0x1160 && code <= 0x11A7) || (code >= 0xD7B0 && code <= 0xD7C6);
}

static bool is_trailing(uint32_t code)
{
    return (code >= 0x11A8 && code <= 0x11FF) || (code >= 0xD7CB && code <= 0xD7FB);
}

static bool is_syllable(uint32_t code)
{
    return code >= 0xAC00 && code <= 0xD7A3;
}

static bool is_open_syllable(uint32_t code)
{
    return is_syllable(code) && (code - 0xAC00) % 28 == 0;
}

static bool joins_hangul(uint32_t before, uint32_t code)
{
    if (is_leading(before))
        return is_leading(code) || is_vowel(code) || is_syllable(code);
    if (is_vowel(before) || is_open_syllable(before))
        return is_vowel(code) || is_trailing(code);
    return (is_trailing(before) || is_syllable(before)) && is_trailing(code);
}

// ---- all rules, in their order ----

static bool joins_cluster(const struct cluster *c, uint32_t code, enum grapheme_class class)
{
    if (c->code == '\r' && code == '\n')
        return true;
    if (c->class == GRAPHEME_CONTROL || class == GRAPHEME_CONTROL)
        return false;
    if (joins_before(class) || c->class == GRAPHEME_PREPEND || joins_hangul(c->code, code))
        return true;
    if (c->consonant && c->linked && class == GRAPHEME_CONSONANT)
        return true;
    if (c->pictograph && c->code == ZWJ && class == GRAPHEME_PICTOGRAPH)
        return true;
    return c->odd_flag && is_flag_letter(code);
}

static void add_to_cluster(struct cluster *c, uint32_t code, enum grapheme_class class)
{
    c->odd_flag = is_flag_letter(code) && !c->odd_flag;
    c->pictograph = class == GRAPHEME_PICTOGRAPH || (c->pictograph && joins_before(class));
    if (class == GRAPHEME_CONSONANT) {
        c->consonant = true;
        c->linked = false;
    } else if (class == GRAPHEME_LINKER) {
        c->linked = c->consonant;
    } else if (class != GRAPHEME_JOINS_CONJUNCT) {
        c->consonant = false;
    }
    c->code = code;
    c->class = class;
}

// A line end is a control character too.
static enum grapheme_class read_cluster_char(const char *text, size_t length, uint32_t *code,
                                             size_t *bytes)
{
    utf8_next(text, length, code, bytes);
    return *code == '\r' || *code == '\n' ? GRAPHEME_CONTROL : grapheme_class_of(*code);
}

size_t grapheme_length(const char *text, size_t length)
{
    assert(text && length > 0);
    struct cluster cluster = {0};
    uint32_t code;
    size_t end, bytes;
    enum grapheme_class class = read_cluster_char(text, length, &code, &end);
    add_to_cluster(&cluster, code, class);
    while (end < length) {
        class = read_cluster_char(text + end, length - end, &code, &bytes);
        if (!joins_cluster(&cluster, code, class))
            break;
        add_to_cluster(&cluster, code, class);
        end += bytes;
    }
    return end;
}
