// The decoders WordPiece, BPEDecoder and CTC of `tokenizers`: tokens are words or their ends, and
// blanks come between words.
#ifndef COLROW_TEXT_DECODER_WORDS_H
#define COLROW_TEXT_DECODER_WORDS_H

#include <jansson.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"

struct decoder_step;
struct splits;

// The options of such a step, whose kind is set.
enum status decoder_words_parse(const json_t *object, const char *where,
                                struct decoder_step *step) STATUS_MUST_USE;
// Appends what DECODER_WORD_PIECE makes of the `index`-th token.
enum status decode_word_piece(const struct decoder_step *step, size_t index, const char *text,
                              size_t length, struct bytes *out) STATUS_MUST_USE;
// All tokens of DECODER_BPE and DECODER_CTC.
enum status decode_bpe_words(const struct decoder_step *step, const struct splits *in,
                             struct splits *out) STATUS_MUST_USE;
enum status decode_ctc(const struct decoder_step *step, const struct splits *in,
                       struct bytes *scratch, struct splits *out) STATUS_MUST_USE;

#endif
