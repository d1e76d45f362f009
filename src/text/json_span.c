#include "text/json_span.h"

#include <string.h>

#include "text/unicode.h"

// ---- finding ----

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

// After the closing quote of the string that opens at `at`; `end` when it does not close.
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at < end ? at + 1 : end;
}

static const char *skip_value(const char *at, const char *end)
{
    size_t depth = 0;
    while (at < end) {
        char c = *at;
        if (c == '"') {
            at = skip_string(at, end);
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return at;
            depth--;
            at++;
        } else if (c == ',' && depth == 0) {
            return at;
        } else {
            at++;
            continue;
        }
        if (depth == 0)
            return at;
    }
    return end;
}

struct json_span json_span_member(struct json_span object, const char *key)
{
    const struct json_span none = {NULL, 0};
    if (!object.text)
        return none;
    const char *end = object.text + object.length, *at = skip_blanks(object.text, end);
    size_t key_length = strlen(key);
    if (at == end || *at != '{')
        return none;
    for (at++;;) {
        at = skip_blanks(at, end);
        if (at == end || *at != '"')
            return none;
        const char *name = at + 1;
        at = skip_string(at, end);
        size_t length = (size_t)(at - name) - 1;
        at = skip_blanks(at, end);
        if (at == end || *at != ':')
            return none;
        const char *value = skip_blanks(at + 1, end);
        at = skip_value(value, end);
        if (length == key_length && memcmp(name, key, length) == 0)
            return (struct json_span){value, (size_t)(at - value)};
        at = skip_blanks(at, end);
        if (at == end || *at != ',')
            return none;
        at++;
    }
}

enum status json_span_replace(struct json_span text, const struct json_span *spans, size_t n,
                              struct bytes *out)
{
    const char *at = text.text;
    for (size_t i = 0; i < n; i++) {
        if (!spans[i].text)
            continue;
        const char *begin = spans[i].text, *end = begin + spans[i].length;
        TRY(bytes_append(out, at, (size_t)(begin - at)));
        TRY(bytes_text(out, "null"));
        for (const char *line = begin; (line = memchr(line, '\n', (size_t)(end - line))); line++)
            TRY(bytes_append(out, "\n", 1));
        at = end;
    }
    return bytes_append(out, at, (size_t)(text.text + text.length - at));
}

// ---- reading ----

enum status json_reader_wrong(struct json_reader *reader, const char *wanted)
{
    int line = 1;
    for (const char *p = reader->file; p < reader->at; p++)
        line += *p == '\n';
    if (reader->at >= reader->end)
        return fail(ERR_INPUT, "%s: not valid JSON: expected %s at line %d, where it ends",
                    reader->where, wanted, line);
    size_t left = (size_t)(reader->end - reader->at);
    return fail(ERR_INPUT, "%s: expected %s at line %d, found \"%.*s\"", reader->where, wanted,
                line, left > 20 ? 20 : (int)left, reader->at);
}

bool json_reader_at(struct json_reader *reader, char c)
{
    reader->at = skip_blanks(reader->at, reader->end);
    return reader->at < reader->end && *reader->at == c;
}

bool json_reader_take(struct json_reader *reader, char c)
{
    bool there = json_reader_at(reader, c);
    reader->at += there;
    return there;
}

enum status json_reader_expect(struct json_reader *reader, char c)
{
    char wanted[] = {'"', c, '"', '\0'};
    return json_reader_take(reader, c) ? OK : json_reader_wrong(reader, wanted);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

// Four hexadecimal digits at `at`, -1 when they are not there.
static int32_t read_code(const char *at, const char *end)
{
    int32_t code = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

// "\u00e9" or a surrogate pair at *at, which is moved behind it.
static enum status unescape_code(struct json_reader *reader, const char **at, struct bytes *out)
{
    char put[UTF8_BYTES_MAX];
    int32_t code = read_code(*at + 2, reader->end);
    *at += 6;
    if (code >= 0xD800 && code <= 0xDBFF && reader->end - *at >= 6 && (*at)[0] == '\\' &&
        (*at)[1] == 'u') {
        int32_t low = read_code(*at + 2, reader->end);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
            *at += 6;
        }
    }
    if (code < 0 || (code >= 0xD800 && code <= 0xDFFF))
        return json_reader_wrong(reader, "a string with valid \\u escapes");
    return bytes_append(out, put, utf8_put((uint32_t)code, put));
}

static enum status unescape(struct json_reader *reader, const char *at, const char *end,
                            struct bytes *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    bytes_clear(out);
    while (at < end) {
        const char *stop = memchr(at, '\\', (size_t)(end - at));
        if (!stop)
            stop = end;
        TRY(bytes_append(out, at, (size_t)(stop - at)));
        at = stop;
        if (at == end)
            break;
        const char *simple = at + 1 < end ? memchr(from, at[1], sizeof from - 1) : NULL;
        if (simple) {
            TRY(bytes_append(out, &to[simple - from], 1));
            at += 2;
        } else if (at + 1 < end && at[1] == 'u') {
            TRY(unescape_code(reader, &at, out));
        } else {
            return json_reader_wrong(reader, "a string with valid escapes");
        }
    }
    return bytes_append(out, "", 0); // so that its data is never NULL
}

enum status json_reader_string(struct json_reader *reader, struct bytes *scratch, const char **text,
                               size_t *length)
{
    if (!json_reader_at(reader, '"'))
        return json_reader_wrong(reader, "a string");
    const char *begin = reader->at + 1, *at = begin;
    bool escapes = false;
    for (; at < reader->end && *at != '"'; at++) {
        if ((unsigned char)*at < 0x20)
            return json_reader_wrong(reader, "a string without control characters");
        if (*at == '\\') {
            escapes = true;
            at++;
        }
    }
    if (at >= reader->end)
        return json_reader_wrong(reader, "a string that ends");
    *text = begin;
    *length = (size_t)(at - begin);
    if (escapes) {
        TRY(unescape(reader, begin, at, scratch));
        *text = scratch->data;
        *length = scratch->length;
    }
    reader->at = at + 1;
    return OK;
}

enum status json_reader_int(struct json_reader *reader, int64_t *out)
{
    const char *begin = reader->at;
    bool negative = json_reader_take(reader, '-');
    const char *digits = reader->at, *at = digits;
    int64_t number = 0;
    for (; at < reader->end && *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *at - '0', &number))
            number = INT64_MAX;
    bool more = at < reader->end && (*at == '.' || *at == 'e' || *at == 'E');
    if (at == digits || more || (*digits == '0' && at > digits + 1)) {
        reader->at = begin;
        return json_reader_wrong(reader, "an integer");
    }
    reader->at = at;
    *out = negative ? -number : number;
    return OK;
}
