// The character properties that tokenizers ask for (over utf8proc).
#ifndef COLROW_TEXT_UNICODE_H
#define COLROW_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/utf8.h"

bool unicode_is_space(uint32_t code);       // White_Space
bool unicode_is_number(uint32_t code);      // N*
bool unicode_is_punctuation(uint32_t code); // P*, and the ASCII symbols
bool unicode_is_word(uint32_t code);        // \w of UTS 18

enum unicode_form { UNICODE_NFC, UNICODE_NFD, UNICODE_NFKC, UNICODE_NFKD };
// Appends the normalised (lower-cased) form of valid UTF-8.
enum status unicode_normalize(enum unicode_form form, const char *text, size_t length,
                              struct bytes *out) STATUS_MUST_USE;
enum status unicode_lowercase(const char *text, size_t length, struct bytes *out) STATUS_MUST_USE;

// GPT-2's alphabet: each byte as a printable character of at most two UTF-8 bytes.
struct byte_letter {
    uint8_t length;
    char text[2];
};
struct byte_letter byte_to_letter(uint8_t byte);
int letter_to_byte(uint32_t code); // -1 when the character is not of that alphabet
enum status byte_letters_append(struct bytes *out, const char *text, size_t length) STATUS_MUST_USE;

#endif
