// UTF-8, read and written: the one place that knows its bytes.
#ifndef COLROW_BASE_UTF8_H
#define COLROW_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum { UTF8_BYTES_MAX = 4 };
#define REPLACEMENT_CHARACTER "\xEF\xBF\xBD" // U+FFFD

enum utf8_kind {
    UTF8_VALID,
    UTF8_INVALID,    // no continuation can make these bytes a character
    UTF8_INCOMPLETE, // the text ends inside a character
};

// Looks at the character at `text` (length > 0). `*bytes` is its length; for the other kinds the
// length of the maximal part that one U+FFFD stands for (Unicode 15, table 3-8; what Rust's
// from_utf8_lossy does).
enum utf8_kind utf8_next(const char *text, size_t length, uint32_t *code, size_t *bytes);
// The character that ends at text[length - 1] of valid UTF-8; its length.
size_t utf8_last(const char *text, size_t length, uint32_t *code);
// Writes a Unicode scalar value; its length.
size_t utf8_put(uint32_t code, char out[UTF8_BYTES_MAX]);
// True for valid UTF-8; else `*at` is the offset of the first byte that is not.
bool utf8_check(const char *text, size_t length, size_t *at);
// Appends `text` with one U+FFFD for each invalid part.
enum status utf8_append_lossy(struct bytes *out, const char *text, size_t length) STATUS_MUST_USE;

// For messages: at most 60 bytes, whole characters, no control characters; in one of four
// per-thread buffers.
const char *text_show(const char *text, size_t length);

#endif
