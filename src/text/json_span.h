// Finding the two large parts of a tokenizer.json, "vocab" and "merges", so that base/json_reader.h
// reads them without a tree of a million objects: that takes 0.4 s for 17 MB, this a tenth. The
// rest of the file goes through base/json.h.
#ifndef COLROW_TEXT_JSON_SPAN_H
#define COLROW_TEXT_JSON_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json_reader.h"
#include "base/memory.h"
#include "base/status.h"

struct json_span {
    const char *text; // NULL: not there
    size_t length;
};

// The values of `n` keys in the object that is the file's member `within`, in one pass, by brackets
// and quotes alone: a value may still be malformed. Of several, the last. NULL where the file is no
// object or has no such member or key in its plain spelling.
void json_span_members(struct json_span file, const char *within, const char *const *keys, size_t n,
                       struct json_span *found);
// Appends `text` with each span replaced by null and its newlines, so that lines in messages stay
// right. The spans lie in the text, one after the other.
enum status json_span_replace(struct json_span text, const struct json_span *spans, size_t n,
                              struct bytes *out) STATUS_MUST_USE;

#endif
