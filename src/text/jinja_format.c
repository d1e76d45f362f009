// text % value and text.format(...).
#include "text/jinja_format.h"

#include <math.h>
#include <stdio.h>

#include "text/python_text.h"
#include "text/unicode.h"

// ---- % ----

struct percent {
    struct jinja_run *run;
    struct jinja_value values; // a tuple, a mapping, or the one value
    size_t at;                 // of the tuple
    bool markup, mapping;
    // One conversion:
    bool left, plus, blank, alternate, zero;
    int64_t width, precision; // precision -1: not given
    char conversion;
};

static enum status next_value(struct percent *percent, struct jinja_value *out)
{
    size_t n = percent->values.type == JINJA_TUPLE ? percent->values.list->n : 1;
    if (percent->at >= n)
        return jinja_fail(percent->run, "%%: there are too few values for the format");
    *out = percent->values.type == JINJA_TUPLE ? percent->values.list->items[percent->at]
                                               : percent->values;
    percent->at++;
    return OK;
}

static enum status write_field(struct percent *percent, const char *sign, struct jinja_value body,
                               bool number)
{
    struct jinja_padding padding = {.fill = jinja_literal(" "), .align = '>'};
    padding.width = percent->width > 0 ? (size_t)percent->width : 0;
    if (padding.width > JINJA_OUTPUT_BYTES_MAX)
        return jinja_fail(percent->run, "%%: the width is too large");
    if (percent->left)
        padding.align = '<';
    else if (percent->zero && number)
        padding = (struct jinja_padding){jinja_literal("0"), '=', true, padding.width};
    return jinja_write_padded(percent->run, jinja_literal(sign), body, &padding);
}

static const char *sign_of(const struct percent *percent, bool negative)
{
    return negative ? "-" : percent->plus ? "+" : percent->blank ? " " : "";
}

static enum status convert_int(struct percent *percent, struct jinja_value value)
{
    char digits[600], sign[4];
    int64_t number;
    bool decimal = strchr("diu", percent->conversion) != NULL;
    if (decimal && value.type == JINJA_FLOAT)
        TRY(jinja_float_to_int(percent->run, value.real, &value));
    if (!jinja_is_int(value, &number))
        return jinja_fail(percent->run, "%%%c needs a number, found %s", percent->conversion,
                          jinja_type_name(value));
    uint64_t magnitude = number < 0 ? -(uint64_t)number : (uint64_t)number;
    if (percent->precision > 500)
        return jinja_fail(percent->run, "%%: the precision is too large");
    int precision = percent->precision < 0 ? 1 : (int)percent->precision, n;
    unsigned long long wide = magnitude;
    if (percent->conversion == 'x')
        n = snprintf(digits, sizeof digits, "%.*llx", precision, wide);
    else if (percent->conversion == 'X')
        n = snprintf(digits, sizeof digits, "%.*llX", precision, wide);
    else if (percent->conversion == 'o')
        n = snprintf(digits, sizeof digits, "%.*llo", precision, wide);
    else
        n = snprintf(digits, sizeof digits, "%.*llu", precision, wide);
    if (number == 0 && precision == 0)
        n = snprintf(digits, sizeof digits, "0");
    snprintf(sign, sizeof sign, "%s", sign_of(percent, number < 0));
    if (percent->alternate && !decimal)
        snprintf(sign, sizeof sign, "%s0%c", sign_of(percent, number < 0), percent->conversion);
    return write_field(percent, sign, jinja_text(digits, (size_t)n), true);
}

static enum status convert_float(struct percent *percent, struct jinja_value value)
{
    char digits[1200];
    int64_t number;
    if (jinja_is_int(value, &number))
        value = jinja_float((double)number);
    if (value.type != JINJA_FLOAT)
        return jinja_fail(percent->run, "%%%c needs a number, found %s", percent->conversion,
                          jinja_type_name(value));
    int precision = percent->precision > 1000 ? 1000 : (int)percent->precision;
    int n = jinja_print_float(fabs(value.real), percent->conversion, percent->alternate, precision,
                              digits, sizeof digits);
    if (n < 0)
        return jinja_fail(percent->run, "%%: the precision is more than %d", JINJA_PRECISION_MAX);
    bool negative = signbit(value.real) && !isnan(value.real);
    return write_field(percent, sign_of(percent, negative), jinja_text(digits, (size_t)n), true);
}

static enum status convert_character(struct percent *percent, struct jinja_value value)
{
    char put[UTF8_BYTES_MAX];
    int64_t number;
    if (value.type == JINJA_TEXT && jinja_text_chars(value) == 1)
        return write_field(percent, "", value, false);
    if (!jinja_is_int(value, &number) || number < 0 || number > 0x10FFFF ||
        (number >= 0xD800 && number <= 0xDFFF))
        return jinja_fail(percent->run, "%%c needs one character");
    return write_field(percent, "", jinja_text(put, utf8_put((uint32_t)number, put)), false);
}

// ascii(): repr with every character beyond ASCII escaped.
static enum status ascii_of(struct jinja_run *run, struct jinja_value value,
                            struct jinja_value *out)
{
    size_t begin = run->out.length;
    TRY(jinja_repr(run, value, &value));
    for (size_t i = 0, bytes; i < value.length; i += bytes) {
        uint32_t code;
        utf8_next(value.text + i, value.length - i, &code, &bytes);
        if (code < 0x80)
            TRY(jinja_write(run, value.text + i, 1));
        else
            TRY(jinja_writef(run,
                             code < 0x100     ? "\\x%02x"
                             : code < 0x10000 ? "\\u%04x"
                                              : "\\U%08x",
                             (unsigned)code));
    }
    return jinja_take_output(run, begin, out);
}

static enum status convert_to_text(struct percent *percent, struct jinja_value value)
{
    struct jinja_value text = {0};
    if (percent->conversion == 's')
        TRY(percent->markup ? jinja_escape(percent->run, value, &text)
                            : jinja_str(percent->run, value, &text));
    else
        TRY(percent->conversion == 'r' ? jinja_repr(percent->run, value, &text)
                                       : ascii_of(percent->run, value, &text));
    if (percent->markup && percent->conversion != 's')
        TRY(jinja_escape(percent->run, text, &text));
    if (percent->precision >= 0)
        text = jinja_text_slice(text, 0, (size_t)percent->precision);
    return write_field(percent, "", text, false);
}

static enum status convert_one(struct percent *percent, struct jinja_value value)
{
    switch (percent->conversion) {
    case 's':
    case 'r':
    case 'a':
        return convert_to_text(percent, value);
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        return convert_int(percent, value);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
        return convert_float(percent, value);
    case 'c':
        return convert_character(percent, value);
    default:
        return jinja_fail(percent->run, "%%: a format has the unknown conversion \"%c\"",
                          percent->conversion);
    }
}

static enum status incomplete(struct jinja_run *run)
{
    return jinja_fail(run, "%%: a format ends inside a conversion");
}

// A number in the format, or * for one among the values.
static enum status read_width(struct percent *percent, struct jinja_value text, size_t *at,
                              int64_t *out)
{
    if (*at < text.length && text.text[*at] == '*') {
        struct jinja_value value = {0};
        ++*at;
        TRY(next_value(percent, &value));
        if (!jinja_is_int(value, out))
            return jinja_fail(percent->run, "%%: * needs an integer");
        return OK;
    }
    for (*out = 0; *at < text.length && text.text[*at] >= '0' && text.text[*at] <= '9'; ++*at)
        if (*out < (int64_t)1 << 40)
            *out = *out * 10 + (text.text[*at] - '0');
    return OK;
}

// After "(": up to its ")"; names may hold pairs of parentheses.
static enum status mapped_value(struct percent *percent, struct jinja_value text, size_t *at,
                                struct jinja_value *out)
{
    size_t begin = *at;
    int open = 1;
    const struct jinja_value *found;
    for (; *at < text.length && open > 0; ++*at)
        open += text.text[*at] == '(' ? 1 : text.text[*at] == ')' ? -1 : 0;
    if (open > 0)
        return incomplete(percent->run);
    struct jinja_value key = jinja_text(text.text + begin, *at - 1 - begin);
    if (percent->values.type == JINJA_UNDEFINED)
        return jinja_undefined_used(percent->run, percent->values);
    if (percent->values.type != JINJA_DICT)
        return jinja_fail(percent->run, "%%(name) needs a dict, found %s",
                          jinja_type_name(percent->values));
    TRY(jinja_dict_get(percent->run, percent->values.dict, key, &found));
    if (!found)
        return jinja_fail(percent->run, "%%: there is no key \"%.*s\"", (int)key.length, key.text);
    *out = *found;
    return OK;
}

static void read_flags(struct percent *percent, struct jinja_value text, size_t *at)
{
    percent->left = percent->plus = percent->blank = percent->alternate = percent->zero = false;
    for (; *at < text.length; ++*at) {
        switch (text.text[*at]) {
        case '-':
            percent->left = true;
            break;
        case '+':
            percent->plus = true;
            break;
        case ' ':
            percent->blank = true;
            break;
        case '#':
            percent->alternate = true;
            break;
        case '0':
            percent->zero = true;
            break;
        default:
            return;
        }
    }
}

// After "%".
static enum status convert_argument(struct percent *percent, struct jinja_value text, size_t *at)
{
    struct jinja_value value = jinja_missing();
    if (*at < text.length && text.text[*at] == '(') {
        ++*at;
        TRY(mapped_value(percent, text, at, &value));
    }
    read_flags(percent, text, at);
    TRY(read_width(percent, text, at, &percent->width));
    if (percent->width < 0) {
        percent->left = true;
        percent->width = -percent->width;
    }
    percent->precision = -1;
    if (*at < text.length && text.text[*at] == '.') {
        ++*at;
        TRY(read_width(percent, text, at, &percent->precision));
        if (percent->precision < 0)
            percent->precision = 0;
    }
    if (*at < text.length && strchr("hlL", text.text[*at]) && text.text[*at])
        ++*at;
    if (*at == text.length)
        return incomplete(percent->run);
    percent->conversion = text.text[(*at)++];
    if (percent->conversion == '%')
        return jinja_write(percent->run, "%", 1);
    if (!jinja_given(value))
        TRY(next_value(percent, &value));
    return convert_one(percent, value);
}

enum status jinja_percent(struct jinja_run *run, struct jinja_value text, struct jinja_value value,
                          struct jinja_value *out)
{
    struct percent percent = {.run = run, .values = value, .markup = jinja_is_markup(text)};
    size_t begin = run->out.length, kept = 0, at = 0;
    percent.mapping = value.type == JINJA_DICT || value.type == JINJA_LIST ||
                      value.type == JINJA_RANGE || value.type == JINJA_UNDEFINED;
    while (at < text.length) {
        if (text.text[at++] != '%')
            continue;
        TRY(jinja_write(run, text.text + kept, at - 1 - kept));
        TRY(convert_argument(&percent, text, &at));
        kept = at;
    }
    TRY(jinja_write(run, text.text + kept, text.length - kept));
    size_t n = value.type == JINJA_TUPLE ? value.list->n : 1;
    if (percent.at < n && !percent.mapping)
        return jinja_fail(run, "%%: there are more values than the format asks for");
    TRY(jinja_take_output(run, begin, out));
    *out = jinja_as(*out, text.part);
    return OK;
}

// ---- str.format ----

struct braces {
    struct jinja_run *run;
    const struct jinja_arguments *arguments;
    int64_t automatic; // the next number of {}; -1: numbers are given
    bool markup;
};

static enum status bad_braces(const struct braces *braces)
{
    return jinja_fail(braces->run, "format: a field {} is not well-formed");
}

static bool all_digits(struct jinja_value text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.text[i] < '0' || text.text[i] > '9')
            return false;
    return text.length > 0 && text.length < 18;
}

static int64_t small_number(struct jinja_value digits)
{
    int64_t n = 0;
    for (size_t i = 0; i < digits.length; i++)
        n = n * 10 + (digits.text[i] - '0');
    return n;
}

static enum status first_value(struct braces *braces, struct jinja_value name, bool whole,
                               struct jinja_value *out)
{
    int64_t index = -1;
    if (name.length == 0 && whole) {
        if (braces->automatic < 0)
            return jinja_fail(braces->run, "format: {} and {0} cannot be mixed");
        index = braces->automatic++;
    } else if (all_digits(name)) {
        if (braces->automatic > 0)
            return jinja_fail(braces->run, "format: {} and {0} cannot be mixed");
        braces->automatic = whole ? -1 : braces->automatic;
        index = small_number(name);
    }
    if (index >= 0) {
        if ((uint64_t)index >= braces->arguments->n)
            return jinja_fail(braces->run, "format: there is no value %lld", (long long)index);
        *out = braces->arguments->values[index];
        return OK;
    }
    for (size_t i = 0; i < braces->arguments->n_named; i++)
        if (braces->arguments->names[i].length == name.length &&
            memcmp(braces->arguments->names[i].text, name.text, name.length) == 0) {
            *out = braces->arguments->named[i];
            return OK;
        }
    return jinja_fail(braces->run, "format: there is no value \"%.*s\"", (int)name.length,
                      name.text);
}

// name.attribute[index]
static enum status field_value(struct braces *braces, struct jinja_value name,
                               struct jinja_value *out)
{
    size_t at = 0;
    while (at < name.length && name.text[at] != '.' && name.text[at] != '[')
        at++;
    TRY(first_value(braces, jinja_text(name.text, at), at == name.length, out));
    while (at < name.length) {
        bool attribute = name.text[at++] == '.';
        size_t begin = at;
        while (at < name.length &&
               (attribute ? name.text[at] != '.' && name.text[at] != '[' : name.text[at] != ']'))
            at++;
        struct jinja_value part = jinja_text(name.text + begin, at - begin);
        if (part.length == 0 || (!attribute && at++ == name.length) ||
            (!attribute && at < name.length && name.text[at] != '.' && name.text[at] != '['))
            return bad_braces(braces);
        if (!attribute && all_digits(part))
            part = jinja_int(small_number(part));
        TRY(attribute ? jinja_get_attribute(braces->run, *out, part, out)
                      : jinja_get_item(braces->run, *out, part, out));
    }
    return OK;
}

static enum status write_braces(struct braces *braces, struct jinja_value text, int depth);

static enum status write_converted(struct braces *braces, struct jinja_value value,
                                   struct jinja_value spec)
{
    size_t begin = braces->run->out.length;
    if (!braces->markup)
        return jinja_write_formatted(braces->run, value, spec);
    if (jinja_is_markup(value))
        return spec.length > 0 ? bad_braces(braces) : jinja_print(braces->run, value);
    TRY(jinja_write_formatted(braces->run, value, spec));
    TRY(jinja_take_output(braces->run, begin, &value));
    return jinja_write_escaped(braces->run, value);
}

// The inside of {}: name!conversion:spec
static enum status write_replacement(struct braces *braces, struct jinja_value field, int depth)
{
    struct jinja_value value = {0}, spec = jinja_literal("");
    size_t at = 0, begin = braces->run->out.length;
    bool inside = false;
    for (; at < field.length; at++) {
        inside = field.text[at] == '[' || (inside && field.text[at] != ']');
        if (!inside && (field.text[at] == '!' || field.text[at] == ':'))
            break;
    }
    TRY(field_value(braces, jinja_text(field.text, at), &value));
    char conversion = '\0';
    if (at < field.length && field.text[at] == '!') {
        conversion = (char)(at + 1 < field.length ? field.text[at + 1] : '?');
        at += 2;
        if (at < field.length && field.text[at] != ':')
            return bad_braces(braces);
    }
    if (at < field.length)
        spec = jinja_text(field.text + at + 1, field.length - at - 1);
    if (conversion == 's')
        TRY(jinja_str(braces->run, value, &value));
    else if (conversion == 'r')
        TRY(jinja_repr(braces->run, value, &value));
    else if (conversion == 'a')
        TRY(ascii_of(braces->run, value, &value));
    else if (conversion)
        return bad_braces(braces);
    if (spec.length > 0 && memchr(spec.text, '{', spec.length)) {
        if (depth == 0)
            return jinja_fail(braces->run, "format: fields are nested too deeply");
        TRY(write_braces(braces, spec, depth - 1));
        TRY(jinja_take_output(braces->run, begin, &spec));
    }
    return write_converted(braces, value, spec);
}

static enum status write_braces(struct braces *braces, struct jinja_value text, int depth)
{
    for (size_t at = 0; at < text.length;) {
        size_t begin = at;
        while (at < text.length && text.text[at] != '{' && text.text[at] != '}')
            at++;
        TRY(jinja_write(braces->run, text.text + begin, at - begin));
        if (at == text.length)
            return OK;
        char c = text.text[at++];
        if (at < text.length && text.text[at] == c) {
            TRY(jinja_write(braces->run, &c, 1));
            at++;
            continue;
        }
        if (c == '}')
            return jinja_fail(braces->run, "format: a single \"}\" stands in the text");
        begin = at;
        int open = 1;
        for (; at < text.length && open > 0; at++)
            open += text.text[at] == '{' ? 1 : text.text[at] == '}' ? -1 : 0;
        if (open > 0)
            return jinja_fail(braces->run, "format: a \"{\" has no end");
        TRY(write_replacement(braces, jinja_text(text.text + begin, at - 1 - begin), depth));
    }
    return OK;
}

enum status jinja_brace_format(struct jinja_run *run, struct jinja_value text,
                               const struct jinja_arguments *arguments, struct jinja_value *out)
{
    struct braces braces = {.run = run, .arguments = arguments, .markup = jinja_is_markup(text)};
    size_t begin = run->out.length;
    TRY(write_braces(&braces, text, 1));
    TRY(jinja_take_output(run, begin, out));
    *out = jinja_as(*out, text.part);
    return OK;
}
