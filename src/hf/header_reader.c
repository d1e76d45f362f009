#include "hf/header_reader.h"

#include <string.h>

static void skip_blanks(struct header_reader *reader)
{
    const char *at = reader->at;
    while (at < reader->end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
        at++;
    reader->at = at;
}

const char *header_show(const struct header_reader *reader)
{
    static _Thread_local char text[24];
    size_t left = (size_t)(reader->end - reader->at);
    size_t n = left < sizeof text - 1 ? left : sizeof text - 1;
    if (n == 0)
        return "the end of the header";
    memcpy(text, reader->at, n);
    for (size_t i = 0; i < n; i++)
        if (text[i] == '\0')
            text[i] = '?';
    text[n] = '\0';
    return text;
}

static enum status unexpected(const struct header_reader *reader, const char *expected)
{
    return fail(ERR_INPUT,
                "%s: the header is not what safetensors writes: expected %s at byte %zu, found %s",
                reader->name, expected, (size_t)(reader->at - reader->begin), header_show(reader));
}

enum status header_expect(struct header_reader *reader, char wanted)
{
    const char expected[] = {'\'', wanted, '\'', '\0'};
    return header_accept(reader, wanted) ? OK : unexpected(reader, expected);
}

bool header_accept(struct header_reader *reader, char wanted)
{
    skip_blanks(reader);
    if (reader->at == reader->end || *reader->at != wanted)
        return false;
    reader->at++;
    return true;
}

enum status header_end(struct header_reader *reader)
{
    skip_blanks(reader);
    return reader->at == reader->end ? OK : unexpected(reader, "nothing more");
}

enum status header_integer(struct header_reader *reader, int64_t *out)
{
    skip_blanks(reader);
    const char *at = reader->at;
    int64_t value = 0;
    while (at < reader->end && *at >= '0' && *at <= '9') {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *at - '0', &value))
            return unexpected(reader, "an integer below 2^63");
        at++;
    }
    bool padded = at - reader->at > 1 && *reader->at == '0';
    bool goes_on = at < reader->end && *at && strchr(".eE", *at);
    if (at == reader->at || padded || goes_on)
        return unexpected(reader, "an integer from 0");
    reader->at = at;
    *out = value;
    return OK;
}

// Four hexadecimal digits.
static bool read_hex(const char *at, const char *end, uint32_t *out)
{
    *out = 0;
    if (end - at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *digit = at[i] ? strchr(digits, at[i]) : NULL;
        if (!digit)
            return false;
        *out = *out << 4 | (uint32_t)((digit - digits) % 16);
    }
    return true;
}

static size_t encode_utf8(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint32_t marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(marks[n] | code);
    return n;
}

// The bytes of the UTF-8 character at `at`; 0 when it is none (too long, a surrogate, beyond
// Unicode, cut).
static size_t utf8_length(const char *at, const char *end)
{
    unsigned char first = (unsigned char)*at;
    if (first < 0x80)
        return 1;
    size_t n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || (size_t)(end - at) < n)
        return 0;
    uint32_t code = first & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if (((unsigned char)at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | ((unsigned char)at[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    return code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : n;
}

// `reader->at` is behind the backslash.
static enum status read_escape(struct header_reader *reader, char *out, size_t *n)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *end = reader->end;
    const char *letter = reader->at < end && *reader->at ? strchr(letters, *reader->at) : NULL;
    if (letter) {
        out[0] = meanings[letter - letters];
        *n = 1;
        reader->at++;
        return OK;
    }
    uint32_t code = 0, low = 0;
    if (reader->at == end || *reader->at != 'u' || !read_hex(reader->at + 1, end, &code) ||
        code == 0)
        return unexpected(reader, "an escape that stands for a character");
    const char *at = reader->at + 5;
    if (code >= 0xd800 && code < 0xe000) {
        bool pair = code < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u' &&
                    read_hex(at + 2, end, &low) && low >= 0xdc00 && low < 0xe000;
        if (!pair)
            return unexpected(reader, "a pair of surrogates");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
    }
    *n = encode_utf8(code, out);
    reader->at = at;
    return OK;
}

// The length of the string as it is written, up to its closing quote.
static size_t written_length(const struct header_reader *reader)
{
    const char *at = reader->at;
    while (at < reader->end && *at != '"')
        at += *at == '\\' && reader->end - at > 1 ? 2 : 1;
    return (size_t)(at - reader->at);
}

// Up to and with the closing quote; `next` has room for written_length() + 1 bytes: decoding never
// makes text longer.
static enum status decode(struct header_reader *reader, char *next)
{
    while (reader->at < reader->end && *reader->at != '"') {
        unsigned char byte = (unsigned char)*reader->at;
        if (byte >= 0x20 && byte < 0x80 && byte != '\\') {
            *next++ = *reader->at++;
            continue;
        }
        size_t n = byte < 0x20 ? 0 : utf8_length(reader->at, reader->end);
        if (n == 0)
            return unexpected(reader, "UTF-8 text without control characters");
        if (byte == '\\') {
            reader->at++;
            TRY(read_escape(reader, next, &n));
        } else {
            memcpy(next, reader->at, n);
            reader->at += n;
        }
        next += n;
    }
    *next = '\0';
    return header_expect(reader, '"');
}

enum status header_string(struct header_reader *reader, struct arena *arena, char **out)
{
    if (!header_accept(reader, '"'))
        return unexpected(reader, "a string");
    TRY(arena_take(arena, written_length(reader) + 1, 1, out));
    return decode(reader, *out);
}

enum status header_word(struct header_reader *reader, char out[HEADER_WORD_MAX])
{
    if (!header_accept(reader, '"') || written_length(reader) >= HEADER_WORD_MAX)
        return unexpected(reader, "a short string");
    return decode(reader, out);
}
