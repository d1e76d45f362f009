#include "text/jinja_lexer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja_value.h"
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
    return jinja_is_space(code) ? bytes : 0;
}

static size_t strip_right(const char *text, size_t begin, size_t end)
{
    while (end > begin) {
        uint32_t code;
        size_t bytes = utf8_last(text + begin, end - begin, &code);
        if (!jinja_is_space(code))
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

static enum status lex_data(struct lexer *lexer)
{
    eat_after_tag(lexer);
    size_t begin = lexer->at, tag = find_tag(lexer), end = tag;
    if (tag < lexer->length) {
        char sign = tag + 2 < lexer->length ? lexer->text[tag + 2] : '\0';
        if (sign == '-')
            end = strip_right(lexer->text, begin, end);
        else if (sign != '+' && lexer->text[tag + 1] != '{')
            end = strip_line(lexer, begin, end);
    }
    if (end > begin)
        TRY(add(lexer, JINJA_TOKEN_DATA, lexer->text + begin, end - begin));
    advance(lexer, tag - lexer->at);
    return OK;
}

static enum status lex_comment(struct lexer *lexer)
{
    const char *from = lexer->text + lexer->at + 2;
    const char *end = memmem(from, lexer->length - lexer->at - 2, "#}", 2);
    if (!end)
        return wrong(lexer, "a comment {# has no end; expected #}");
    char sign = end > from ? end[-1] : ' ';
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

static enum status unescape(struct lexer *lexer, const char *text, size_t length, struct bytes *out)
{
    static const char from[] = "ntrabfv0\\'\"", to[] = "\n\t\r\a\b\f\v\0\\'\"";
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '\\' || i + 1 == length) {
            TRY(bytes_append(out, text + i, 1));
            continue;
        }
        char c = text[++i];
        const char *simple = memchr(from, c, sizeof from - 1);
        size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
        if (simple) {
            TRY(bytes_append(out, &to[simple - from], 1));
        } else if (digits > 0) {
            TRY(unescape_code(lexer, text + i + 1, length - i - 1, digits, out));
            i += digits;
        } else if (c != '\n') { // Python keeps the backslash of escapes it does not know
            TRY(bytes_append(out, text + i - 1, 2));
        }
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

static bool is_name(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

static enum status lex_number(struct lexer *lexer)
{
    int64_t number = 0;
    size_t end = lexer->at;
    for (; end < lexer->length &&
           ((lexer->text[end] >= '0' && lexer->text[end] <= '9') || lexer->text[end] == '_');
         end++) {
        if (lexer->text[end] == '_')
            continue;
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, lexer->text[end] - '0', &number))
            return wrong(lexer, "a number is too large; at most 9223372036854775807 is allowed");
    }
    if (end + 1 < lexer->length && lexer->text[end] == '.' && lexer->text[end + 1] >= '0' &&
        lexer->text[end + 1] <= '9')
        return fail(ERR_UNSUPPORTED, "%s: line %d: numbers with a fraction are not supported",
                    lexer->name, lexer->line);
    TRY(add(lexer, JINJA_TOKEN_INT, lexer->text + lexer->at, end - lexer->at));
    lexer->out->items[lexer->out->n - 1].number = number;
    advance(lexer, end - lexer->at);
    return OK;
}

static enum status track_brackets(struct lexer *lexer, char c)
{
    static const char opening[] = "([{", closing[] = ")]}";
    const char *at = memchr(opening, c, 3);
    if (at) {
        if (lexer->n_open == NESTING_MAX)
            return wrong(lexer, "too many brackets are open; at most 128 are allowed");
        lexer->open[lexer->n_open++] = closing[at - opening];
    } else if (memchr(closing, c, 3)) {
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
        } else if (is_name(c, true)) {
            size_t n = 1;
            while (lexer->at + n < lexer->length && is_name(lexer->text[lexer->at + n], false))
                n++;
            TRY(add(lexer, JINJA_TOKEN_NAME, lexer->text + lexer->at, n));
            advance(lexer, n);
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
        char kind = lexer.text[lexer.at + 1];
        status = kind == '#' ? lex_comment(&lexer) : lex_tag(&lexer, kind == '%');
    }
    if (status == OK)
        status = add(&lexer, JINJA_TOKEN_END, "", 0);
    if (status != OK)
        jinja_tokens_fini(out);
    return status;
}
