// The filter wordwrap: Python's textwrap, without tabs and indents.
//
// A line is cut into chunks that are not broken (words, parts of words that end with a hyphen, em
// dashes, spaces), and chunks are put into lines.
#include "text/jinja_filters.h"
#include "text/unicode.h"

struct wrap {
    struct jinja_run *run;
    int64_t width;
    bool break_long, break_hyphens;
    struct jinja_value between; // lines
    bool any;                   // a line of the paragraph is written
};

static bool is_blank(char c) // textwrap's _whitespace
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word_character(uint32_t code) // textwrap's word_punct: \w and !"'&.,?
{
    return code == '_' || (code < 0x80 && code && strchr("!\"'&.,?", (int)code)) ||
           (python_flags(code) & (PYTHON_ALPHA | PYTHON_DECIMAL | PYTHON_DIGIT | PYTHON_NUMERIC));
}

static bool is_letter(uint32_t code) // [^\d\W]
{
    return code == '_' || (python_flags(code) & (PYTHON_ALPHA | PYTHON_NUMERIC) &&
                           !(python_flags(code) & PYTHON_DECIMAL));
}

static uint32_t wrapped_character(struct jinja_value text, size_t at, size_t *bytes)
{
    uint32_t code = ' ';
    *bytes = 0;
    if (at < text.length)
        utf8_next(text.text + at, text.length - at, &code, bytes);
    return code;
}

static uint32_t character_before(struct jinja_value text, size_t at)
{
    uint32_t code = ' ';
    if (at > 0)
        utf8_last(text.text, at, &code);
    return code;
}

// The bytes of an em dash (two hyphens or more) between words at `at`; 0: none.
static size_t em_dash(struct jinja_value text, size_t at)
{
    size_t end = at, bytes;
    while (end < text.length && text.text[end] == '-')
        end++;
    if (end - at < 2 || end == text.length)
        return 0;
    uint32_t code = wrapped_character(text, end, &bytes);
    return code == '_' || python_flags(code) &
                              (PYTHON_ALPHA | PYTHON_DECIMAL | PYTHON_DIGIT | PYTHON_NUMERIC)
               ? end - at
               : 0;
}

// Whether a word that began at `begin` may be broken behind the hyphen at `at`.
static bool hyphen_breaks(struct jinja_value text, size_t begin, size_t at)
{
    size_t bytes, next_bytes;
    uint32_t before = character_before(text, at), after = wrapped_character(text, at + 1, &bytes);
    if (at == begin || !is_letter(before) || !is_letter(after))
        return false;
    uint32_t two_before = character_before(text, at - utf8_last(text.text, at, &before));
    uint32_t two_after = wrapped_character(text, at + 1 + bytes, &next_bytes);
    bool left = is_letter(two_before) || two_before == '-';
    bool right = next_bytes > 0 && (is_letter(two_after) || two_after == '-');
    return left && right;
}

// The end of the chunk that begins at `begin`.
static size_t chunk_end(const struct wrap *wrap, struct jinja_value text, size_t begin)
{
    size_t at = begin, bytes;
    if (is_blank(text.text[at])) {
        while (at < text.length && is_blank(text.text[at]))
            at++;
        return at;
    }
    if (!wrap->break_hyphens) {
        while (at < text.length && !is_blank(text.text[at]))
            at++;
        return at;
    }
    if (at > 0 && is_word_character(character_before(text, at)) && em_dash(text, at) > 0)
        return at + em_dash(text, at);
    while (at < text.length && !is_blank(text.text[at])) {
        if (text.text[at] == '-' && at > begin && is_word_character(character_before(text, at)) &&
            em_dash(text, at) > 0)
            return at;
        if (text.text[at] == '-' && hyphen_breaks(text, begin, at))
            return at + 1;
        wrapped_character(text, at, &bytes);
        at += bytes;
    }
    return at;
}

static enum status cut_chunks(struct wrap *wrap, struct jinja_value text, struct jinja_builder *out)
{
    for (size_t begin = 0, end; begin < text.length; begin = end) {
        end = chunk_end(wrap, text, begin);
        TRY(jinja_push(wrap->run, out, jinja_text(text.text + begin, end - begin)));
    }
    return OK;
}

static bool all_blank(struct jinja_value chunk)
{
    return jinja_strip(chunk, jinja_none(), true, true).length == 0;
}

// A chunk longer than a line: as much of it as fits goes into this one.
static enum status break_chunk(struct wrap *wrap, struct jinja_value *chunk, int64_t room,
                               struct jinja_builder *line)
{
    size_t chars = room < 1 ? 1 : (size_t)room, end = chars;
    if (wrap->break_hyphens && jinja_text_chars(*chunk) > chars) {
        struct jinja_value head = jinja_text_slice(*chunk, 0, chars);
        const char *hyphen = head.length > 0 ? memrchr(head.text, '-', head.length) : NULL;
        size_t before = hyphen ? (size_t)(hyphen - head.text) : 0;
        bool others = false;
        for (size_t i = 0; i < before; i++)
            others |= head.text[i] != '-';
        if (hyphen && before > 0 && others)
            end = jinja_text_chars(jinja_text(head.text, before)) + 1;
    }
    TRY(jinja_push(wrap->run, line, jinja_text_slice(*chunk, 0, end)));
    size_t cut = jinja_text_offset(*chunk, end);
    *chunk = jinja_text(chunk->text + cut, chunk->length - cut);
    return OK;
}

static enum status write_line(struct wrap *wrap, const struct jinja_builder *line)
{
    size_t n = line->n;
    if (n > 0 && all_blank(line->items[n - 1]))
        n--;
    if (n == 0)
        return OK;
    if (wrap->any)
        TRY(jinja_write(wrap->run, wrap->between.text, wrap->between.length));
    wrap->any = true;
    for (size_t i = 0; i < n; i++)
        TRY(jinja_write(wrap->run, line->items[i].text, line->items[i].length));
    return OK;
}

static enum status wrap_paragraph(struct wrap *wrap, struct jinja_value text)
{
    struct jinja_builder chunks = {0};
    TRY(cut_chunks(wrap, text, &chunks));
    wrap->any = false;
    for (size_t i = 0; i < chunks.n;) {
        struct jinja_builder line = {0};
        int64_t used = 0;
        if (wrap->any && all_blank(chunks.items[i]))
            i++;
        while (i < chunks.n) {
            int64_t chars = (int64_t)jinja_text_chars(chunks.items[i]);
            if (used + chars > wrap->width)
                break;
            TRY(jinja_push(wrap->run, &line, chunks.items[i++]));
            used += chars;
        }
        if (i < chunks.n && (int64_t)jinja_text_chars(chunks.items[i]) > wrap->width) {
            if (wrap->break_long)
                TRY(break_chunk(wrap, &chunks.items[i], wrap->width - used, &line));
            else if (line.n == 0)
                TRY(jinja_push(wrap->run, &line, chunks.items[i++]));
        }
        TRY(write_line(wrap, &line));
    }
    return OK;
}

JINJA_BUILTIN(jinja_filter_wordwrap)
{
    struct wrap wrap = {.run = run, .between = jinja_literal("\n")};
    struct jinja_value lines;
    size_t output = run->out.length;
    TRY(jinja_int_argument(run, "wordwrap", a[0], 79, &wrap.width));
    TRY(jinja_text_argument(run, "wordwrap", value));
    wrap.break_long = !jinja_given(a[1]) || jinja_true(a[1]);
    wrap.break_hyphens = !jinja_given(a[3]) || jinja_true(a[3]);
    if (jinja_given(a[2]) && a[2].type != JINJA_NONE) {
        TRY(jinja_text_argument(run, "wordwrap", a[2]));
        wrap.between = a[2];
    }
    TRY(jinja_splitlines(run, value, false, &lines));
    if (wrap.width <= 0 && lines.list->n > 0)
        return jinja_fail(run, "wordwrap: the width must be more than 0");
    for (size_t i = 0; i < lines.list->n; i++) {
        if (i > 0)
            TRY(jinja_write(run, wrap.between.text, wrap.between.length));
        TRY(wrap_paragraph(&wrap, jinja_as(lines.list->items[i], JINJA_PLAIN)));
    }
    return jinja_take_output(run, output, out);
}
