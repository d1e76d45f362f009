// Arithmetic with Python's rules: integers stay integers, // and % follow the sign of the divisor,
// / is a float. Integers beyond 64 bits, which Python has, are errors that say so.
#include "text/jinja_run.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/python_text.h"
#include "text/unicode.h"

__extension__ typedef __int128 wide_int; // where 64 bits are doubled for a moment

static enum status number_too_large(struct jinja_run *run)
{
    return jinja_unsupported(run, "an integer has more than 64 bits, which is not supported");
}

static enum status divided_by_zero(struct jinja_run *run)
{
    return jinja_fail(run, "a number is divided by zero");
}

// ---- integers ----

static enum status floor_divide(struct jinja_run *run, int64_t a, int64_t b, int64_t *quotient,
                                int64_t *rest)
{
    if (b == 0)
        return divided_by_zero(run);
    if (a == INT64_MIN && b == -1)
        return number_too_large(run);
    *quotient = a / b;
    *rest = a % b;
    if (*rest != 0 && (*rest < 0) != (b < 0)) {
        --*quotient;
        *rest += b;
    }
    return OK;
}

static enum status power_int(struct jinja_run *run, int64_t base, int64_t exponent,
                             struct jinja_value *out)
{
    int64_t result = 1;
    if (exponent < 0) {
        if (base == 0)
            return divided_by_zero(run);
        *out = jinja_float(pow((double)base, (double)exponent));
        return OK;
    }
    while (exponent > 0) {
        if (exponent & 1 && __builtin_mul_overflow(result, base, &result))
            return number_too_large(run);
        exponent >>= 1;
        if (exponent > 0 && __builtin_mul_overflow(base, base, &base))
            return number_too_large(run);
    }
    *out = jinja_int(result);
    return OK;
}

static enum status operate_ints(struct jinja_run *run, enum jinja_arithmetic operator, int64_t a,
                                int64_t b, struct jinja_value *out)
{
    int64_t result = 0, rest = 0;
    bool overflow = false;
    switch (operator) {
    case JINJA_ADD:
        overflow = __builtin_add_overflow(a, b, &result);
        break;
    case JINJA_SUBTRACT:
        overflow = __builtin_sub_overflow(a, b, &result);
        break;
    case JINJA_MULTIPLY:
        overflow = __builtin_mul_overflow(a, b, &result);
        break;
    case JINJA_DIVIDE:
        if (b == 0)
            return divided_by_zero(run);
        *out = jinja_float((double)((long double)a / (long double)b));
        return OK;
    case JINJA_FLOOR_DIVIDE:
        TRY(floor_divide(run, a, b, &result, &rest));
        break;
    case JINJA_MODULO:
        if (b == -1)
            break;
        TRY(floor_divide(run, a, b, &rest, &result));
        break;
    case JINJA_POWER:
        return power_int(run, a, b, out);
    }
    if (overflow)
        return number_too_large(run);
    *out = jinja_int(result);
    return OK;
}

// ---- floats (CPython's floatobject.c) ----

static double float_modulo(double a, double b)
{
    double rest = fmod(a, b);
    if (rest != 0)
        return (b < 0) != (rest < 0) ? rest + b : rest;
    return copysign(0.0, b);
}

static double float_floor_divide(double a, double b)
{
    double rest = fmod(a, b), quotient = (a - rest) / b;
    if (rest != 0 && (b < 0) != (rest < 0))
        quotient -= 1.0;
    if (quotient == 0)
        return copysign(0.0, a / b);
    double floored = floor(quotient);
    return quotient - floored > 0.5 ? floored + 1.0 : floored;
}

static enum status power_float(struct jinja_run *run, double a, double b, struct jinja_value *out)
{
    if (a == 0 && b < 0)
        return divided_by_zero(run);
    if (a < 0 && isfinite(a) && isfinite(b) && floor(b) != b)
        return jinja_unsupported(run, "a complex number, which is not supported");
    double result = pow(a, b);
    if (isinf(result) && isfinite(a) && isfinite(b))
        return jinja_fail(run, "the power is too large for a float");
    *out = jinja_float(result);
    return OK;
}

static enum status operate_floats(struct jinja_run *run, enum jinja_arithmetic operator, double a,
                                  double b, struct jinja_value *out)
{
    bool divides = operator== JINJA_DIVIDE || operator== JINJA_FLOOR_DIVIDE || operator==
        JINJA_MODULO;
    if (divides && b == 0)
        return divided_by_zero(run);
    switch (operator) {
    case JINJA_ADD:
        *out = jinja_float(a + b);
        break;
    case JINJA_SUBTRACT:
        *out = jinja_float(a - b);
        break;
    case JINJA_MULTIPLY:
        *out = jinja_float(a * b);
        break;
    case JINJA_DIVIDE:
        *out = jinja_float(a / b);
        break;
    case JINJA_FLOOR_DIVIDE:
        *out = jinja_float(float_floor_divide(a, b));
        break;
    case JINJA_MODULO:
        *out = jinja_float(float_modulo(a, b));
        break;
    case JINJA_POWER:
        return power_float(run, a, b, out);
    }
    return OK;
}

// ---- + and * of texts and lists ----

static enum status add_lists(struct jinja_run *run, struct jinja_value a, struct jinja_value b,
                             struct jinja_value *out)
{
    struct jinja_list *list;
    TRY(jinja_list_new(run, a.type, a.list->n + b.list->n, &list, out));
    for (size_t i = 0; i < a.list->n; i++)
        list->items[list->n++] = a.list->items[i];
    for (size_t i = 0; i < b.list->n; i++)
        list->items[list->n++] = b.list->items[i];
    return OK;
}

static enum status add_texts(struct jinja_run *run, struct jinja_value a, struct jinja_value b,
                             struct jinja_value *out)
{
    bool markup = jinja_is_markup(a) || jinja_is_markup(b);
    if (markup) {
        TRY(jinja_escape(run, a, &a));
        TRY(jinja_escape(run, b, &b));
    }
    TRY(jinja_join_two(run, a, b, out));
    *out = jinja_as(*out, markup ? JINJA_MARKUP : JINJA_PLAIN);
    return OK;
}

static enum status repeat_value(struct jinja_run *run, struct jinja_value value, int64_t times,
                                struct jinja_value *out)
{
    assert(run && out);
    if (value.type == JINJA_TEXT)
        return jinja_repeat(run, value, times, out);
    struct jinja_list *list;
    size_t n = times > 0 && value.list->n > 0 ? (size_t)times : 0, total;
    if (__builtin_mul_overflow(n, value.list->n, &total))
        return fail_memory(SIZE_MAX, "a list");
    TRY(jinja_list_new(run, value.type, total, &list, out));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < value.list->n; k++)
            list->items[list->n++] = value.list->items[k];
    return OK;
}

static bool is_sequence(struct jinja_value value)
{
    return value.type == JINJA_TEXT || value.type == JINJA_LIST || value.type == JINJA_TUPLE;
}

static enum status no_operator(struct jinja_run *run, enum jinja_arithmetic operator,
                               struct jinja_value a, struct jinja_value b)
{
    static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "**"};
    if (a.type == JINJA_UNDEFINED || b.type == JINJA_UNDEFINED)
        return jinja_undefined_used(run, a.type == JINJA_UNDEFINED ? a : b);
    return jinja_fail(run, "the operator %s cannot take %s and %s", signs[operator],
                      jinja_type_name(a), jinja_type_name(b));
}

enum status jinja_arithmetic(struct jinja_run *run, enum jinja_arithmetic operator,
                             struct jinja_value a, struct jinja_value b, struct jinja_value *out)
{
    assert(run && out);
    int64_t x, y;
    bool a_is_int = jinja_is_int(a, &x), b_is_int = jinja_is_int(b, &y);
    if (a_is_int && b_is_int)
        return operate_ints(run, operator, x, y, out);
    if ((a_is_int || a.type == JINJA_FLOAT) && (b_is_int || b.type == JINJA_FLOAT))
        return operate_floats(run, operator, a_is_int ? (double)x : a.real,
                              b_is_int ? (double)y : b.real, out);
    if (operator== JINJA_ADD && a.type == b.type && a.type == JINJA_TEXT)
        return add_texts(run, a, b, out);
    if (operator== JINJA_ADD && a.type == b.type && is_sequence(a))
        return add_lists(run, a, b, out);
    if (operator== JINJA_MULTIPLY && is_sequence(a) && b_is_int)
        return repeat_value(run, a, y, out);
    if (operator== JINJA_MULTIPLY && is_sequence(b) && a_is_int)
        return repeat_value(run, b, x, out);
    if (operator== JINJA_MODULO && a.type == JINJA_TEXT)
        return jinja_percent(run, a, b, out);
    if (operator== JINJA_SUBTRACT && a.type == JINJA_VIEW && a.part != JINJA_VALUES)
        return jinja_unsupported(run, "sets are not supported");
    return no_operator(run, operator, a, b);
}

enum status jinja_negate(struct jinja_run *run, struct jinja_value value, bool minus,
                         struct jinja_value *out)
{
    int64_t number;
    if (jinja_is_int(value, &number)) {
        if (minus && number == INT64_MIN)
            return number_too_large(run);
        *out = jinja_int(minus ? -number : number);
        return OK;
    }
    if (value.type == JINJA_FLOAT) {
        *out = jinja_float(minus ? -value.real : value.real);
        return OK;
    }
    if (value.type == JINJA_UNDEFINED)
        return jinja_undefined_used(run, value);
    return jinja_fail(run, "the sign %s cannot stand before %s", minus ? "-" : "+",
                      jinja_type_name(value));
}

// ---- numbers out of texts ----

// Copies without surrounding space, digits of any script as ASCII ones; 0 when it is too long or
// holds what no number has.
enum { NUMBER_CHARS_MAX = 400 };
static size_t plain_digits(struct jinja_value text, char out[NUMBER_CHARS_MAX + 1])
{
    size_t n = 0;
    text = jinja_strip(text, jinja_none(), true, true);
    for (size_t i = 0, bytes; i < text.length; i += bytes) {
        uint32_t code;
        utf8_next(text.text + i, text.length - i, &code, &bytes);
        int digit = python_decimal(code);
        if (n == NUMBER_CHARS_MAX || (digit < 0 && (code >= 0x80 || code == 0)))
            return 0;
        out[n++] = (char)(digit >= 0 ? '0' + digit : (int)code);
    }
    out[n] = '\0';
    return n;
}

static int digit_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'z' ? c - 'a' + 10
           : c >= 'A' && c <= 'Z' ? c - 'A' + 10
                                  : 99;
}

// The base that a prefix says; *text goes behind it.
static int64_t prefix_base(const char **text, int64_t base)
{
    char c = (char)((*text)[0] == '0' ? (*text)[1] : '\0');
    int64_t said = c == 'b' || c == 'B'   ? 2
                   : c == 'o' || c == 'O' ? 8
                   : c == 'x' || c == 'X' ? 16
                                          : 0;
    if (said == 0 || (base != 0 && base != said))
        return base ? base : 10;
    *text += 2;
    if (**text == '_')
        ++*text;
    return said;
}

enum status jinja_parse_int(struct jinja_run *run, struct jinja_value text, int64_t base,
                            bool *valid, int64_t *out)
{
    assert(text.type == JINJA_TEXT && valid && out);
    char digits[NUMBER_CHARS_MAX + 1];
    const char *c = digits;
    bool negative = false, any = false, overflow = false, zeros_only = true, after_digit = false;
    *valid = false;
    *out = 0;
    if (base != 0 && (base < 2 || base > 36))
        return OK;
    if (plain_digits(text, digits) == 0)
        return OK;
    if (*c == '+' || *c == '-')
        negative = *c++ == '-';
    const char *begin = c;
    int64_t real_base = prefix_base(&c, base);
    bool leading_zero = base == 0 && c == begin && *c == '0';
    for (; *c; c++) {
        if (*c == '_' && after_digit && c[1] != '\0' && c[1] != '_') {
            after_digit = false;
            continue;
        }
        int digit = digit_value(*c);
        if (digit >= real_base)
            return OK;
        zeros_only &= digit == 0;
        after_digit = any = true;
        overflow |= __builtin_mul_overflow(*out, real_base, out) ||
                    __builtin_sub_overflow(*out, digit, out); // downwards: INT64_MIN fits
    }
    if (!any || (leading_zero && !zeros_only))
        return OK;
    *valid = true;
    if (overflow || (!negative && *out == INT64_MIN))
        return number_too_large(run);
    *out = negative ? *out : -*out;
    return OK;
}

bool jinja_parse_float(struct jinja_value text, double *out)
{
    assert(text.type == JINJA_TEXT && out);
    char digits[NUMBER_CHARS_MAX + 1], plain[NUMBER_CHARS_MAX + 1], *end;
    size_t n = plain_digits(text, digits), kept = 0;
    if (n == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool between = i > 0 && i + 1 < n && digit_value(digits[i - 1]) < 10 &&
                       digit_value(digits[i + 1]) < 10;
        if (digits[i] == '_' && between)
            continue;
        if (!strchr("0123456789+-.eEinfatyINFATY", digits[i])) // no hexadecimal, no "nan(...)"
            return false;
        plain[kept++] = digits[i];
    }
    plain[kept] = '\0';
    *out = strtod(plain, &end);
    return *end == '\0';
}

enum status jinja_float_to_int(struct jinja_run *run, double value, struct jinja_value *out)
{
    if (isnan(value) || isinf(value))
        return jinja_fail(run, "%s cannot be an integer", isnan(value) ? "nan" : "infinity");
    double whole = trunc(value);
    if (whole < -0x1p63 || whole >= 0x1p63)
        return number_too_large(run);
    *out = jinja_int((int64_t)whole);
    return OK;
}

// ---- rounding ----

// Half to even, at 10^-digits with digits < 0.
static enum status round_int(struct jinja_run *run, int64_t value, int64_t digits,
                             struct jinja_value *out)
{
    wide_int unit = 1, wide = value;
    for (int64_t i = 0; i > digits && unit < (wide_int)1 << 100; i--)
        unit *= 10;
    wide_int rest = wide % unit;
    if (rest < 0)
        rest += unit;
    wide_int low = wide - rest;
    bool odd = (low / unit) % 2 != 0;
    if (rest * 2 > unit || (rest * 2 == unit && odd))
        low += unit;
    if (low > INT64_MAX || low < INT64_MIN)
        return number_too_large(run);
    *out = jinja_int((int64_t)low);
    return OK;
}

static enum status round_float(struct jinja_run *run, double value, int64_t digits,
                               struct jinja_value *out)
{
    char text[1500];
    *out = jinja_float(value);
    if (!isfinite(value) || digits > 323)
        return OK;
    if (digits < -308) {
        *out = jinja_float(copysign(0.0, value));
        return OK;
    }
    if (digits >= 0) { // printf rounds the exact value half to even, as Python does
        snprintf(text, sizeof text, "%.*f", (int)digits, value);
        double rounded = strtod(text, NULL);
        if (isinf(rounded))
            return jinja_fail(run, "the rounded number is too large for a float");
        *out = jinja_float(rounded);
        return OK;
    }
    if (fabs(value) >= 0x1p62)
        return jinja_unsupported(run, "rounding a number this large is not supported");
    struct jinja_value whole = {0};
    int64_t tens = 1;
    for (int64_t i = 0; i > digits && i > -18; i--)
        tens *= 10;
    double part = trunc(value);
    TRY(round_int(run, (int64_t)part, digits, &whole));
    // A fraction turns an exact half into more than a half.
    wide_int twice = (wide_int)(int64_t)fabs(part) % tens * 2;
    if (part != value && digits > -19 && twice == tens)
        whole.number = ((int64_t)fabs(part) / tens + 1) * tens * (value < 0 ? -1 : 1);
    *out = jinja_float(copysign(fabs((double)whole.number), value));
    return OK;
}

enum status jinja_round(struct jinja_run *run, struct jinja_value value, int64_t digits,
                        struct jinja_value *out)
{
    assert(run && out);
    int64_t number;
    if (jinja_is_int(value, &number)) {
        *out = jinja_int(number);
        return digits >= 0 ? OK : round_int(run, number, digits, out);
    }
    if (value.type == JINJA_FLOAT)
        return round_float(run, value.real, digits, out);
    return jinja_fail(run, "round needs a number, found %s", jinja_type_name(value));
}
