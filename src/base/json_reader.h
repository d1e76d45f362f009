// A reader of JSON text, piece by piece: what stands under json_parse(), and what reads large files
// without a tree of them (a tokenizer's vocabulary, the header of a safetensors file).
//
// Two dialects, for the two readers that HuggingFace's files are written for. Both take a key that
// stands twice (the last one counts) and the character NUL in strings.
#ifndef COLROW_BASE_JSON_READER_H
#define COLROW_BASE_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum json_dialect {
    JSON_RFC, // RFC 8259, as Rust's serde_json reads tokenizer.json and safetensors headers
    // As Python's json module reads all other files: also NaN, Infinity, numbers of any size, and
    // halves of surrogate pairs, which become U+FFFD (they are no characters).
    JSON_PYTHON,
};

struct json_reader {
    const char *where; // for messages, borrowed
    const char *file;  // the begin of the whole text, to count lines from
    const char *at, *end;
    enum json_dialect dialect;
};

// Readers rely on UTF-8: the text of each is checked so first, once, as a whole.
enum status json_check_utf8(const char *where, const char *text, size_t length) STATUS_MUST_USE;

bool json_reader_at(struct json_reader *reader, char c); // the next character behind blanks
bool json_reader_take(struct json_reader *reader, char c);
enum status json_reader_expect(struct json_reader *reader, char c) STATUS_MUST_USE;
// Nothing but blanks is left.
enum status json_reader_finish(struct json_reader *reader) STATUS_MUST_USE;
// `*text` points into the text, or into `scratch` where the string has escapes. Not NUL-terminated,
// and may have NULs inside.
enum status json_reader_string(struct json_reader *reader, struct bytes *scratch, const char **text,
                               size_t *length) STATUS_MUST_USE;
// An integer in decimal digits; too large ones become INT64_MAX or INT64_MIN.
enum status json_reader_int(struct json_reader *reader, int64_t *out) STATUS_MUST_USE;
// Any number. `*is_integer`: written without point and exponent, and it fits `*integer`; else
// `*real` is the nearest double, in JSON_PYTHON also infinite or NaN.
enum status json_reader_number(struct json_reader *reader, struct bytes *scratch, bool *is_integer,
                               int64_t *integer, double *real) STATUS_MUST_USE;
// Skips one value of any kind, of at most JSON_DEPTH_MAX levels.
enum status json_reader_skip(struct json_reader *reader, struct bytes *scratch) STATUS_MUST_USE;
// Takes `word` (null, true, NaN, ...) if it comes next.
bool json_reader_word(struct json_reader *reader, const char *word);

// The sentence for what stands at `reader->at`: of other content than `wanted`, or no JSON at all.
enum status json_reader_wrong(struct json_reader *reader, const char *wanted);
enum status json_reader_malformed(struct json_reader *reader, const char *wanted);

#endif
