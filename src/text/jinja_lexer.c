#include "text/jinja_lexer.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "text/python_text.h"
#include "text/unicode.h"

enum { NESTING_MAX = 128 }; // open brackets inside one tag

struct lexer {
    const char *name;
    const char *text;
    size_t length, at;
    int line;
    bool line_starting;           // what stands before text[at] ends with a newline
    bool eat_newline, eat_spaces; // after the tag before
    char open[NESTING_MAX];       // the brackets that must come
    size_t n_open;
    struct arena *arena;
    struct jinja_tokens *out;
};

void jinja_tokens_fini(struct jinja_tokens *tokens)
{
    free(tokens->items);
    *tokens = (struct jinja_tokens){0};
}

static enum status wrong(const struct lexer *lexer, const char *what)
{
    return fail(ERR_INPUT, "%s: line %d: %s", lexer->name, lexer->line, what);
}

static enum status add(struct lexer *lexer, enum jinja_token_kind kind, const char *text,
                       size_t length)
{
    struct jinja_tokens *out = lexer->out;
    TRY(memory_grow(&out->items, &out->capacity, out->n + 1, sizeof *out->items,
                    "a template's tokens"));
    out->items[out->n++] =
        (struct jinja_token){.kind = kind, .line = lexer->line, .text = text, .length = length};
    return OK;
}

static bool is_at(const struct lexer *lexer, const char *text)
{
    size_t n = strlen(text);
    return lexer->length - lexer->at >= n && memcmp(lexer->text + lexer->at, text, n) == 0;
}

static void advance(struct lexer *lexer, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        lexer->line += lexer->text[lexer->at + i] == '\n';
    lexer->at += bytes;
}

// ---- text between tags ----

static size_t space_at(const struct lexer *lexer, size_t at)
{
    uint32_t code;
    size_t bytes;
    if (at >= lexer->length)
        return 0;
    utf8_next(lexer->text + at, lexer->length - at, &code, &bytes);
    return python_is_space(code) ? bytes : 0;
}

static size_t strip_right(const char *text, size_t begin, size_t end)
{
    while (end > begin) {
        uint32_t code;
        size_t bytes = utf8_last(text + begin, end - begin, &code);
        if (!python_is_space(code))
            break;
        end -= bytes;
    }
    return end;
}

// lstrip_blocks: blanks between the start of the line and a block or comment are not written.
static size_t strip_line(const struct lexer *lexer, size_t begin, size_t end)
{
    const char *newline = memrchr(lexer->text + begin, '\n', end - begin);
    if (!newline && !lexer->line_starting)
        return end;
    size_t line = newline ? (size_t)(newline - lexer->text) + 1 : begin;
    return strip_right(lexer->text, line, end) == line ? line : end;
}

static size_t find_tag(const struct lexer *lexer)
{
    for (size_t i = lexer->at; i + 1 < lexer->length; i++)
        if (lexer->text[i] == '{' && strchr("{%#", lexer->text[i + 1]) &&
            lexer->text[i + 1] != '\0')
            return i;
    return lexer->length;
}

static void eat_after_tag(struct lexer *lexer)
{
    size_t begin = lexer->at, bytes;
    if (lexer->eat_newline && is_at(lexer, "\n"))
        advance(lexer, 1);
    while (lexer->eat_spaces && (bytes = space_at(lexer, lexer->at)) > 0)
        advance(lexer, bytes);
    lexer->line_starting = begin == 0 || (lexer->at > begin && lexer->text[lexer->at - 1] == '\n');
    lexer->eat_newline = lexer->eat_spaces = false;
}

// Where the text ends that begins at `begin` and stands before the tag at `tag`.
static size_t strip_before(const struct lexer *lexer, size_t begin, size_t tag)
{
    char sign = (char)(tag + 2 < lexer->length ? lexer->text[tag + 2] : '\0');
    if (sign == '-')
        return strip_right(lexer->text, begin, tag);
    return sign != '+' && lexer->text[tag + 1] != '{' ? strip_line(lexer, begin, tag) : tag;
}

static enum status lex_data(struct lexer *lexer)
{
    eat_after_tag(lexer);
    size_t begin = lexer->at, tag = find_tag(lexer),
           end = tag < lexer->length ? strip_before(lexer, begin, tag) : tag;
    if (end > begin)
        TRY(add(lexer, JINJA_TOKEN_DATA, lexer->text + begin, end - begin));
    advance(lexer, tag - lexer->at);
    return OK;
}

static size_t skip_space(const struct lexer *lexer, size_t at)
{
    for (size_t bytes; (bytes = space_at(lexer, at)) > 0;)
        at += bytes;
    return at;
}

// The end of "{% NAME %}" that begins at `at`; 0 when something else stands there. `*sign` is that
// of its end.
static size_t plain_tag_end(const struct lexer *lexer, size_t at, const char *name, char *sign)
{
    size_t n = strlen(name), length = lexer->length;
    const char *text = lexer->text;
    if (length - at < 2 || memcmp(text + at, "{%", 2) != 0)
        return 0;
    at += 2;
    if (at < length && (text[at] == '-' || text[at] == '+'))
        at++;
    at = skip_space(lexer, at);
    if (length - at < n || memcmp(text + at, name, n) != 0)
        return 0;
    at = skip_space(lexer, at + n);
    *sign = '\0';
    if (at < length && (text[at] == '-' || text[at] == '+'))
        *sign = text[at++];
    return length - at >= 2 && memcmp(text + at, "%}", 2) == 0 ? at + 2 : 0;
}

// After "{% raw %}": text up to "{% endraw %}", which is not looked into.
static enum status lex_raw(struct lexer *lexer, size_t end, char sign)
{
    char end_sign = '\0';
    lexer->eat_spaces = sign == '-';
    advance(lexer, end - lexer->at);
    eat_after_tag(lexer);
    size_t begin = lexer->at, at = begin, after = 0;
    for (; at < lexer->length; at++)
        if ((after = plain_tag_end(lexer, at, "endraw", &end_sign)) > 0)
            break;
    if (after == 0)
        return wrong(lexer, "{% raw %} has no end; expected {% endraw %}");
    size_t data_end = strip_before(lexer, begin, at);
    if (data_end > begin)
        TRY(add(lexer, JINJA_TOKEN_DATA, lexer->text + begin, data_end - begin));
    advance(lexer, after - lexer->at);
    lexer->eat_spaces = end_sign == '-';
    lexer->eat_newline = end_sign == '\0';
    return OK;
}

static enum status lex_comment(struct lexer *lexer)
{
    const char *from = lexer->text + lexer->at + 2, *last = lexer->text + lexer->length;
    if (from < last && (*from == '-' || *from == '+'))
        from++;
    const char *end = memmem(from, (size_t)(last - from), "#}", 2);
    if (!end)
        return wrong(lexer, "a comment {# has no end; expected #}");
    char sign = (char)(end > from ? end[-1] : ' ');
    lexer->eat_spaces = sign == '-';
    lexer->eat_newline = sign != '-' && sign != '+';
    advance(lexer, (size_t)(end - lexer->text) + 2 - lexer->at);
    return OK;
}

// ---- inside tags ----

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

// \x41, \u00e9, \U0001f600: `digits` digits at `text`, as UTF-8.
static enum status unescape_code(struct lexer *lexer, const char *text, size_t left, size_t digits,
                                 struct bytes *out)
{
    uint32_t code = 0;
    char put[UTF8_BYTES_MAX];
    for (size_t i = 0; i < digits; i++) {
        int digit = i < left ? hex_digit(text[i]) : -1;
        if (digit < 0)
            return wrong(lexer,
                         "expected 2, 4 or 8 hexadecimal digits after \\x, \\u or \\U in a string");
        code = code << 4 | (uint32_t)digit;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return wrong(lexer, "expected a Unicode character in the escape of a string");
    return bytes_append(out, put, utf8_put(code, put));
}

// \101: up to three octal digits.
static enum status unescape_octal(const char *text, size_t left, struct bytes *out, size_t *taken)
{
    uint32_t code = 0;
    char put[UTF8_BYTES_MAX];
    for (*taken = 0; *taken < 3 && *taken < left && text[*taken] >= '0' && text[*taken] <= '7';
         (*taken)++)
        code = code * 8 + (uint32_t)(text[*taken] - '0');
    return bytes_append(out, put, utf8_put(code, put));
}

// A backslash before a character beyond ASCII: Jinja2 has made \xe9 or \u20ac of that character by
// then, so the two backslashes are one and what follows stays as it is.
static enum status unescape_spelled(const char *text, size_t left, struct bytes *out, size_t *taken)
{
    uint32_t code;
    utf8_next(text, left, &code, taken);
    return bytes_format(out,
                        code < 0x100     ? "\\x%02x"
                        : code < 0x10000 ? "\\u%04x"
                                         : "\\U%08x",
                        code);
}

static enum status unescape_one(struct lexer *lexer, const char *text, size_t left,
                                struct bytes *out, size_t *taken)
{
    static const char from[] = "ntrabfv\\'\"", to[] = "\n\t\r\a\b\f\v\\'\"";
    char c = text[0];
    const char *simple = memchr(from, c, sizeof from - 1);
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    *taken = 1 + digits;
    if (simple)
        return bytes_append(out, &to[simple - from], 1);
    if (digits > 0)
        return unescape_code(lexer, text + 1, left - 1, digits, out);
    if (c >= '0' && c <= '7')
        return unescape_octal(text, left, out, taken);
    if (c == '\n')
        return OK;
    if (c == 'N')
        return fail(ERR_UNSUPPORTED,
                    "%s: line %d: characters by name (\\N{...}) are not supported in a string; "
                    "expected \\u and a number, or the character itself",
                    lexer->name, lexer->line);
    if ((unsigned char)c >= 0x80)
        return unescape_spelled(text, left, out, taken);
    return bytes_append(out, text - 1, 2); // Python keeps the backslash of escapes it does not know
}

static enum status unescape(struct lexer *lexer, const char *text, size_t length, struct bytes *out)
{
    assert(lexer && (text || length == 0) && out);
    for (size_t i = 0, taken; i < length; i += taken) {
        const char *backslash = memchr(text + i, '\\', length - i);
        taken = backslash ? (size_t)(backslash - text) - i : length - i;
        TRY(bytes_append(out, text + i, taken));
        if (!backslash)
            break;
        i += taken + 1;
        if (i == length)
            return wrong(lexer, "a string ends with a backslash");
        TRY(unescape_one(lexer, text + i, length - i, out, &taken));
    }
    return OK;
}

static enum status lex_string(struct lexer *lexer)
{
    const char quote = lexer->text[lexer->at];
    size_t begin = lexer->at + 1, end = begin;
    while (end < lexer->length && lexer->text[end] != quote)
        end += lexer->text[end] == '\\' ? 2 : 1;
    if (end >= lexer->length)
        return wrong(lexer, "a string has no end; expected its quote");
    struct bytes value;
    char *copy = NULL;
    bytes_init(&value);
    enum status status = unescape(lexer, lexer->text + begin, end - begin, &value);
    if (status == OK)
        status = arena_text(lexer->arena, value.length ? value.data : "", value.length, &copy);
    if (status == OK)
        status = add(lexer, JINJA_TOKEN_STRING, copy, value.length);
    bytes_fini(&value);
    TRY(status);
    advance(lexer, end + 1 - lexer->at);
    return OK;
}

static bool is_digit(const struct lexer *lexer, size_t at, int base)
{
    int digit = at < lexer->length ? hex_digit(lexer->text[at]) : -1;
    return digit >= 0 && digit < base;
}

// Digits with single underscores between; where they end.
static size_t skip_digits(const struct lexer *lexer, size_t at, int base)
{
    while (is_digit(lexer, at, base) ||
           (at < lexer->length && lexer->text[at] == '_' && is_digit(lexer, at + 1, base)))
        at++;
    return at;
}

// The end of a number with fraction or exponent at hand; 0 when there is none.
static size_t float_end(const struct lexer *lexer)
{
    assert(lexer && lexer->at < lexer->length);
    size_t at = skip_digits(lexer, lexer->at, 10), whole = at;
    if (lexer->at > 0 && lexer->text[lexer->at - 1] == '.')
        return 0;
    if (at < lexer->length && lexer->text[at] == '.' && is_digit(lexer, at + 1, 10))
        at = skip_digits(lexer, at + 1, 10);
    if (at < lexer->length && (lexer->text[at] == 'e' || lexer->text[at] == 'E')) {
        size_t exponent = at + 1;
        if (exponent < lexer->length &&
            (lexer->text[exponent] == '+' || lexer->text[exponent] == '-'))
            exponent++;
        if (is_digit(lexer, exponent, 10))
            at = skip_digits(lexer, exponent, 10);
    }
    return at > whole ? at : 0;
}

static enum status lex_float(struct lexer *lexer, size_t end)
{
    char *digits;
    size_t n = 0;
    TRY(arena_take(lexer->arena, end - lexer->at + 1, 1, &digits));
    for (size_t i = lexer->at; i < end; i++)
        if (lexer->text[i] != '_')
            digits[n++] = lexer->text[i];
    digits[n] = '\0';
    TRY(add(lexer, JINJA_TOKEN_FLOAT, lexer->text + lexer->at, end - lexer->at));
    lexer->out->items[lexer->out->n - 1].real = strtod(digits, NULL);
    advance(lexer, end - lexer->at);
    return OK;
}

static int number_base(const struct lexer *lexer)
{
    if (lexer->text[lexer->at] != '0' || lexer->at + 1 >= lexer->length)
        return 10;
    char c = lexer->text[lexer->at + 1];
    int base = c == 'b' || c == 'B' ? 2 : c == 'o' || c == 'O' ? 8 : c == 'x' || c == 'X' ? 16 : 10;
    size_t at = lexer->at + 2;
    if (at < lexer->length && lexer->text[at] == '_')
        at++;
    return base != 10 && is_digit(lexer, at, base) ? base : 10;
}

static enum status lex_number(struct lexer *lexer)
{
    size_t end = float_end(lexer);
    if (end > 0)
        return lex_float(lexer, end);
    int base = number_base(lexer);
    int64_t number = 0;
    size_t i = base == 10 ? lexer->at : lexer->at + 2;
    if (base != 10 && lexer->text[i] == '_')
        i++;
    end = skip_digits(lexer, i, base);
    if (base == 10 && lexer->text[i] == '0') // 01 is 0 and 1
        for (end = i + 1;
             end < lexer->length &&
             (lexer->text[end] == '0' ||
              (lexer->text[end] == '_' && end + 1 < lexer->length && lexer->text[end + 1] == '0'));)
            end++;
    for (; i < end; i++)
        if (lexer->text[i] != '_' &&
            (__builtin_mul_overflow(number, base, &number) ||
             __builtin_add_overflow(number, hex_digit(lexer->text[i]), &number)))
            return fail(ERR_UNSUPPORTED,
                        "%s: line %d: an integer has more than 64 bits; at most "
                        "9223372036854775807 is supported",
                        lexer->name, lexer->line);
    TRY(add(lexer, JINJA_TOKEN_INT, lexer->text + lexer->at, end - lexer->at));
    lexer->out->items[lexer->out->n - 1].number = number;
    advance(lexer, end - lexer->at);
    return OK;
}

// The bytes of the name at hand; 0 when there is none.
static size_t name_bytes(const struct lexer *lexer)
{
    size_t n = 0;
    while (lexer->at + n < lexer->length) {
        uint32_t code;
        size_t bytes;
        utf8_next(lexer->text + lexer->at + n, lexer->length - lexer->at - n, &code, &bytes);
        if (n == 0 ? !python_is_name_start(code) : !python_is_name_part(code))
            break;
        n += bytes;
    }
    return n;
}

static enum status track_brackets(struct lexer *lexer, char c)
{
    static const char opening[3] = {'(', '[', '{'}, closing[3] = {')', ']', '}'};
    const char *at = memchr(opening, c, sizeof opening);
    if (at) {
        if (lexer->n_open == NESTING_MAX)
            return wrong(lexer, "too many brackets are open; at most 128 are allowed");
        lexer->open[lexer->n_open++] = closing[at - opening];
    } else if (memchr(closing, c, sizeof closing)) {
        if (lexer->n_open == 0)
            return fail(ERR_INPUT,
                        "%s: line %d: found \"%c\" where no bracket is open; expected none",
                        lexer->name, lexer->line, c);
        if (lexer->open[--lexer->n_open] != c)
            return fail(ERR_INPUT, "%s: line %d: found \"%c\" where \"%c\" was expected",
                        lexer->name, lexer->line, c, lexer->open[lexer->n_open]);
    }
    return OK;
}

static enum status lex_operator(struct lexer *lexer)
{
    static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                            "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                            ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (!is_at(lexer, operators[i]))
            continue;
        TRY(track_brackets(lexer, operators[i][0]));
        TRY(add(lexer, JINJA_TOKEN_OPERATOR, operators[i], strlen(operators[i])));
        advance(lexer, strlen(operators[i]));
        return OK;
    }
    return fail(ERR_INPUT, "%s: line %d: found character \"%c\" in a tag; expected an expression",
                lexer->name, lexer->line, lexer->text[lexer->at]);
}

// The end of the tag at hand; `*bytes` is 0 when it is not here.
static size_t tag_end(struct lexer *lexer, bool block)
{
    const char *end = block ? "%}" : "}}";
    char signed_end[4];
    if (lexer->n_open > 0)
        return 0;
    if (is_at(lexer, end)) {
        lexer->eat_newline = block;
        return 2;
    }
    for (const char *sign = block ? "-+" : "-"; *sign; sign++) {
        signed_end[0] = *sign;
        memcpy(signed_end + 1, end, 3);
        if (is_at(lexer, signed_end)) {
            lexer->eat_spaces = *sign == '-';
            return 3;
        }
    }
    return 0;
}

static enum status lex_tag(struct lexer *lexer, bool block)
{
    int begin_line = lexer->line;
    TRY(add(lexer, block ? JINJA_TOKEN_BLOCK_BEGIN : JINJA_TOKEN_PRINT_BEGIN, block ? "{%" : "{{",
            2));
    advance(lexer, 2);
    if (is_at(lexer, "-") || is_at(lexer, "+"))
        advance(lexer, 1);
    lexer->n_open = 0;
    while (lexer->at < lexer->length) {
        char c = lexer->text[lexer->at];
        size_t bytes = space_at(lexer, lexer->at), end = tag_end(lexer, block);
        if (bytes > 0) {
            advance(lexer, bytes);
        } else if (end > 0) {
            advance(lexer, end);
            return add(lexer, block ? JINJA_TOKEN_BLOCK_END : JINJA_TOKEN_PRINT_END,
                       block ? "%}" : "}}", 2);
        } else if (c == '\'' || c == '"') {
            TRY(lex_string(lexer));
        } else if (c >= '0' && c <= '9') {
            TRY(lex_number(lexer));
        } else if ((bytes = name_bytes(lexer)) > 0) {
            TRY(add(lexer, JINJA_TOKEN_NAME, lexer->text + lexer->at, bytes));
            advance(lexer, bytes);
        } else {
            TRY(lex_operator(lexer));
        }
    }
    return fail(ERR_INPUT, "%s: line %d: a tag %s has no end; expected %s", lexer->name, begin_line,
                block ? "{%" : "{{", block ? "%}" : "}}");
}

// Newlines become \n, and one at the very end is not part of the template.
static enum status copy_source(const char *text, size_t length, struct arena *arena, char **out,
                               size_t *out_length)
{
    size_t n = 0;
    TRY(arena_take(arena, length + 1, 1, out));
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '\r') {
            c = '\n';
            if (i + 1 < length && text[i + 1] == '\n')
                i++;
        }
        (*out)[n++] = c;
    }
    if (n > 0 && (*out)[n - 1] == '\n')
        n--;
    (*out)[n] = '\0';
    *out_length = n;
    return OK;
}

enum status jinja_lex(const char *name, const char *text, size_t length, struct arena *arena,
                      struct jinja_tokens *out)
{
    assert(name && (text || length == 0) && arena && out);
    size_t bad;
    char *source;
    struct lexer lexer = {.name = name, .line = 1, .arena = arena, .out = out};
    *out = (struct jinja_tokens){0};
    if (length > JINJA_TEMPLATE_BYTES_MAX)
        return fail(ERR_INPUT, "%s: the template has %zu bytes, at most %d are allowed", name,
                    length, JINJA_TEMPLATE_BYTES_MAX);
    if (!utf8_check(text, length, &bad))
        return fail(ERR_INPUT, "%s: the template is not valid UTF-8 at offset %zu", name, bad);
    TRY(copy_source(text, length, arena, &source, &lexer.length));
    lexer.text = source;
    enum status status = OK;
    while (status == OK) {
        status = lex_data(&lexer);
        if (status != OK || lexer.at >= lexer.length)
            break;
        char kind = lexer.text[lexer.at + 1], sign;
        size_t raw = plain_tag_end(&lexer, lexer.at, "raw", &sign);
        if (raw > 0 && sign != '+')
            status = lex_raw(&lexer, raw, sign);
        else
            status = kind == '#' ? lex_comment(&lexer) : lex_tag(&lexer, kind == '%');
    }
    if (status == OK)
        status = add(&lexer, JINJA_TOKEN_END, "", 0);
    if (status != OK)
        jinja_tokens_fini(out);
    return status;
}
