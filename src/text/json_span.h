// Reading the two large parts of a tokenizer.json, "vocab" and "merges", without building a tree of
// a million objects first: jansson takes 0.4 s for 17 MB, this a tenth. The rest of the file goes
// through base/json.h.
#ifndef COLROW_TEXT_JSON_SPAN_H
#define COLROW_TEXT_JSON_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

struct json_span {
    const char *text; // NULL: not there
    size_t length;
};

// The value of `key` in the object `text` (a span or a whole file), by brackets and quotes alone:
// the value may still be malformed. NULL when the text is no object or has no such key in its plain
// spelling.
struct json_span json_span_member(struct json_span object, const char *key);
// Appends `text` with each span replaced by null and its newlines, so that lines in messages stay
// right. The spans lie in the text, one after the other.
enum status json_span_replace(struct json_span text, const struct json_span *spans, size_t n,
                              struct bytes *out) STATUS_MUST_USE;

// A strict reader of a span of valid UTF-8.
struct json_reader {
    const char *where; // for messages, borrowed
    const char *file;  // the begin of the whole text, to count lines from
    const char *at, *end;
};
bool json_reader_take(struct json_reader *reader, char c); // after blanks
bool json_reader_at(struct json_reader *reader, char c);
enum status json_reader_expect(struct json_reader *reader, char c) STATUS_MUST_USE;
// `*text` points into the span, or into `scratch` where the string has escapes. Not NUL-terminated.
enum status json_reader_string(struct json_reader *reader, struct bytes *scratch, const char **text,
                               size_t *length) STATUS_MUST_USE;
// Any integer; too large ones become INT64_MAX or INT64_MIN.
enum status json_reader_int(struct json_reader *reader, int64_t *out) STATUS_MUST_USE;
enum status json_reader_wrong(struct json_reader *reader, const char *wanted);

#endif
