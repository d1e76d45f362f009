// Filters on texts.
#include <math.h>
#include <stdio.h>

#include "text/jinja_filters.h"
#include "text/jinja_format.h"
#include "text/unicode.h"

// ---- case ----

enum status jinja_recase(struct jinja_run *run, enum python_casing casing, struct jinja_value value,
                         struct jinja_value *out)
{
    struct bytes text;
    TRY(jinja_str(run, value, &value));
    TRY(jinja_touch(run, value.length));
    bytes_init(&text);
    enum status status = python_change_case(casing, value.text, value.length, &text);
    if (status == OK)
        status = jinja_copy(run, text.data, text.length, out);
    bytes_fini(&text);
    out->part = value.part;
    return status;
}

JINJA_BUILTIN(jinja_filter_upper)
{
    (void)a;
    return jinja_recase(run, PYTHON_TO_UPPER, value, out);
}

JINJA_BUILTIN(jinja_filter_lower)
{
    (void)a;
    return jinja_recase(run, PYTHON_TO_LOWER, value, out);
}

JINJA_BUILTIN(jinja_filter_capitalize)
{
    (void)a;
    return jinja_recase(run, PYTHON_TO_CAPITALIZE, value, out);
}

static bool divides_words(uint32_t code)
{
    return code == '-' || code == '(' || code == '{' || code == '[' || code == '<' ||
           python_is_space(code);
}

static enum status write_title_word(struct jinja_run *run, struct jinja_value word)
{
    uint32_t code;
    size_t bytes;
    struct jinja_value part;
    if (word.length == 0)
        return OK;
    utf8_next(word.text, word.length, &code, &bytes);
    TRY(jinja_recase(run, PYTHON_TO_UPPER, jinja_text(word.text, bytes), &part));
    TRY(jinja_write(run, part.text, part.length));
    TRY(jinja_recase(run, PYTHON_TO_LOWER, jinja_text(word.text + bytes, word.length - bytes),
                     &part));
    return jinja_write(run, part.text, part.length);
}

// Not str.title(): words end at spaces and opening brackets, and the first letter is upper case.
JINJA_BUILTIN(jinja_filter_title)
{
    (void)a;
    size_t output = run->out.length, begin = 0;
    bool dividing = false;
    TRY(jinja_str(run, value, &value));
    for (size_t i = 0, bytes; i <= value.length; i += bytes) {
        uint32_t code = 0;
        bytes = 1;
        if (i < value.length)
            utf8_next(value.text + i, value.length - i, &code, &bytes);
        if (i < value.length && divides_words(code) == dividing)
            continue;
        TRY(write_title_word(run, jinja_text(value.text + begin, i - begin)));
        begin = i;
        dividing = !dividing;
    }
    return jinja_take_output(run, output, out);
}

// ---- Markup ----

JINJA_BUILTIN(jinja_filter_safe)
{
    (void)a;
    TRY(jinja_str(run, value, out));
    *out = jinja_as(*out, JINJA_MARKUP);
    return OK;
}

JINJA_BUILTIN(jinja_filter_escape)
{
    (void)a;
    return jinja_escape(run, value, out);
}

JINJA_BUILTIN(jinja_filter_forceescape)
{
    (void)a;
    TRY(jinja_str(run, value, &value));
    return jinja_escape(run, jinja_as(value, JINJA_PLAIN), out);
}

JINJA_BUILTIN(jinja_filter_string)
{
    (void)a;
    return jinja_str(run, value, out);
}

static bool has_entity(struct jinja_value text)
{
    for (size_t i = 0; i + 1 < text.length; i++) {
        char next = text.text[i + 1];
        if (text.text[i] == '&' && !strchr("\t\n\f <&;", next))
            return true;
    }
    return false;
}

// Where a tag or comment that begins at `at` ends; 0: nowhere.
static size_t skip_tag(struct jinja_value text, size_t at)
{
    bool comment = text.length - at >= 4 && memcmp(text.text + at, "<!--", 4) == 0;
    size_t from = comment ? at + 4 : at;
    const char *end = text.length > from ? memmem(text.text + from, text.length - from,
                                                  comment ? "-->" : ">", comment ? 3 : 1)
                                         : NULL;
    return end ? (size_t)(end - text.text) + (comment ? 3 : 1) : 0;
}

JINJA_BUILTIN(jinja_filter_striptags)
{
    (void)a;
    size_t output = run->out.length, at = 0;
    struct jinja_value text, words;
    TRY(jinja_str(run, value, &value));
    for (;;) {
        const char *tag =
            value.length > at ? memchr(value.text + at, '<', value.length - at) : NULL;
        size_t begin = tag ? (size_t)(tag - value.text) : value.length,
               end = tag ? skip_tag(value, begin) : 0;
        if (end == 0)
            break;
        TRY(jinja_write(run, value.text + at, begin - at));
        at = end;
    }
    TRY(jinja_write(run, value.text + at, value.length - at));
    TRY(jinja_take_output(run, output, &text));
    if (has_entity(text))
        return jinja_unsupported(run, "striptags of a text with entities (&...) is not supported");
    TRY(jinja_split(run, text, jinja_none(), -1, false, &words));
    for (size_t i = 0; i < words.list->n; i++) {
        if (i > 0)
            TRY(jinja_write(run, " ", 1));
        TRY(jinja_write(run, words.list->items[i].text, words.list->items[i].length));
    }
    return jinja_take_output(run, output, out);
}

JINJA_BUILTIN(jinja_filter_xmlattr)
{
    size_t output = run->out.length;
    bool spaced = !jinja_given(a[0]) || jinja_true(a[0]);
    if (value.type == JINJA_UNDEFINED)
        return jinja_undefined_used(run, value);
    if (value.type != JINJA_DICT)
        return jinja_fail(run, "xmlattr needs a dict, found %s", jinja_type_name(value));
    for (size_t i = 0; i < value.dict->n; i++) {
        struct jinja_value key = value.dict->entries[i].key, item = value.dict->entries[i].value;
        if (item.type == JINJA_NONE || item.type == JINJA_UNDEFINED)
            continue;
        TRY(jinja_text_argument(run, "xmlattr: an attribute", key));
        for (size_t k = 0; k < key.length; k++)
            if (key.text[k] && strchr(" \t\n\r\f\v/>=", key.text[k]))
                return jinja_fail(run, "xmlattr: an attribute's name holds a forbidden character");
        if (spaced || run->out.length > output)
            TRY(jinja_write(run, " ", 1));
        TRY(jinja_escape(run, key, &key));
        TRY(jinja_escape(run, item, &item));
        TRY(jinja_write(run, key.text, key.length));
        TRY(jinja_write(run, "=\"", 2));
        TRY(jinja_write(run, item.text, item.length));
        TRY(jinja_write(run, "\"", 1));
    }
    return jinja_take_output(run, output, out);
}

// ---- parts of texts ----

JINJA_BUILTIN(jinja_filter_trim)
{
    TRY(jinja_str(run, value, &value));
    if (jinja_given(a[0]) && a[0].type != JINJA_NONE)
        TRY(jinja_text_argument(run, "trim", a[0]));
    TRY(jinja_touch(run, value.length));
    *out = jinja_strip(value, a[0], true, true);
    return OK;
}

JINJA_BUILTIN(jinja_filter_replace)
{
    struct jinja_value old, with;
    int64_t most;
    TRY(jinja_str(run, value, &value));
    TRY(jinja_str(run, a[0], &old));
    TRY(jinja_str(run, a[1], &with));
    TRY(jinja_int_argument(run, "replace", a[2].type == JINJA_NONE ? jinja_missing() : a[2], -1,
                           &most));
    return jinja_replace(run, jinja_as(value, JINJA_PLAIN), old, with, most, out);
}

JINJA_BUILTIN_ANY(jinja_filter_format)
{
    struct jinja_list *list;
    struct jinja_value values;
    struct jinja_dict *dict;
    if (arguments->n > 0 && arguments->n_named > 0)
        return jinja_fail(run, "format takes arguments with names or without, not both");
    TRY(jinja_str(run, value, &value));
    if (arguments->n_named > 0) {
        TRY(jinja_dict_new(run, &dict));
        for (size_t i = 0; i < arguments->n_named; i++)
            TRY(jinja_dict_set(run, dict, arguments->names[i], arguments->named[i]));
        return jinja_percent(run, value, jinja_of_dict(dict), out);
    }
    TRY(jinja_list_new(run, JINJA_TUPLE, arguments->n, &list, &values));
    for (; list->n < arguments->n; list->n++)
        list->items[list->n] = arguments->values[list->n];
    return jinja_percent(run, value, values, out);
}

JINJA_BUILTIN(jinja_filter_center)
{
    int64_t width;
    size_t output = run->out.length;
    TRY(jinja_int_argument(run, "center", a[0], 80, &width));
    TRY(jinja_str(run, value, &value));
    size_t chars = jinja_text_chars(value);
    size_t all = width > 0 && (size_t)width > chars ? (size_t)width - chars : 0;
    size_t left = all / 2 + (all & (size_t)width & 1); // CPython's str.center
    if (all > JINJA_OUTPUT_BYTES_MAX)
        return jinja_fail(run, "center: the width is too large");
    TRY(jinja_write_repeated(run, jinja_literal(" "), left));
    TRY(jinja_write(run, value.text, value.length));
    TRY(jinja_write_repeated(run, jinja_literal(" "), all - left));
    TRY(jinja_take_output(run, output, out));
    out->part = value.part;
    return OK;
}

static enum status write_indented(struct jinja_run *run, const struct jinja_list *lines,
                                  struct jinja_value indent, bool blank)
{
    for (size_t i = 0; i < lines->n; i++) {
        struct jinja_value line = lines->items[i];
        if (i > 0)
            TRY(jinja_write(run, "\n", 1));
        if (i > 0 && (blank || line.length > 0))
            TRY(jinja_write(run, indent.text, indent.length));
        TRY(jinja_write(run, line.text, line.length));
    }
    return OK;
}

JINJA_BUILTIN(jinja_filter_indent)
{
    struct jinja_value indent = a[0], text, lines;
    int64_t width;
    size_t output = run->out.length;
    if (indent.type != JINJA_TEXT) {
        TRY(jinja_int_argument(run, "indent", indent, 4, &width));
        TRY(jinja_repeat(run, jinja_literal(" "), width, &indent));
    }
    TRY(jinja_text_argument(run, "indent", value));
    if (jinja_is_markup(value) && !jinja_is_markup(indent))
        TRY(jinja_escape(run, indent, &indent)); // of a text of spaces: as it is
    TRY(jinja_join_two(run, value, jinja_literal("\n"), &text));
    TRY(jinja_splitlines(run, text, false, &lines));
    if (jinja_flag(a[1]))
        TRY(jinja_write(run, indent.text, indent.length));
    TRY(write_indented(run, lines.list, indent, jinja_flag(a[2])));
    TRY(jinja_take_output(run, output, out));
    out->part = value.part;
    return OK;
}

JINJA_BUILTIN(jinja_filter_truncate)
{
    int64_t length, leeway;
    size_t n, end_chars;
    struct jinja_value end = jinja_given(a[2]) ? a[2] : jinja_literal("...");
    TRY(jinja_int_argument(run, "truncate", a[0], 255, &length));
    TRY(jinja_int_argument(run, "truncate", a[3].type == JINJA_NONE ? jinja_missing() : a[3], 5,
                           &leeway));
    TRY(jinja_text_argument(run, "truncate", end));
    end_chars = jinja_text_chars(end);
    if (length < (int64_t)end_chars || leeway < 0)
        return jinja_fail(run, "truncate: the length is less than that of its end, or the leeway "
                               "is negative");
    if (!jinja_length(value, &n))
        return jinja_fail(run, "truncate needs a string, found %s", jinja_type_name(value));
    *out = value;
    if ((int64_t)n <= length || (int64_t)n - length <= leeway)
        return OK;
    TRY(jinja_text_argument(run, "truncate", value));
    struct jinja_value kept = jinja_text_slice(value, 0, (size_t)length - end_chars);
    if (!jinja_flag(a[1])) {
        const char *blank = kept.length > 0 ? memrchr(kept.text, ' ', kept.length) : NULL;
        kept.length = blank ? (size_t)(blank - kept.text) : kept.length;
    }
    return jinja_arithmetic(run, JINJA_ADD, kept, end, out);
}

JINJA_BUILTIN(jinja_filter_wordcount)
{
    (void)a;
    int64_t n = 0;
    bool inside = false;
    TRY(jinja_str(run, value, &value));
    TRY(jinja_touch(run, value.length));
    for (size_t i = 0, bytes; i < value.length; i += bytes) {
        uint32_t code;
        utf8_next(value.text + i, value.length - i, &code, &bytes);
        bool word = code == '_' || (python_flags(code) & (PYTHON_ALPHA | PYTHON_DECIMAL |
                                                          PYTHON_DIGIT | PYTHON_NUMERIC)) != 0;
        n += word && !inside;
        inside = word;
    }
    *out = jinja_int(n);
    return OK;
}

// ---- URLs and sizes ----

static enum status write_quoted(struct jinja_run *run, struct jinja_value value, bool query)
{
    TRY(jinja_str(run, value, &value));
    for (size_t i = 0; i < value.length; i++) {
        char c = value.text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c && strchr("_.-~", c)) || (c == '/' && !query);
        if (plain)
            TRY(jinja_write(run, &c, 1));
        else if (c == ' ' && query)
            TRY(jinja_write(run, "+", 1));
        else
            TRY(jinja_writef(run, "%%%02X", (unsigned)(unsigned char)c));
    }
    return OK;
}

static enum status write_query(struct jinja_run *run, struct jinja_value pairs)
{
    struct jinja_iterator *iterator;
    struct jinja_value pair;
    bool more;
    if (pairs.type == JINJA_DICT)
        pairs = (struct jinja_value){.type = JINJA_VIEW, .part = JINJA_ITEMS, .dict = pairs.dict};
    TRY(jinja_iterate(run, pairs, &iterator));
    for (bool first = true;; first = false) {
        TRY(jinja_next(run, iterator, &pair, &more));
        if (!more)
            return OK;
        TRY(jinja_to_list(run, pair, JINJA_LIST, &pair));
        if (pair.list->n != 2)
            return jinja_fail(run, "urlencode needs pairs, found %zu values", pair.list->n);
        if (!first)
            TRY(jinja_write(run, "&", 1));
        TRY(write_quoted(run, pair.list->items[0], true));
        TRY(jinja_write(run, "=", 1));
        TRY(write_quoted(run, pair.list->items[1], true));
    }
}

JINJA_BUILTIN(jinja_filter_urlencode)
{
    (void)a;
    size_t output = run->out.length;
    TRY(value.type == JINJA_TEXT || !jinja_is_iterable(value) ? write_quoted(run, value, false)
                                                              : write_query(run, value));
    return jinja_take_output(run, output, out);
}

JINJA_BUILTIN(jinja_filter_filesizeformat)
{
    static const char units[] = "kMGTPEZY";
    size_t output = run->out.length;
    int64_t number;
    double bytes = 0, unit, base = jinja_flag(a[0]) ? 1024 : 1000;
    if (value.type == JINJA_UNDEFINED)
        return jinja_undefined_used(run, value);
    if (jinja_is_int(value, &number))
        bytes = (double)number;
    else if (value.type == JINJA_FLOAT)
        bytes = value.real;
    else if (value.type != JINJA_TEXT || !jinja_parse_float(value, &bytes))
        return jinja_fail(run, "filesizeformat needs a number, found %s", jinja_type_name(value));
    if (!isfinite(bytes))
        return jinja_fail(run, "filesizeformat needs a finite number");
    if (bytes == 1) {
        TRY(jinja_write(run, "1 Byte", 6));
    } else if (bytes < base) {
        TRY(jinja_writef(run, "%.0f Bytes", trunc(bytes) + 0.0));
    } else {
        int i = 0;
        for (unit = base * base; bytes >= unit && i < 7; i++)
            unit *= base;
        char prefix = units[i];
        TRY(jinja_writef(run, base == 1024 ? "%.1f %ciB" : "%.1f %cB", base * bytes / unit,
                         base == 1024 && prefix == 'k' ? 'K' : prefix));
    }
    return jinja_take_output(run, output, out);
}
