// Texts of templates: characters, not bytes; Python's str methods that more than one caller needs.
#include "text/jinja_run.h"

#include <assert.h>

#include "base/checked.h"
#include "text/python_text.h"
#include "text/unicode.h"

static bool begins_character(char byte)
{
    return ((unsigned char)byte & 0xC0) != 0x80;
}

size_t jinja_text_chars(struct jinja_value text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.length; i++)
        n += begins_character(text.text[i]);
    return n;
}

size_t jinja_text_offset(struct jinja_value text, size_t chars)
{
    size_t i = 0;
    for (; i < text.length; i++)
        if (begins_character(text.text[i]) && chars-- == 0)
            break;
    return i;
}

struct jinja_value jinja_text_slice(struct jinja_value text, size_t begin, size_t end)
{
    assert(begin <= end);
    if (end <= begin)
        return jinja_as(jinja_text("", 0), text.part);
    size_t from = jinja_text_offset(text, begin);
    struct jinja_value rest = jinja_text(text.text + from, text.length - from);
    return jinja_as(jinja_text(rest.text, jinja_text_offset(rest, end - begin)), text.part);
}

enum status jinja_join_two(struct jinja_run *run, struct jinja_value left, struct jinja_value right,
                           struct jinja_value *out)
{
    char *text;
    size_t length;
    if (!checked_add(left.length, right.length, &length))
        return fail_memory(SIZE_MAX, "a text");
    TRY(jinja_take(run, length, 1, &text));
    if (left.length > 0)
        memcpy(text, left.text, left.length);
    if (right.length > 0)
        memcpy(text + left.length, right.text, right.length);
    *out = jinja_text(text, length);
    return OK;
}

enum status jinja_repeat(struct jinja_run *run, struct jinja_value text, int64_t times,
                         struct jinja_value *out)
{
    size_t n = times > 0 && text.length > 0 ? (size_t)times : 0;
    char *copy;
    TRY(jinja_take(run, n, text.length, &copy));
    for (size_t i = 0; i < n; i++)
        memcpy(copy + i * text.length, text.text, text.length);
    *out = jinja_as(jinja_text(copy, n * text.length), text.part);
    return OK;
}

// ---- HTML ----

enum status jinja_write_escaped(struct jinja_run *run, struct jinja_value text)
{
    static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    static const char signs[] = "&<>'\"";
    size_t kept = 0;
    for (size_t i = 0; i < text.length; i++) {
        const char *sign = memchr(signs, text.text[i], sizeof signs - 1);
        if (!sign)
            continue;
        TRY(jinja_write(run, text.text + kept, i - kept));
        TRY(jinja_write(run, names[sign - signs], strlen(names[sign - signs])));
        kept = i + 1;
    }
    return jinja_write(run, text.text + kept, text.length - kept);
}

enum status jinja_escape(struct jinja_run *run, struct jinja_value value, struct jinja_value *out)
{
    size_t begin = run->out.length;
    if (jinja_is_markup(value)) {
        *out = value;
        return OK;
    }
    TRY(jinja_str(run, value, &value));
    TRY(jinja_write_escaped(run, value));
    TRY(jinja_take_output(run, begin, out));
    *out = jinja_as(*out, JINJA_MARKUP);
    return OK;
}

// ---- stripping ----

static bool in_set(uint32_t code, struct jinja_value set)
{
    if (set.type != JINJA_TEXT)
        return python_is_space(code);
    for (size_t i = 0, bytes; i < set.length; i += bytes) {
        uint32_t member;
        utf8_next(set.text + i, set.length - i, &member, &bytes);
        if (member == code)
            return true;
    }
    return false;
}

struct jinja_value jinja_strip(struct jinja_value text, struct jinja_value chars, bool left,
                               bool right)
{
    uint32_t code;
    size_t bytes;
    while (left && text.length > 0) {
        utf8_next(text.text, text.length, &code, &bytes);
        if (!in_set(code, chars))
            break;
        text.text += bytes;
        text.length -= bytes;
    }
    while (right && text.length > 0) {
        bytes = utf8_last(text.text, text.length, &code);
        if (!in_set(code, chars))
            break;
        text.length -= bytes;
    }
    return text;
}

// ---- splitting ----

static struct jinja_value text_part(struct jinja_value text, size_t begin, size_t end)
{
    assert(begin <= end && end <= text.length);
    return jinja_as(jinja_text(text.text + begin, end - begin), text.part);
}

static bool space_before(struct jinja_value text, size_t at, size_t *bytes)
{
    assert(at <= text.length && bytes);
    uint32_t code;
    if (at == 0)
        return false;
    *bytes = utf8_last(text.text, at, &code);
    return python_is_space(code);
}

static bool space_after(struct jinja_value text, size_t at, size_t *bytes)
{
    assert(at <= text.length && bytes);
    uint32_t code;
    if (at == text.length)
        return false;
    utf8_next(text.text + at, text.length - at, &code, bytes);
    return python_is_space(code);
}

static enum status split_spaces(struct jinja_run *run, struct jinja_value text, int64_t most,
                                struct jinja_builder *out)
{
    for (size_t at = 0, bytes;;) {
        while (space_after(text, at, &bytes))
            at += bytes;
        if (at == text.length)
            return OK;
        if (most-- == 0)
            return jinja_push(run, out, text_part(text, at, text.length));
        size_t begin = at;
        while (at < text.length && !space_after(text, at, &bytes))
            at += bytes;
        TRY(jinja_push(run, out, text_part(text, begin, at)));
    }
}

static enum status split_spaces_from_right(struct jinja_run *run, struct jinja_value text,
                                           int64_t most, struct jinja_builder *out)
{
    for (size_t at = text.length, bytes;;) {
        while (space_before(text, at, &bytes))
            at -= bytes;
        if (at == 0)
            return OK;
        if (most-- == 0)
            return jinja_push(run, out, text_part(text, 0, at));
        size_t end = at;
        while (at > 0 && !space_before(text, at, &bytes))
            at -= bytes;
        TRY(jinja_push(run, out, text_part(text, at, end)));
    }
}

static enum status split_at(struct jinja_run *run, struct jinja_value text,
                            struct jinja_value separator, int64_t most, struct jinja_builder *out)
{
    size_t begin = 0;
    while (most-- != 0) {
        const char *at = text.length > begin ? memmem(text.text + begin, text.length - begin,
                                                      separator.text, separator.length)
                                             : NULL;
        if (!at)
            break;
        size_t end = (size_t)(at - text.text);
        TRY(jinja_push(run, out, text_part(text, begin, end)));
        begin = end + separator.length;
    }
    return jinja_push(run, out, text_part(text, begin, text.length));
}

static enum status split_at_from_right(struct jinja_run *run, struct jinja_value text,
                                       struct jinja_value separator, int64_t most,
                                       struct jinja_builder *out)
{
    size_t end = text.length;
    for (size_t at = end; most != 0 && at >= separator.length; at--) {
        size_t begin = at - separator.length;
        if (memcmp(text.text + begin, separator.text, separator.length) != 0)
            continue;
        TRY(jinja_push(run, out, text_part(text, at, end)));
        end = begin;
        at = begin + 1; // the loop takes one off
        most--;
    }
    return jinja_push(run, out, text_part(text, 0, end));
}

static void turn_around(struct jinja_builder *builder)
{
    for (size_t i = 0; i + 1 < builder->n - i; i++) {
        struct jinja_value other = builder->items[i];
        builder->items[i] = builder->items[builder->n - 1 - i];
        builder->items[builder->n - 1 - i] = other;
    }
}

enum status jinja_split(struct jinja_run *run, struct jinja_value text,
                        struct jinja_value separator, int64_t most, bool from_right,
                        struct jinja_value *out)
{
    assert(run && out);
    struct jinja_builder parts = {0};
    TRY(jinja_touch(run, text.length));
    if (separator.type != JINJA_TEXT)
        TRY(from_right ? split_spaces_from_right(run, text, most, &parts)
                       : split_spaces(run, text, most, &parts));
    else if (separator.length == 0)
        return jinja_fail(run, "split: the separator is empty");
    else
        TRY(from_right ? split_at_from_right(run, text, separator, most, &parts)
                       : split_at(run, text, separator, most, &parts));
    if (from_right)
        turn_around(&parts);
    return jinja_built(run, JINJA_LIST, &parts, out);
}

// The bytes of the line end at `at`; 0: none. CR LF is one.
static size_t line_end(struct jinja_value text, size_t at)
{
    assert(at <= text.length);
    uint32_t code;
    size_t bytes;
    utf8_next(text.text + at, text.length - at, &code, &bytes);
    if (code == '\r' && at + 1 < text.length && text.text[at + 1] == '\n')
        return 2;
    bool ends = (code >= '\n' && code <= '\r') || (code >= 0x1C && code <= 0x1E) || code == 0x85 ||
                code == 0x2028 || code == 0x2029;
    return ends ? bytes : 0;
}

enum status jinja_splitlines(struct jinja_run *run, struct jinja_value text, bool keep_ends,
                             struct jinja_value *out)
{
    assert(run && out);
    struct jinja_builder lines = {0};
    size_t begin = 0;
    TRY(jinja_touch(run, text.length));
    for (size_t i = 0; i < text.length;) {
        size_t end = line_end(text, i);
        if (end == 0) {
            do
                i++;
            while (i < text.length && !begins_character(text.text[i]));
            continue;
        }
        TRY(jinja_push(run, &lines, text_part(text, begin, keep_ends ? i + end : i)));
        begin = i += end;
    }
    if (begin < text.length)
        TRY(jinja_push(run, &lines, text_part(text, begin, text.length)));
    return jinja_built(run, JINJA_LIST, &lines, out);
}

// ---- replacing ----

// replace('', x) puts x between all characters.
static enum status replace_nothing(struct jinja_run *run, struct jinja_value text,
                                   struct jinja_value with, int64_t most)
{
    size_t i = 0;
    for (; most != 0; most--) {
        TRY(jinja_write(run, with.text, with.length));
        if (i == text.length)
            return OK;
        size_t begin = i;
        do
            i++;
        while (i < text.length && !begins_character(text.text[i]));
        TRY(jinja_write(run, text.text + begin, i - begin));
    }
    return jinja_write(run, text.text + i, text.length - i);
}

static enum status replace_parts(struct jinja_run *run, struct jinja_value text,
                                 struct jinja_value old, struct jinja_value with, int64_t most)
{
    for (; most != 0; most--) {
        const char *at = text.length ? memmem(text.text, text.length, old.text, old.length) : NULL;
        if (!at)
            break;
        size_t before = (size_t)(at - text.text);
        TRY(jinja_write(run, text.text, before));
        TRY(jinja_write(run, with.text, with.length));
        text.text += before + old.length;
        text.length -= before + old.length;
    }
    return jinja_write(run, text.text, text.length);
}

enum status jinja_replace(struct jinja_run *run, struct jinja_value text, struct jinja_value old,
                          struct jinja_value with, int64_t most, struct jinja_value *out)
{
    assert(run && out);
    size_t begin = run->out.length;
    enum jinja_part part = text.part;
    TRY(jinja_touch(run, text.length));
    TRY(old.length == 0 ? replace_nothing(run, text, with, most)
                        : replace_parts(run, text, old, with, most));
    TRY(jinja_take_output(run, begin, out));
    *out = jinja_as(*out, part);
    return OK;
}
