#include "base/utf8.h"

#include <assert.h>
#include <string.h>

// Bounds of the second byte, which alone tells overlong forms, surrogates and values above
// U+10FFFF.
static bool second_byte_fits(unsigned char first, unsigned char second)
{
    unsigned char least = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char most = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    return second >= least && second <= most;
}

enum utf8_kind utf8_next(const char *text, size_t length, uint32_t *code, size_t *bytes)
{
    assert(length > 0);
    const unsigned char *s = (const unsigned char *)text;
    *code = s[0];
    *bytes = 1;
    if (s[0] < 0x80)
        return UTF8_VALID;
    size_t wanted = s[0] >= 0xC2 && s[0] <= 0xDF   ? 2
                    : s[0] >= 0xE0 && s[0] <= 0xEF ? 3
                    : s[0] >= 0xF0 && s[0] <= 0xF4 ? 4
                                                   : 0;
    if (wanted == 0)
        return UTF8_INVALID;
    uint32_t value = s[0] & (0xFFu >> (wanted + 1));
    for (size_t i = 1; i < wanted; i++) {
        *bytes = i;
        if (i >= length)
            return UTF8_INCOMPLETE;
        if (i == 1 ? !second_byte_fits(s[0], s[1]) : (s[i] & 0xC0) != 0x80)
            return UTF8_INVALID;
        value = value << 6 | (s[i] & 0x3Fu);
    }
    *bytes = wanted;
    *code = value;
    return UTF8_VALID;
}

size_t utf8_last(const char *text, size_t length, uint32_t *code)
{
    assert(length > 0);
    size_t begin = length - 1, bytes;
    while (begin > 0 && ((unsigned char)text[begin] & 0xC0) == 0x80)
        begin--;
    enum utf8_kind kind = utf8_next(text + begin, length - begin, code, &bytes);
    assert(kind == UTF8_VALID);
    (void)kind;
    return length - begin;
}

size_t utf8_put(uint32_t code, char out[UTF8_BYTES_MAX])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((0xF00u >> n & 0xF0u) | code);
    return n;
}

bool utf8_check(const char *text, size_t length, size_t *at)
{
    for (size_t i = 0; i < length;) {
        uint64_t eight;
        if (length - i >= 8) { // mostly ASCII
            memcpy(&eight, text + i, 8);
            if (!(eight & 0x8080808080808080u)) {
                i += 8;
                continue;
            }
        }
        uint32_t code;
        size_t bytes;
        if (utf8_next(text + i, length - i, &code, &bytes) != UTF8_VALID) {
            *at = i;
            return false;
        }
        i += bytes;
    }
    return true;
}

enum status utf8_append_lossy(struct bytes *out, const char *text, size_t length)
{
    if (length == 0)
        return bytes_append(out, "", 0); // of a NULL there is no part
    size_t kept = 0;                     // text[kept..i) is valid and not yet written
    for (size_t i = 0, bytes; i < length; i += bytes) {
        uint32_t code;
        if (utf8_next(text + i, length - i, &code, &bytes) == UTF8_VALID)
            continue;
        TRY(bytes_append(out, text + kept, i - kept));
        TRY(bytes_text(out, REPLACEMENT_CHARACTER));
        kept = i + bytes;
    }
    return bytes_append(out, text + kept, length - kept);
}

const char *text_show(const char *text, size_t length)
{
    enum { SHOWN_BYTES = 60 };
    static _Thread_local char buffers[4][SHOWN_BYTES + 4];
    static _Thread_local unsigned turn;
    char *out = buffers[turn++ % 4];
    size_t n = 0;
    for (size_t i = 0, bytes; i < length; i += bytes) {
        uint32_t code;
        bool valid = utf8_next(text + i, length - i, &code, &bytes) == UTF8_VALID && code >= 0x20;
        if (n + bytes > SHOWN_BYTES) {
            memcpy(out + n, "...", 3);
            n += 3;
            break;
        }
        if (valid)
            memcpy(out + n, text + i, bytes);
        else
            memset(out + n, '?', bytes);
        n += bytes;
    }
    out[n] = '\0';
    return out;
}
