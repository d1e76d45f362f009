// Reading the JSON of a safetensors header without building a tree of it.
//
// The header of a big checkpoint has 100,000 entries and may have 100 MB. jansson takes seconds and
// a gigabyte for that, and a file made to hurt would cost as much before it is refused. The format
// needs little of JSON: objects whose keys we know, strings, and integers from 0. Everything else
// is an error that names the byte.
#ifndef COLROW_HF_HEADER_READER_H
#define COLROW_HF_HEADER_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

struct header_reader {
    const char *name; // the file, for messages
    const char *begin, *at, *end;
};

// Skips blanks and takes `wanted`; anything else is an error.
enum status header_expect(struct header_reader *reader, char wanted) STATUS_MUST_USE;
// Skips blanks and takes `wanted` if it comes next.
bool header_accept(struct header_reader *reader, char wanted);
// A string, decoded, UTF-8, without NUL, into the arena.
enum status header_string(struct header_reader *reader, struct arena *arena,
                          char **out) STATUS_MUST_USE;
// The same for a word that is only compared: fewer than HEADER_WORD_MAX bytes as it is written.
enum { HEADER_WORD_MAX = 64 };
enum status header_word(struct header_reader *reader, char out[HEADER_WORD_MAX]) STATUS_MUST_USE;
// An integer from 0 to 2^63-1.
enum status header_integer(struct header_reader *reader, int64_t *out) STATUS_MUST_USE;
// Nothing but blanks is left.
enum status header_end(struct header_reader *reader) STATUS_MUST_USE;
// "..." of what comes next, for messages, in a per-thread buffer.
const char *header_show(const struct header_reader *reader);

#endif
