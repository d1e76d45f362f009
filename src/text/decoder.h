// tokenizer.json's "decoder": tokens' texts back to the text they stand for.
#ifndef COLROW_TEXT_DECODER_H
#define COLROW_TEXT_DECODER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/pre_tokenizer.h"

enum decoder_kind {
    DECODER_BYTE_LEVEL,    // GPT-2's letters to bytes; all tokens become one
    DECODER_BYTE_FALLBACK, // runs of "<0xE4>" to characters
    DECODER_FUSE,          // all tokens become one
    DECODER_STRIP, // up to `start` times `content` at the front of each token, `stop` at its end
    DECODER_REPLACE,
    DECODER_METASPACE,
    DECODER_WORD_PIECE, // a blank before each token but those that go on a word
    DECODER_BPE,        // the suffix that ends a word becomes a blank
    DECODER_CTC,
};

struct decoder_step {
    enum decoder_kind kind;
    // DECODER_STRIP: one character; DECODER_REPLACE; the prefix, the suffix, the padding
    struct bytes content;
    struct bytes delimiter; // DECODER_CTC
    bool cleanup;           // DECODER_WORD_PIECE, DECODER_CTC
    size_t start, stop;
    struct pattern *pattern;
    struct metaspace metaspace;
};

struct decoder {
    struct decoder_step *steps;
    size_t n, capacity;
    bool present; // without a decoder tokens are joined with blanks
};

void decoder_init(struct decoder *decoder);
void decoder_fini(struct decoder *decoder);
// `root` is the whole tokenizer.json, `where` its path.
enum status decoder_parse(const json_t *root, const char *where,
                          struct decoder *decoder) STATUS_MUST_USE;

struct decode_buffers;
// Appends what the tokens (the items of `buffers->tokens`, which are used up) stand for.
enum status decoder_apply(const struct decoder *decoder, struct decode_buffers *buffers,
                          struct bytes *out) STATUS_MUST_USE;

// For decode_stream.c. True for steps that look at one token only: DECODER_STRIP, _REPLACE,
// _METASPACE, _WORD_PIECE.
bool decoder_step_is_local(const struct decoder_step *step);
// Appends what such a step makes of the `index`-th token.
enum status decoder_step_token(const struct decoder_step *step, size_t index, const char *text,
                               size_t length, struct bytes *out) STATUS_MUST_USE;
// The byte of "<0xE4>", -1 for any other text.
int decoder_byte_token(const char *text, size_t length);
// Appends the bytes of a token of GPT-2's letters, or its text when it has others.
enum status decoder_letters(const char *text, size_t length, struct bytes *out) STATUS_MUST_USE;

#endif
