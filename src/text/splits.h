// A text on its way through the tokenizer: cut into parts, some of which are tokens already.
#ifndef COLROW_TEXT_SPLITS_H
#define COLROW_TEXT_SPLITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

// Later stages see at most this much of one text; offsets are 32 bits.
#define TEXT_BYTES_MAX ((size_t)1 << 30)

struct split {
    uint32_t begin, end; // into the list's text
    int32_t id;          // an added token; -1: text still to be encoded
    uint32_t start; // its bytes, from the first on, that stand for the begin of the user's text
};

struct splits {
    struct bytes text;
    struct split *items;
    size_t n, capacity;
};

void splits_init(struct splits *splits);
void splits_fini(struct splits *splits);
void splits_clear(struct splits *splits);
// The item covers the text appended since the item before it, which may be none (push) or is left
// out then (add).
enum status splits_push(struct splits *splits, int32_t id, size_t start) STATUS_MUST_USE;
enum status splits_add(struct splits *splits, int32_t id, size_t start) STATUS_MUST_USE;
enum status splits_add_text(struct splits *splits, const char *text, size_t length, int32_t id,
                            size_t start) STATUS_MUST_USE;

// Of a text whose first `start` bytes stand for the begin of the user's text, the part from `begin`
// to `end`: how many of its first bytes do.
size_t splits_start_of(size_t start, size_t begin, size_t end);

// What decoding works in: whoever decodes often keeps it, and then, once it has grown, nothing is
// allocated. It holds nothing between two calls; two threads must not use one.
struct decode_buffers {
    struct splits tokens, next;
    struct bytes bytes;
};
void decode_buffers_init(struct decode_buffers *buffers);
void decode_buffers_fini(struct decode_buffers *buffers);

#endif
