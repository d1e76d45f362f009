// Values as text: Python's str() and repr().
#include "text/jinja_run.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/jinja_eval.h"
#include "text/python_text.h"
#include "text/unicode.h"

// The shortest digits that read back as `value`, and the power of ten of the first one.
static int shortest_digits(double value, char digits[24], int *exponent)
{
    char text[40];
    int precision = 0;
    do {
        snprintf(text, sizeof text, "%.*e", precision, value);
    } while (strtod(text, NULL) != value && ++precision < 17);
    int n = 0;
    char *e = strchr(text, 'e');
    for (const char *c = text; c < e; c++)
        if (*c >= '0' && *c <= '9')
            digits[n++] = *c;
    *exponent = atoi(e + 1);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = '\0';
    return n;
}

int jinja_float_text(double value, char out[JINJA_FLOAT_BYTES_MAX])
{
    assert(out);
    char digits[24];
    int exponent;
    if (isnan(value))
        return snprintf(out, JINJA_FLOAT_BYTES_MAX, "nan");
    const char *sign = signbit(value) ? "-" : "";
    if (isinf(value))
        return snprintf(out, JINJA_FLOAT_BYTES_MAX, "%sinf", sign);
    int n = shortest_digits(fabs(value), digits, &exponent);
    if (exponent < -4 || exponent >= 16)
        return snprintf(out, JINJA_FLOAT_BYTES_MAX, "%s%c%s%se%c%02d", sign, digits[0],
                        n > 1 ? "." : "", digits + 1, exponent < 0 ? '-' : '+', abs(exponent));
    if (exponent < 0)
        return snprintf(out, JINJA_FLOAT_BYTES_MAX, "%s0.%.*s%s", sign, -exponent - 1, "0000",
                        digits);
    if (n > exponent + 1)
        return snprintf(out, JINJA_FLOAT_BYTES_MAX, "%s%.*s.%s", sign, exponent + 1, digits,
                        digits + exponent + 1);
    return snprintf(out, JINJA_FLOAT_BYTES_MAX, "%s%s%.*s.0", sign, digits, exponent + 1 - n,
                    "0000000000000000");
}

static enum status write_escape(struct jinja_run *run, uint32_t code, char quote)
{
    switch (code) {
    case '\n':
        return jinja_write(run, "\\n", 2);
    case '\r':
        return jinja_write(run, "\\r", 2);
    case '\t':
        return jinja_write(run, "\\t", 2);
    default:
        break;
    }
    if (code == '\\' || code == (unsigned char)quote)
        return jinja_writef(run, "\\%c", (int)code);
    return jinja_writef(run,
                        code < 0x100     ? "\\x%02x"
                        : code < 0x10000 ? "\\u%04x"
                                         : "\\U%08x",
                        (unsigned)code);
}

static enum status write_text_repr(struct jinja_run *run, struct jinja_value value)
{
    bool single = value.length > 0 && memchr(value.text, '\'', value.length),
         twofold = value.length > 0 && memchr(value.text, '"', value.length);
    char quote = single && !twofold ? '"' : '\'';
    size_t kept = 0;
    if (value.part == JINJA_MARKUP)
        TRY(jinja_write(run, "Markup(", 7));
    TRY(jinja_write(run, &quote, 1));
    for (size_t i = 0, bytes; i < value.length; i += bytes) {
        uint32_t code;
        utf8_next(value.text + i, value.length - i, &code, &bytes);
        if (code != '\\' && code != (unsigned char)quote && python_flags(code) & PYTHON_PRINTABLE)
            continue;
        TRY(jinja_write(run, value.text + kept, i - kept));
        TRY(write_escape(run, code, quote));
        kept = i + bytes;
    }
    TRY(jinja_write(run, value.text + kept, value.length - kept));
    TRY(jinja_write(run, &quote, 1));
    return value.part == JINJA_MARKUP ? jinja_write(run, ")", 1) : OK;
}

static enum status write_items(struct jinja_run *run, const struct jinja_list *list)
{
    assert(run && list && (list->items || list->n == 0));
    for (size_t i = 0; i < list->n; i++) {
        if (i > 0)
            TRY(jinja_write(run, ", ", 2));
        TRY(jinja_write_repr(run, list->items[i]));
    }
    return OK;
}

static enum status show_list(struct jinja_run *run, struct jinja_value value)
{
    bool tuple = value.type == JINJA_TUPLE;
    TRY(jinja_write(run, tuple ? "(" : "[", 1));
    TRY(write_items(run, value.list));
    return jinja_write(run,
                       !tuple               ? "]"
                       : value.list->n == 1 ? ",)"
                                            : ")",
                       tuple && value.list->n == 1 ? 2 : 1);
}

static enum status show_dict(struct jinja_run *run, const struct jinja_dict *dict)
{
    assert(run && dict && dict->n <= dict->capacity);
    TRY(jinja_write(run, "{", 1));
    for (size_t i = 0; i < dict->n; i++) {
        if (i > 0)
            TRY(jinja_write(run, ", ", 2));
        TRY(jinja_write_repr(run, dict->entries[i].key));
        TRY(jinja_write(run, ": ", 2));
        TRY(jinja_write_repr(run, dict->entries[i].value));
    }
    return jinja_write(run, "}", 1);
}

static enum status write_view(struct jinja_run *run, struct jinja_value value)
{
    struct jinja_value list;
    TRY(jinja_to_list(run, value, JINJA_LIST, &list));
    TRY(jinja_writef(run, "dict_%s(",
                     value.part == JINJA_KEYS     ? "keys"
                     : value.part == JINJA_VALUES ? "values"
                                                  : "items"));
    TRY(show_list(run, list));
    return jinja_write(run, ")", 1);
}

static enum status write_loop(struct jinja_run *run, struct jinja_loop *loop)
{
    int64_t length;
    TRY(jinja_loop_length(run, loop, &length));
    return jinja_writef(run, "<LoopContext %lld/%lld>", (long long)loop->index0 + 1,
                        (long long)length);
}

static enum status write_macro(struct jinja_run *run, const struct jinja_macro *macro)
{
    if (macro->node->kind != JINJA_NODE_MACRO)
        return jinja_write(run, "<Macro anonymous>", 17);
    TRY(jinja_write(run, "<Macro ", 7));
    TRY(write_text_repr(run, macro->node->value));
    return jinja_write(run, ">", 1);
}

static enum status write_inside(struct jinja_run *run, struct jinja_value value)
{
    switch ((enum jinja_type)value.type) {
    case JINJA_LIST:
    case JINJA_TUPLE:
        return show_list(run, value);
    case JINJA_DICT:
        return show_dict(run, value.dict);
    case JINJA_VIEW:
        return write_view(run, value);
    case JINJA_NAMESPACE:
        TRY(jinja_write(run, "<Namespace ", 11));
        TRY(show_dict(run, value.dict));
        return jinja_write(run, ">", 1);
    case JINJA_LOOP:
        return write_loop(run, value.loop);
    case JINJA_MACRO:
        return write_macro(run, value.macro);
    default:
        // Python writes an address.
        return jinja_unsupported(run, "%s cannot be written as text; %s", jinja_type_name(value),
                                 value.type == JINJA_ITERATOR ? "make a list of it first"
                                                              : "call it");
    }
}

enum status jinja_write_repr(struct jinja_run *run, struct jinja_value value)
{
    char digits[JINJA_FLOAT_BYTES_MAX];
    switch ((enum jinja_type)value.type) {
    case JINJA_MISSING:
    case JINJA_UNDEFINED:
        return jinja_write(run, "Undefined", 9);
    case JINJA_NONE:
        return jinja_write(run, "None", 4);
    case JINJA_BOOL:
        return value.truth ? jinja_write(run, "True", 4) : jinja_write(run, "False", 5);
    case JINJA_INT:
        return jinja_writef(run, "%lld", (long long)value.number);
    case JINJA_FLOAT:
        return jinja_write(run, digits, (size_t)jinja_float_text(value.real, digits));
    case JINJA_TEXT:
        return write_text_repr(run, value);
    case JINJA_RANGE:
        TRY(jinja_writef(run, "range(%lld, %lld", (long long)value.range->start,
                         (long long)value.range->stop));
        return value.range->step == 1 ? jinja_write(run, ")", 1)
                                      : jinja_writef(run, ", %lld)", (long long)value.range->step);
    default:
        break;
    }
    TRY(jinja_go_into(run));
    enum status status = write_inside(run, value);
    run->value_depth--;
    return status;
}

enum status jinja_print(struct jinja_run *run, struct jinja_value value)
{
    if (value.type == JINJA_TEXT)
        return jinja_write(run, value.text, value.length);
    return value.type == JINJA_UNDEFINED ? OK : jinja_write_repr(run, value);
}

enum status jinja_str(struct jinja_run *run, struct jinja_value value, struct jinja_value *out)
{
    assert(run && out);
    size_t begin = run->out.length;
    if (value.type == JINJA_TEXT) {
        *out = value;
        return OK;
    }
    TRY(jinja_print(run, value));
    return jinja_take_output(run, begin, out);
}

enum status jinja_repr(struct jinja_run *run, struct jinja_value value, struct jinja_value *out)
{
    assert(run && out);
    size_t begin = run->out.length;
    TRY(jinja_write_repr(run, value));
    return jinja_take_output(run, begin, out);
}
