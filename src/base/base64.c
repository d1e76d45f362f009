#include "base/base64.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int base64_value(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

enum status base64_decode(const char *text, size_t length, struct bytes *out, bool *valid)
{
    assert((text || length == 0) && out && valid);
    size_t padding = 0;
    while (padding < 2 && padding < length && text[length - padding - 1] == '=')
        padding++;
    *valid = length % 4 == 0;
    for (size_t i = 0; i < length && *valid; i += 4) {
        uint32_t value = 0;
        size_t digits = i + 4 == length ? 4 - padding : 4;
        for (size_t k = 0; k < 4; k++) {
            int digit = k < digits ? base64_value(text[i + k]) : 0;
            *valid = *valid && digit >= 0;
            value = value << 6 | ((uint32_t)digit & 63);
        }
        const char bytes[] = {(char)(value >> 16), (char)(value >> 8), (char)value};
        if (*valid)
            TRY(bytes_append(out, bytes, digits - 1));
    }
    return bytes_append(out, "", 0); // so that its data is never NULL
}

enum status base64_encode(const char *data, size_t length, struct bytes *out)
{
    assert((data || length == 0) && out);
    for (size_t i = 0; i < length; i += 3) {
        uint32_t value = 0;
        size_t n = length - i < 3 ? length - i : 3;
        for (size_t k = 0; k < 3; k++)
            value = value << 8 | (k < n ? (unsigned char)data[i + k] : 0);
        char digits[] = {alphabet[value >> 18], alphabet[value >> 12 & 63], '=', '='};
        if (n > 1)
            digits[2] = alphabet[value >> 6 & 63];
        if (n > 2)
            digits[3] = alphabet[value & 63];
        TRY(bytes_append(out, digits, sizeof digits));
    }
    return bytes_append(out, "", 0);
}
