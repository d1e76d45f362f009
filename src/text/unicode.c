#include "text/unicode.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

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
    size_t kept = 0; // text[kept..i) is valid and not yet written
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

bool unicode_is_space(uint32_t code)
{
    if (code < 0x80)
        return code == ' ' || (code >= '\t' && code <= '\r');
    return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
           code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

static utf8proc_category_t category(uint32_t code)
{
    return utf8proc_category((utf8proc_int32_t)code);
}

bool unicode_is_number(uint32_t code)
{
    if (code < 0x80)
        return code >= '0' && code <= '9';
    utf8proc_category_t c = category(code);
    return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO;
}

bool unicode_is_punctuation(uint32_t code)
{
    if (code < 0x80)
        return (code >= '!' && code <= '/') || (code >= ':' && code <= '@') ||
               (code >= '[' && code <= '`') || (code >= '{' && code <= '~');
    utf8proc_category_t c = category(code);
    return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

bool unicode_is_word(uint32_t code)
{
    if (code < 0x80)
        return (code >= '0' && code <= '9') || (code >= 'a' && code <= 'z') ||
               (code >= 'A' && code <= 'Z') || code == '_';
    // Alphabetic holds, beyond letters, marks and letter numbers, just these circled letters.
    if ((code >= 0x24B6 && code <= 0x24E9) || (code >= 0x1F130 && code <= 0x1F149) ||
        (code >= 0x1F150 && code <= 0x1F169) || (code >= 0x1F170 && code <= 0x1F189) ||
        code == 0x200C || code == 0x200D)
        return true;
    utf8proc_category_t c = category(code);
    return (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NL) || c == UTF8PROC_CATEGORY_PC;
}

static bool is_ascii(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] >= 0x80)
            return false;
    return true;
}

enum status unicode_normalize(enum unicode_form form, const char *text, size_t length,
                              struct bytes *out)
{
    if (is_ascii(text, length)) // its own normal form, whichever
        return bytes_append(out, text, length);
    utf8proc_option_t options = UTF8PROC_STABLE;
    options |= form == UNICODE_NFC || form == UNICODE_NFKC ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
    if (form == UNICODE_NFKC || form == UNICODE_NFKD)
        options |= UTF8PROC_COMPAT;
    utf8proc_uint8_t *result = NULL;
    utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length, &result, options);
    if (n == UTF8PROC_ERROR_NOMEM)
        return fail_memory(length, "a normalised text");
    if (n < 0)
        return fail(ERR_INPUT, "the text cannot be normalised: %s", utf8proc_errmsg(n));
    enum status status = bytes_append(out, result, (size_t)n);
    free(result);
    return status;
}

enum status unicode_lowercase(const char *text, size_t length, struct bytes *out)
{
    for (size_t i = 0, bytes; i < length; i += bytes) {
        uint32_t code;
        char put[UTF8_BYTES_MAX];
        enum utf8_kind kind = utf8_next(text + i, length - i, &code, &bytes);
        assert(kind == UTF8_VALID);
        (void)kind;
        if (code == 0x130) { // the only character whose lower case is two
            TRY(bytes_text(out, "i\xCC\x87"));
            continue;
        }
        size_t n = utf8_put((uint32_t)utf8proc_tolower((utf8proc_int32_t)code), put);
        TRY(bytes_append(out, put, n));
    }
    return OK;
}

enum status unicode_uppercase(const char *text, size_t length, struct bytes *out)
{
    for (size_t i = 0, bytes; i < length; i += bytes) {
        uint32_t code;
        char put[UTF8_BYTES_MAX];
        enum utf8_kind kind = utf8_next(text + i, length - i, &code, &bytes);
        assert(kind == UTF8_VALID);
        (void)kind;
        if (code == 0xDF) { // the best known of the few whose upper case is longer
            TRY(bytes_text(out, "SS"));
            continue;
        }
        size_t n = utf8_put((uint32_t)utf8proc_toupper((utf8proc_int32_t)code), put);
        TRY(bytes_append(out, put, n));
    }
    return OK;
}

// Bytes that stand for themselves; the others become U+0100, U+0101, ... in order.
static bool stands_for_itself(uint32_t byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) ||
           (byte >= 0xAE && byte <= 0xFF);
}

struct byte_letter byte_to_letter(uint8_t byte)
{
    uint32_t code = byte;
    if (byte <= 0x20)
        code = 0x100u + byte;
    else if (byte >= 0x7F && byte <= 0xA0)
        code = 0x121u + byte - 0x7Fu;
    else if (byte == 0xAD)
        code = 0x143;
    char text[UTF8_BYTES_MAX];
    struct byte_letter letter = {.length = (uint8_t)utf8_put(code, text)};
    assert(letter.length <= sizeof letter.text);
    memcpy(letter.text, text, letter.length);
    return letter;
}

int letter_to_byte(uint32_t code)
{
    if (code < 0x100)
        return stands_for_itself(code) ? (int)code : -1;
    if (code <= 0x120)
        return (int)(code - 0x100);
    if (code <= 0x142)
        return (int)(code - 0x121 + 0x7F);
    return code == 0x143 ? 0xAD : -1;
}

enum status byte_letters_append(struct bytes *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t same = 0; // letters, digits and most punctuation are copied as they are
        while (i + same < length && (unsigned char)text[i + same] < 0x7F &&
               (unsigned char)text[i + same] > 0x20)
            same++;
        TRY(bytes_append(out, text + i, same));
        i += same;
        if (i < length) {
            struct byte_letter letter = byte_to_letter((uint8_t)text[i++]);
            TRY(bytes_append(out, letter.text, letter.length));
        }
    }
    return OK;
}
