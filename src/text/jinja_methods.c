// Methods of Python's str, and the table of all methods.
#include "text/jinja_filters.h"

#include "text/jinja_format.h"
#include "text/unicode.h"
#include <assert.h>

#define METHOD(name) static JINJA_BUILTIN(method_##name)

static enum status optional_text(struct jinja_run *run, const char *of, struct jinja_value value)
{
    return !jinja_given(value) || value.type == JINJA_NONE ? OK
                                                           : jinja_text_argument(run, of, value);
}

// ---- case and questions ----

#define RECASE(name, casing)                                                                       \
    METHOD(name)                                                                                   \
    {                                                                                              \
        (void)a;                                                                                   \
        return jinja_recase(run, casing, value, out);                                              \
    }
RECASE(upper, PYTHON_TO_UPPER)
RECASE(lower, PYTHON_TO_LOWER)
RECASE(title, PYTHON_TO_TITLE)
RECASE(capitalize, PYTHON_TO_CAPITALIZE)
RECASE(casefold, PYTHON_TO_FOLD)
RECASE(swapcase, PYTHON_TO_SWAP)

#define ASK(name, question)                                                                        \
    METHOD(name)                                                                                   \
    {                                                                                              \
        (void)a;                                                                                   \
        TRY(jinja_touch(run, value.length));                                                       \
        *out = jinja_bool(python_asks(question, value.text, value.length));                        \
        return OK;                                                                                 \
    }
ASK(isalpha, PYTHON_IS_ALPHA)
ASK(isalnum, PYTHON_IS_ALNUM)
ASK(isascii, PYTHON_IS_ASCII)
ASK(isdecimal, PYTHON_IS_DECIMAL)
ASK(isdigit, PYTHON_IS_DIGIT)
ASK(isnumeric, PYTHON_IS_NUMERIC)
ASK(isidentifier, PYTHON_IS_IDENTIFIER)
ASK(islower, PYTHON_IS_LOWER)
ASK(isupper, PYTHON_IS_UPPER)
ASK(istitle, PYTHON_IS_TITLE)
ASK(isspace, PYTHON_IS_SPACE)
ASK(isprintable, PYTHON_IS_PRINTABLE)

// ---- stripping and cutting ----

METHOD(strip)
{
    TRY(optional_text(run, "strip", a[0]));
    TRY(jinja_touch(run, value.length));
    *out = jinja_strip(value, a[0], true, true);
    return OK;
}

METHOD(lstrip)
{
    TRY(optional_text(run, "lstrip", a[0]));
    TRY(jinja_touch(run, value.length));
    *out = jinja_strip(value, a[0], true, false);
    return OK;
}

METHOD(rstrip)
{
    TRY(optional_text(run, "rstrip", a[0]));
    TRY(jinja_touch(run, value.length));
    *out = jinja_strip(value, a[0], false, true);
    return OK;
}

static bool begins_with(struct jinja_value text, struct jinja_value part)
{
    return part.length <= text.length &&
           (part.length == 0 || memcmp(text.text, part.text, part.length) == 0);
}

static bool text_ends_with(struct jinja_value text, struct jinja_value part)
{
    return part.length <= text.length &&
           (part.length == 0 ||
            memcmp(text.text + (text.length - part.length), part.text, part.length) == 0);
}

METHOD(removeprefix)
{
    TRY(jinja_text_argument(run, "removeprefix", a[0]));
    *out = value;
    if (begins_with(value, a[0])) {
        out->text += a[0].length;
        out->length -= a[0].length;
    }
    return OK;
}

METHOD(removesuffix)
{
    TRY(jinja_text_argument(run, "removesuffix", a[0]));
    *out = value;
    if (text_ends_with(value, a[0]))
        out->length -= a[0].length;
    return OK;
}

// The part of `text` from character `begin` up to `end`; false when begin lies behind its end.
static enum status cut_out(struct jinja_run *run, struct jinja_value text, struct jinja_value begin,
                           struct jinja_value end, struct jinja_value *out, int64_t *from,
                           bool *inside)
{
    int64_t to, n = (int64_t)jinja_text_chars(text);
    TRY(jinja_touch(run, text.length));
    TRY(jinja_int_argument(run, "the begin of a search",
                           begin.type == JINJA_NONE ? jinja_missing() : begin, 0, from));
    TRY(jinja_int_argument(run, "the end of a search",
                           end.type == JINJA_NONE ? jinja_missing() : end, n, &to));
    *from = *from < 0 ? (*from + n < 0 ? 0 : *from + n) : *from;
    to = to < 0 ? (to + n < 0 ? 0 : to + n) : to > n ? n : to;
    *inside = *from <= to;
    *out = *inside ? jinja_text_slice(text, (size_t)*from, (size_t)to) : jinja_text("", 0);
    return OK;
}

static enum status begins_or_ends(struct jinja_run *run, struct jinja_value value,
                                  const struct jinja_value *a,
                                  bool (*fits)(struct jinja_value, struct jinja_value),
                                  struct jinja_value *out)
{
    struct jinja_value text;
    int64_t from;
    bool inside, holds = false;
    const struct jinja_value *parts = a[0].type == JINJA_TUPLE ? a[0].list->items : &a[0];
    size_t n = a[0].type == JINJA_TUPLE ? a[0].list->n : 1;
    TRY(cut_out(run, value, a[1], a[2], &text, &from, &inside));
    for (size_t i = 0; i < n && !holds; i++) {
        TRY(jinja_text_argument(run, "startswith and endswith", parts[i]));
        holds = inside && fits(text, parts[i]);
    }
    *out = jinja_bool(holds);
    return OK;
}

METHOD(startswith)
{
    return begins_or_ends(run, value, a, begins_with, out);
}

METHOD(endswith)
{
    return begins_or_ends(run, value, a, text_ends_with, out);
}

// ---- searching ----

static const char *find_last(struct jinja_value text, struct jinja_value part)
{
    for (size_t at = text.length - part.length + 1; at-- > 0;)
        if (memcmp(text.text + at, part.text, part.length) == 0)
            return text.text + at;
    return NULL;
}

// The character index of a[0], or -1.
static enum status search_text(struct jinja_run *run, struct jinja_value value,
                               const struct jinja_value *a, bool last, int64_t *out)
{
    struct jinja_value text;
    int64_t from;
    bool inside;
    TRY(jinja_text_argument(run, "find", a[0]));
    TRY(cut_out(run, value, a[1], a[2], &text, &from, &inside));
    *out = -1;
    if (!inside || a[0].length > text.length)
        return OK;
    const char *at = a[0].length == 0 ? text.text + (last ? text.length : 0)
                     : last           ? find_last(text, a[0])
                                      : memmem(text.text, text.length, a[0].text, a[0].length);
    if (at)
        *out = from + (int64_t)jinja_text_chars(jinja_text(text.text, (size_t)(at - text.text)));
    return OK;
}

static enum status found_at(struct jinja_run *run, struct jinja_value value,
                            const struct jinja_value *a, bool last, bool must,
                            struct jinja_value *out)
{
    int64_t at;
    TRY(search_text(run, value, a, last, &at));
    if (at < 0 && must)
        return jinja_fail(run, "index: the string does not hold what is searched");
    *out = jinja_int(at);
    return OK;
}

METHOD(find)
{
    return found_at(run, value, a, false, false, out);
}

METHOD(rfind)
{
    return found_at(run, value, a, true, false, out);
}

METHOD(index)
{
    return found_at(run, value, a, false, true, out);
}

METHOD(rindex)
{
    return found_at(run, value, a, true, true, out);
}

METHOD(count)
{
    struct jinja_value text;
    int64_t from, n = 0;
    bool inside;
    TRY(jinja_text_argument(run, "count", a[0]));
    TRY(cut_out(run, value, a[1], a[2], &text, &from, &inside));
    if (inside && a[0].length == 0)
        n = (int64_t)jinja_text_chars(text) + 1;
    while (a[0].length > 0 && text.length >= a[0].length) {
        const char *at = memmem(text.text, text.length, a[0].text, a[0].length);
        if (!at)
            break;
        size_t taken = (size_t)(at - text.text) + a[0].length;
        text = jinja_text(text.text + taken, text.length - taken);
        n++;
    }
    *out = jinja_int(n);
    return OK;
}

// ---- splitting and joining ----

static enum status split_method(struct jinja_run *run, struct jinja_value value,
                                const struct jinja_value *a, bool right, struct jinja_value *out)
{
    int64_t most;
    TRY(optional_text(run, "split", a[0]));
    TRY(jinja_int_argument(run, "split", a[1], -1, &most));
    return jinja_split(run, value, a[0], most, right, out);
}

METHOD(split)
{
    return split_method(run, value, a, false, out);
}

METHOD(rsplit)
{
    return split_method(run, value, a, true, out);
}

METHOD(splitlines)
{
    return jinja_splitlines(run, value, jinja_true(a[0]), out);
}

static enum status part_in_three(struct jinja_run *run, struct jinja_value value,
                                 struct jinja_value separator, bool last, struct jinja_value *out)
{
    struct jinja_list *list;
    TRY(jinja_text_argument(run, "partition", separator));
    if (separator.length == 0)
        return jinja_fail(run, "partition: the separator is empty");
    TRY(jinja_touch(run, value.length));
    const char *at = value.length < separator.length ? NULL
                     : last                          ? find_last(value, separator)
                            : memmem(value.text, value.length, separator.text, separator.length);
    size_t before = at     ? (size_t)(at - value.text)
                    : last ? 0
                           : value.length,
           after = at ? before + separator.length : before;
    TRY(jinja_list_new(run, JINJA_TUPLE, 3, &list, out));
    list->n = 3;
    list->items[0] = jinja_text(value.text, before);
    list->items[1] = at ? separator : jinja_text("", 0);
    list->items[2] = jinja_text(value.text + after, value.length - after);
    for (int i = 0; i < 3; i++)
        list->items[i].part = value.part;
    return OK;
}

METHOD(partition)
{
    return part_in_three(run, value, a[0], false, out);
}

METHOD(rpartition)
{
    return part_in_three(run, value, a[0], true, out);
}

METHOD(join)
{
    struct jinja_iterator *iterator;
    struct jinja_value item;
    size_t output = run->out.length;
    bool more = true, markup = jinja_is_markup(value);
    TRY(jinja_iterate(run, a[0], &iterator));
    for (bool first = true; more; first = false) {
        TRY(jinja_next(run, iterator, &item, &more));
        if (!more)
            break;
        if (markup)
            TRY(jinja_escape(run, item, &item));
        if (item.type != JINJA_TEXT)
            return jinja_fail(run, "join of a string needs strings, found %s",
                              jinja_type_name(item));
        if (!first)
            TRY(jinja_write(run, value.text, value.length));
        TRY(jinja_write(run, item.text, item.length));
    }
    TRY(jinja_take_output(run, output, out));
    out->part = value.part;
    return OK;
}

METHOD(replace)
{
    int64_t most;
    struct jinja_value with = a[1];
    TRY(jinja_text_argument(run, "replace", a[0]));
    if (jinja_is_markup(value))
        TRY(jinja_escape(run, with, &with));
    TRY(jinja_text_argument(run, "replace", with));
    TRY(jinja_int_argument(run, "replace", a[2], -1, &most));
    return jinja_replace(run, value, a[0], with, most, out);
}

// ---- padding ----

static enum status pad(struct jinja_run *run, struct jinja_value value, const struct jinja_value *a,
                       char side, struct jinja_value *out)
{
    struct jinja_value fill = jinja_given(a[1]) ? a[1] : jinja_literal(" ");
    size_t output = run->out.length, chars = jinja_text_chars(value);
    int64_t width;
    TRY(jinja_int_argument(run, "ljust, rjust and center", a[0], 0, &width));
    TRY(jinja_text_argument(run, "ljust, rjust and center", fill));
    if (jinja_text_chars(fill) != 1)
        return jinja_fail(run, "the character to fill with must be one");
    size_t all = width > 0 && (size_t)width > chars ? (size_t)width - chars : 0;
    size_t left = side == 'r' ? all : side == 'c' ? all / 2 + (all & (size_t)width & 1) : 0;
    if (all > JINJA_OUTPUT_BYTES_MAX)
        return jinja_fail(run, "the width is too large");
    TRY(jinja_write_repeated(run, fill, left));
    TRY(jinja_write(run, value.text, value.length));
    TRY(jinja_write_repeated(run, fill, all - left));
    TRY(jinja_take_output(run, output, out));
    out->part = value.part;
    return OK;
}

METHOD(ljust)
{
    return pad(run, value, a, 'l', out);
}

METHOD(rjust)
{
    return pad(run, value, a, 'r', out);
}

METHOD(center)
{
    return pad(run, value, a, 'c', out);
}

METHOD(zfill)
{
    size_t output = run->out.length, chars = jinja_text_chars(value);
    int64_t width;
    TRY(jinja_int_argument(run, "zfill", a[0], 0, &width));
    size_t zeros = width > 0 && (size_t)width > chars ? (size_t)width - chars : 0;
    size_t sign = value.length > 0 && (value.text[0] == '+' || value.text[0] == '-');
    if (zeros > JINJA_OUTPUT_BYTES_MAX)
        return jinja_fail(run, "zfill: the width is too large");
    TRY(jinja_write(run, value.text, sign));
    TRY(jinja_write_repeated(run, jinja_literal("0"), zeros));
    TRY(jinja_write(run, value.text + sign, value.length - sign));
    TRY(jinja_take_output(run, output, out));
    out->part = value.part;
    return OK;
}

METHOD(expandtabs)
{
    size_t output = run->out.length;
    int64_t size, column = 0;
    TRY(jinja_int_argument(run, "expandtabs", a[0], 8, &size));
    if (size > 10000)
        return jinja_fail(run, "expandtabs: the width is too large");
    for (size_t i = 0; i < value.length; i++) {
        char c = value.text[i];
        if (c == '\t') {
            int64_t blanks = size > 0 ? size - column % size : 0;
            TRY(jinja_write_repeated(run, jinja_literal(" "), (size_t)blanks));
            column += blanks;
            continue;
        }
        TRY(jinja_write(run, &c, 1));
        column = c == '\n' || c == '\r' ? 0 : column + (((unsigned char)c & 0xC0) != 0x80);
    }
    TRY(jinja_take_output(run, output, out));
    out->part = value.part;
    return OK;
}

// ---- formatting ----

static JINJA_BUILTIN_ANY(method_format)
{
    return jinja_brace_format(run, value, arguments, out);
}

METHOD(format_map)
{
    struct jinja_arguments arguments = {0};
    if (a[0].type != JINJA_DICT)
        return jinja_fail(run, "format_map needs a dict, found %s", jinja_type_name(a[0]));
    struct jinja_builder names = {0}, values = {0};
    for (size_t i = 0; i < a[0].dict->n; i++) {
        if (a[0].dict->entries[i].key.type != JINJA_TEXT)
            continue;
        TRY(jinja_push(run, &names, a[0].dict->entries[i].key));
        TRY(jinja_push(run, &values, a[0].dict->entries[i].value));
    }
    arguments.n_named = names.n;
    arguments.names = names.items;
    arguments.named = values.items;
    return jinja_brace_format(run, value, &arguments, out);
}

// ---- the table ----

struct method {
    enum jinja_type type;
    struct jinja_builtin builtin;
};

static const struct method methods[] = {
    {JINJA_TEXT, {"capitalize", "", 0, true, method_capitalize, NULL}},
    {JINJA_TEXT, {"casefold", "", 0, true, method_casefold, NULL}},
    {JINJA_TEXT, {"center", "width,fillchar", 1, true, method_center, NULL}},
    {JINJA_TEXT, {"count", "sub,start,end", 1, true, method_count, NULL}},
    {JINJA_TEXT, {"endswith", "suffix,start,end", 1, true, method_endswith, NULL}},
    {JINJA_TEXT, {"expandtabs", "tabsize", 0, false, method_expandtabs, NULL}},
    {JINJA_TEXT, {"find", "sub,start,end", 1, true, method_find, NULL}},
    {JINJA_TEXT, {"format", NULL, 0, false, NULL, method_format}},
    {JINJA_TEXT, {"format_map", "mapping", 1, true, method_format_map, NULL}},
    {JINJA_TEXT, {"index", "sub,start,end", 1, true, method_index, NULL}},
    {JINJA_TEXT, {"isalnum", "", 0, true, method_isalnum, NULL}},
    {JINJA_TEXT, {"isalpha", "", 0, true, method_isalpha, NULL}},
    {JINJA_TEXT, {"isascii", "", 0, true, method_isascii, NULL}},
    {JINJA_TEXT, {"isdecimal", "", 0, true, method_isdecimal, NULL}},
    {JINJA_TEXT, {"isdigit", "", 0, true, method_isdigit, NULL}},
    {JINJA_TEXT, {"isidentifier", "", 0, true, method_isidentifier, NULL}},
    {JINJA_TEXT, {"islower", "", 0, true, method_islower, NULL}},
    {JINJA_TEXT, {"isnumeric", "", 0, true, method_isnumeric, NULL}},
    {JINJA_TEXT, {"isprintable", "", 0, true, method_isprintable, NULL}},
    {JINJA_TEXT, {"isspace", "", 0, true, method_isspace, NULL}},
    {JINJA_TEXT, {"istitle", "", 0, true, method_istitle, NULL}},
    {JINJA_TEXT, {"isupper", "", 0, true, method_isupper, NULL}},
    {JINJA_TEXT, {"join", "iterable", 1, true, method_join, NULL}},
    {JINJA_TEXT, {"ljust", "width,fillchar", 1, true, method_ljust, NULL}},
    {JINJA_TEXT, {"lower", "", 0, true, method_lower, NULL}},
    {JINJA_TEXT, {"lstrip", "chars", 0, true, method_lstrip, NULL}},
    {JINJA_TEXT, {"partition", "sep", 1, true, method_partition, NULL}},
    {JINJA_TEXT, {"removeprefix", "prefix", 1, true, method_removeprefix, NULL}},
    {JINJA_TEXT, {"removesuffix", "suffix", 1, true, method_removesuffix, NULL}},
    {JINJA_TEXT, {"replace", "old,new,count", 2, true, method_replace, NULL}},
    {JINJA_TEXT, {"rfind", "sub,start,end", 1, true, method_rfind, NULL}},
    {JINJA_TEXT, {"rindex", "sub,start,end", 1, true, method_rindex, NULL}},
    {JINJA_TEXT, {"rjust", "width,fillchar", 1, true, method_rjust, NULL}},
    {JINJA_TEXT, {"rpartition", "sep", 1, true, method_rpartition, NULL}},
    {JINJA_TEXT, {"rsplit", "sep,maxsplit", 0, false, method_rsplit, NULL}},
    {JINJA_TEXT, {"rstrip", "chars", 0, true, method_rstrip, NULL}},
    {JINJA_TEXT, {"split", "sep,maxsplit", 0, false, method_split, NULL}},
    {JINJA_TEXT, {"splitlines", "keepends", 0, false, method_splitlines, NULL}},
    {JINJA_TEXT, {"startswith", "prefix,start,end", 1, true, method_startswith, NULL}},
    {JINJA_TEXT, {"strip", "chars", 0, true, method_strip, NULL}},
    {JINJA_TEXT, {"swapcase", "", 0, true, method_swapcase, NULL}},
    {JINJA_TEXT, {"title", "", 0, true, method_title, NULL}},
    {JINJA_TEXT, {"upper", "", 0, true, method_upper, NULL}},
    {JINJA_TEXT, {"zfill", "width", 1, true, method_zfill, NULL}},
    {JINJA_DICT, {"copy", "", 0, true, jinja_method_copy, NULL}},
    {JINJA_DICT, {"fromkeys", "iterable,value", 1, true, jinja_method_fromkeys, NULL}},
    {JINJA_DICT, {"get", "key,default", 1, true, jinja_method_get, NULL}},
    {JINJA_DICT, {"items", "", 0, true, jinja_method_items, NULL}},
    {JINJA_DICT, {"keys", "", 0, true, jinja_method_keys, NULL}},
    {JINJA_DICT, {"values", "", 0, true, jinja_method_values, NULL}},
    {JINJA_LIST, {"copy", "", 0, true, jinja_method_copy, NULL}},
    {JINJA_LIST, {"count", "value", 1, true, jinja_method_count_item, NULL}},
    {JINJA_LIST, {"index", "value,start,stop", 1, true, jinja_method_index_item, NULL}},
    {JINJA_TUPLE, {"count", "value", 1, true, jinja_method_count_item, NULL}},
    {JINJA_TUPLE, {"index", "value,start,stop", 1, true, jinja_method_index_item, NULL}},
    {JINJA_RANGE, {"count", "value", 1, true, jinja_method_count_item, NULL}},
    {JINJA_RANGE, {"index", "value", 1, true, jinja_method_index_item, NULL}},
    {JINJA_CYCLER, {"next", "", 0, true, jinja_method_next, NULL}},
    {JINJA_CYCLER, {"reset", "", 0, true, jinja_method_reset, NULL}},
    {JINJA_LOOP, {"cycle", NULL, 0, false, NULL, jinja_method_cycle}},
    {JINJA_LOOP, {"changed", NULL, 0, false, NULL, jinja_method_changed}}};

const struct jinja_builtin *jinja_find_method(enum jinja_type type, const char *name, size_t length)
{
    assert(name || length == 0);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (methods[i].type == type && strlen(methods[i].builtin.name) == length &&
            memcmp(methods[i].builtin.name, name, length) == 0)
            return &methods[i].builtin;
    return NULL;
}
