#include "text/character_filters.h"

#include <assert.h>

#include "text/unicode.h"
#include "text/unicode_tables.h"

// What becomes of a character: itself, a blank, nothing, or itself between blanks.
enum fate { KEEP, BLANK, DROP, SPREAD };

static enum status filter(enum fate (*fate_of)(uint32_t code), const char *text, size_t length,
                          struct bytes *out)
{
    assert(fate_of && (text || length == 0) && out);
    size_t kept = 0, bytes; // text[kept .. i] is still to be copied
    for (size_t i = 0; i < length; i += bytes) {
        uint32_t code;
        utf8_next(text + i, length - i, &code, &bytes);
        enum fate fate = fate_of(code);
        if (fate == KEEP)
            continue;
        TRY(bytes_append(out, text + kept, i - kept));
        kept = i + bytes;
        if (fate == DROP)
            continue;
        TRY(bytes_append(out, " ", 1));
        if (fate == BLANK)
            continue;
        TRY(bytes_append(out, text + i, bytes));
        TRY(bytes_append(out, " ", 1));
    }
    return bytes_append(out, text + kept, length - kept);
}

static enum fate accent_fate(uint32_t code)
{
    if (code < 0x300)
        return KEEP;
    return unicode_in_ranges(combining_marks, n_combining_marks, code) ? DROP : KEEP;
}

static enum fate nonspacing_fate(uint32_t code)
{
    if (code < 0x300)
        return KEEP;
    return unicode_in_ranges(nonspacing_marks, n_nonspacing_marks, code) ? DROP : KEEP;
}

static enum fate nmt_fate(uint32_t code)
{
    if (code == '\t' || code == '\n' || code == '\f' || code == '\r')
        return BLANK;
    if (code == 0x7F || code == 0x8F || code == 0x9F || (code > 0 && code < 0x20))
        return DROP;
    if (code < 0x1680)
        return KEEP;
    return code == 0x1680 || (code >= 0x200B && code <= 0x200F) || code == 0x2028 ||
                   code == 0x2029 || code == 0x2581 || code == 0xFEFF || code == 0xFFFD
               ? BLANK
               : KEEP;
}

static enum fate clean_fate(uint32_t code)
{
    if (code >= ' ' && code < 0x7F)
        return KEEP;
    if (unicode_in_ranges(control_characters, n_control_characters, code))
        return DROP;
    return unicode_is_space(code) ? BLANK : KEEP;
}

// The ideographs that BERT's authors took for Chinese.
static enum fate chinese_fate(uint32_t code)
{
    static const struct unicode_range chinese[] = {
        {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},  {0x20000, 0x2A6DF},
        {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
    if (code < 0x3400)
        return KEEP;
    return unicode_in_ranges(chinese, sizeof chinese / sizeof *chinese, code) ? SPREAD : KEEP;
}

enum status filter_accents(const char *text, size_t length, struct bytes *out)
{
    return filter(accent_fate, text, length, out);
}

enum status filter_nmt(const char *text, size_t length, struct bytes *out)
{
    return filter(nmt_fate, text, length, out);
}

static enum status decompose(const char *text, size_t length, struct bytes *out)
{
    return unicode_normalize(UNICODE_NFD, text, length, out);
}

static enum status drop_nonspacing(const char *text, size_t length, struct bytes *out)
{
    return filter(nonspacing_fate, text, length, out);
}

static enum status clean(const char *text, size_t length, struct bytes *out)
{
    return filter(clean_fate, text, length, out);
}

static enum status spread_chinese(const char *text, size_t length, struct bytes *out)
{
    return filter(chinese_fate, text, length, out);
}

enum status filter_bert(const struct bert_normalizer *bert, const char *text, size_t length,
                        struct bytes *out)
{
    assert(bert && (text || length == 0) && out);
    const struct {
        bool wanted;
        enum status (*apply)(const char *text, size_t length, struct bytes *out);
    } steps[] = {{bert->clean_text, clean},
                 {bert->handle_chinese_chars, spread_chinese},
                 {bert->strip_accents, decompose},
                 {bert->strip_accents, drop_nonspacing},
                 {bert->lowercase, unicode_lowercase}};
    struct bytes now, next;
    bytes_init(&now);
    bytes_init(&next);
    enum status status;
    TRY_DONE(bytes_append(&now, text, length));
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (!steps[i].wanted)
            continue;
        bytes_clear(&next);
        TRY_DONE(steps[i].apply(now.data, now.length, &next));
        TRY_DONE(bytes_append(&next, "", 0)); // so that its data is never NULL
        struct bytes swap = now;
        now = next;
        next = swap;
    }
    status = bytes_append(out, now.data, now.length);
done:
    bytes_fini(&now);
    bytes_fini(&next);
    return status;
}
