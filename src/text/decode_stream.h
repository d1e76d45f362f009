// Decoding token by token: text comes out as soon as it is complete, never half a UTF-8 character.
//
// The pieces are those of `tokenizers`' DecodeStream: a token whose text ends inside a character,
// or with U+FFFD, is held back until the next one. All pieces and the flush together are what
// tokenizer_decode() makes of all ids, with two exceptions: a run of byte tokens ("<0xE4>") that
// becomes invalid after characters of it were given out keeps these, where tokenizer_decode() turns
// the whole run into U+FFFD; and so does any decoder that changes text it has made before.
#ifndef COLROW_TEXT_DECODE_STREAM_H
#define COLROW_TEXT_DECODE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/token_ids.h"

struct tokenizer;

struct decode_stream {
    const struct tokenizer *tokenizer; // borrowed
    bool skip_special_tokens;
    bool window;           // the decoder is not one of the usual shapes: `ids` is decoded again
    size_t n_tokens;       // shown so far
    size_t strip_left;     // blanks that may still be dropped at the front
    bool run_broken;       // the run of byte tokens at hand is invalid
    struct bytes raw;      // bytes that are not yet a whole character
    struct bytes text;     // complete text held back
    struct bytes token[2]; // scratch
    // With `window`: the last tokens, what was given out of their text, and where in `ids` the text
    // that may still change begins.
    struct token_ids ids;
    struct bytes given;
    size_t changing;
};

// Without a tokenizer (NULL: a model that is asked with ids alone) no text ever comes.
void decode_stream_init(struct decode_stream *stream, const struct tokenizer *tokenizer,
                        bool skip_special_tokens);
void decode_stream_fini(struct decode_stream *stream);
// Before the first step: the tokens of the prompt that the text goes on from. The text of a
// completion is what it adds to the prompt's, with the blank that its first word begins with, as in
// vLLM (FastIncrementalDetokenizer): a few of the last tokens are looked at.
enum status decode_stream_prime(struct decode_stream *stream, const int32_t *prompt,
                                size_t n) STATUS_MUST_USE;
// Appends the text that `id` completes, which is often its own, sometimes none, sometimes that of
// tokens before.
enum status decode_stream_step(struct decode_stream *stream, int32_t id,
                               struct bytes *out) STATUS_MUST_USE;
// Appends what is left after the last token; U+FFFD stands for a character that was not finished.
enum status decode_stream_flush(struct decode_stream *stream, struct bytes *out) STATUS_MUST_USE;

#endif
