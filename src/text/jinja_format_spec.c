// format(value, "spec"): Python's mini-language, and the padding that % formatting shares.
#include "text/jinja_format.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/unicode.h"

enum status jinja_write_repeated(struct jinja_run *run, struct jinja_value text, size_t times)
{
    TRY(jinja_touch(run, times));
    for (size_t i = 0; i < times; i++)
        TRY(jinja_write(run, text.text, text.length));
    return OK;
}

enum status jinja_write_padded(struct jinja_run *run, struct jinja_value sign,
                               struct jinja_value body, const struct jinja_padding *padding)
{
    size_t chars = jinja_text_chars(sign) + jinja_text_chars(body),
           all = padding->width > chars ? padding->width - chars : 0, before = 0;
    if (padding->align == '>')
        before = all;
    else if (padding->align == '^')
        before = all / 2;
    TRY(jinja_write_repeated(run, padding->fill, before));
    TRY(jinja_write(run, sign.text, sign.length));
    if (padding->align == '=') {
        TRY(jinja_write_repeated(run, padding->fill, all));
        before = all;
    }
    TRY(jinja_write(run, body.text, body.length));
    return jinja_write_repeated(run, padding->fill, all - before);
}

// ---- parsing ----

struct spec {
    struct jinja_padding padding;
    char sign, type, grouping; // '\0': not given
    bool alternate, zero_negative;
    int precision; // -1: not given
};

static bool is_align(char c)
{
    return c == '<' || c == '>' || c == '=' || c == '^';
}

static bool read_field_size(struct jinja_value *text, size_t *out)
{
    for (*out = 0; text->length > 0 && *text->text >= '0' && *text->text <= '9';
         text->text++, text->length--) {
        *out = *out * 10 + (size_t)(*text->text - '0');
        if (*out > JINJA_OUTPUT_BYTES_MAX)
            return false;
    }
    return true;
}

static bool take_char(struct jinja_value *text, const char *which, char *out)
{
    if (text->length == 0 || !*text->text || !strchr(which, *text->text))
        return false;
    *out = *text->text++;
    text->length--;
    return true;
}

static bool parse_spec(struct jinja_value text, struct spec *out)
{
    uint32_t code;
    size_t bytes = 0, number;
    char ignored;
    *out = (struct spec){.precision = -1, .padding.fill = jinja_literal(" ")};
    if (text.length > 0)
        utf8_next(text.text, text.length, &code, &bytes);
    bool filled = bytes > 0 && text.length > bytes && is_align(text.text[bytes]);
    if (filled) {
        out->padding.fill = jinja_text(text.text, bytes);
        text.text += bytes;
        text.length -= bytes;
    }
    take_char(&text, "<>=^", &out->padding.align);
    take_char(&text, "+- ", &out->sign);
    out->zero_negative = take_char(&text, "z", &ignored);
    out->alternate = take_char(&text, "#", &ignored);
    if (!filled && text.length > 0 && *text.text == '0') {
        out->padding.fill = jinja_literal("0");
        out->padding.zero = true;
    }
    if (!read_field_size(&text, &out->padding.width))
        return false;
    take_char(&text, ",_", &out->grouping);
    if (take_char(&text, ".", &ignored)) {
        if (text.length == 0 || *text.text < '0' || *text.text > '9' ||
            !read_field_size(&text, &number) || number > 100000)
            return false;
        out->precision = (int)number;
    }
    if (text.length > 1)
        return false;
    out->type = (char)(text.length == 1 ? *text.text : '\0');
    return true;
}

static enum status bad_spec(struct jinja_run *run, struct jinja_value value)
{
    return jinja_fail(run, "format: this format does not fit %s", jinja_type_name(value));
}

// ---- numbers ----

// Puts a separator between groups of digits of the whole part.
static size_t group_digits(const char *digits, size_t n, char separator, size_t group, char *out)
{
    size_t whole = 0, length = 0;
    while (whole < n && ((digits[whole] >= '0' && digits[whole] <= '9') || group == 4))
        whole++;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && i < whole && (whole - i) % group == 0)
            out[length++] = separator;
        out[length++] = digits[i];
    }
    return length;
}

enum { DIGITS_MAX = 1024 };

// `digits` without sign; `prefix` such as 0x.
static enum status write_number(struct jinja_run *run, const struct spec *spec, bool negative,
                                const char *prefix, const char *digits, size_t n)
{
    char grouped[2 * DIGITS_MAX], sign[8];
    struct jinja_padding padding = spec->padding;
    size_t group = spec->type && strchr("xXob", spec->type) ? 4 : 3;
    if (n > DIGITS_MAX)
        return jinja_fail(run, "format: a number has more than %d digits", DIGITS_MAX);
    if (spec->grouping) {
        // Zeros that pad are grouped as well.
        char padded[DIGITS_MAX + 1];
        size_t zeros = 0, length;
        memcpy(padded, digits, n);
        length = group_digits(padded, n, spec->grouping, group, grouped);
        size_t others = strlen(prefix) + (negative || spec->sign == '+' || spec->sign == ' ');
        while (padding.zero && (!padding.align || padding.align == '=') &&
               length + others < padding.width && zeros + n < DIGITS_MAX) {
            zeros++;
            memmove(padded + 1, padded, zeros + n - 1);
            padded[0] = '0';
            length = group_digits(padded, zeros + n, spec->grouping, group, grouped);
        }
        digits = grouped;
        n = length;
    }
    const char *signed_as = negative ? "-" : spec->sign == '+' ? "+" : spec->sign == ' ' ? " " : "";
    snprintf(sign, sizeof sign, "%s%s", signed_as, prefix);
    if (!padding.align)
        padding.align = padding.zero ? '=' : '>';
    return jinja_write_padded(run, jinja_literal(sign), jinja_text(digits, n), &padding);
}

static size_t to_base(uint64_t number, int base, bool upper, char out[65])
{
    char reversed[65];
    size_t n = 0;
    do {
        reversed[n++] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[number % (unsigned)base];
        number /= (unsigned)base;
    } while (number > 0);
    for (size_t i = 0; i < n; i++)
        out[i] = reversed[n - 1 - i];
    out[n] = '\0';
    return n;
}

static enum status format_character(struct jinja_run *run, struct spec *spec, int64_t number)
{
    char put[UTF8_BYTES_MAX];
    if (number < 0 || number > 0x10FFFF || (number >= 0xD800 && number <= 0xDFFF) || spec->sign ||
        spec->alternate)
        return bad_spec(run, jinja_int(number));
    size_t n = utf8_put((uint32_t)number, put);
    if (!spec->padding.align)
        spec->padding.align = spec->padding.zero ? '=' : '>';
    return jinja_write_padded(run, jinja_literal(""), jinja_text(put, n), &spec->padding);
}

static enum status format_int(struct jinja_run *run, struct spec *spec, int64_t number)
{
    char digits[65];
    char type = (char)(spec->type ? spec->type : 'd');
    int base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10;
    if (spec->precision >= 0 || spec->zero_negative || (spec->grouping == ',' && base != 10) ||
        (spec->grouping && (type == 'n' || type == 'c')))
        return bad_spec(run, jinja_int(number));
    if (type == 'c')
        return format_character(run, spec, number);
    const char *prefix = !spec->alternate || base == 10 ? ""
                         : type == 'X'                  ? "0X"
                         : base == 16                   ? "0x"
                         : base == 8                    ? "0o"
                                                        : "0b";
    uint64_t magnitude = number < 0 ? -(uint64_t)number : (uint64_t)number;
    size_t n = to_base(magnitude, base, type == 'X', digits);
    return write_number(run, spec, number < 0, prefix, digits, n);
}

// Without type: as repr(), or with a precision as %g that keeps ".0".
static int print_plain(double value, int precision, char *out, size_t size)
{
    if (precision < 0)
        return jinja_float_text(value, out);
    int n = snprintf(out, size, "%.*g", precision ? precision : 1, value), exponent = 0;
    const char *e = strchr(out, 'e');
    if (e || !isfinite(value))
        return n;
    char scientific[64];
    snprintf(scientific, sizeof scientific, "%.*e", (precision ? precision : 1) - 1, value);
    exponent = atoi(strchr(scientific, 'e') + 1);
    if (exponent >= (precision ? precision : 1) - 1 && exponent != 0 && !strchr(out, '.'))
        return snprintf(out, size, "%.*e", (precision ? precision : 1) - 1, value);
    return strchr(out, '.') ? n : n + snprintf(out + n, size - (size_t)n, ".0");
}

int jinja_print_float(double value, char type, bool alternate, int precision, char *out,
                      size_t size)
{
    char format[8];
    if (precision > JINJA_PRECISION_MAX)
        return -1;
    if (type == '\0')
        return print_plain(value, precision, out, size);
    bool percent = type == '%';
    snprintf(format, sizeof format, "%%%s.*%c", alternate ? "#" : "", percent ? 'f' : type);
    int n =
        snprintf(out, size, format, precision < 0 ? 6 : precision, percent ? value * 100 : value);
    return percent && n >= 0 ? n + snprintf(out + n, size - (size_t)n, "%%") : n;
}

static enum status format_float(struct jinja_run *run, struct spec *spec, double value)
{
    char text[DIGITS_MAX + 400];
    char type = (char)(spec->type == 'n' ? 'g' : spec->type);
    bool negative = signbit(value) && !isnan(value);
    int n =
        jinja_print_float(fabs(value), type, spec->alternate, spec->precision, text, sizeof text);
    if (n < 0 || (size_t)n >= sizeof text)
        return jinja_fail(run, "format: the precision is more than %d", JINJA_PRECISION_MAX);
    if (spec->zero_negative && strspn(text, "0.") == strlen(text))
        negative = false;
    return write_number(run, spec, negative, "", text, (size_t)n);
}

// ---- values ----

static enum status format_text(struct jinja_run *run, struct spec *spec, struct jinja_value value)
{
    if ((spec->type && spec->type != 's') || spec->sign || spec->alternate || spec->grouping ||
        spec->zero_negative || spec->padding.align == '=')
        return bad_spec(run, value);
    if (!spec->padding.align)
        spec->padding.align = '<';
    if (spec->precision >= 0)
        value = jinja_text_slice(value, 0, (size_t)spec->precision);
    return jinja_write_padded(run, jinja_literal(""), value, &spec->padding);
}

enum status jinja_write_formatted(struct jinja_run *run, struct jinja_value value,
                                  struct jinja_value text)
{
    struct spec spec;
    int64_t number;
    if (text.length == 0)
        return jinja_print(run, value);
    if (!parse_spec(text, &spec))
        return bad_spec(run, value);
    bool for_float = spec.type && strchr("eEfFgG%", spec.type);
    if (jinja_is_int(value, &number))
        return for_float ? format_float(run, &spec, (double)number)
               : !spec.type || strchr("bcdnoxX", spec.type) ? format_int(run, &spec, number)
                                                            : bad_spec(run, value);
    if (value.type == JINJA_FLOAT && (!spec.type || for_float || spec.type == 'n'))
        return format_float(run, &spec, value.real);
    if (value.type == JINJA_TEXT)
        return format_text(run, &spec, value);
    return bad_spec(run, value);
}
