// Decoding token by token: text comes out as soon as it is complete, never half a UTF-8 character.
//
// The pieces are those of `tokenizers`' DecodeStream: a token whose text ends inside a character,
// or with U+FFFD, is held back until the next one. All pieces and the flush together are what
// tokenizer_decode() makes of all ids; the one exception is a run of byte tokens ("<0xE4>") that
// becomes invalid after characters of it were given out: these stay, where tokenizer_decode() turns
// the whole run into U+FFFD.
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
    bool whole;            // the decoder cannot be streamed: everything comes with the flush
    size_t n_tokens;       // shown so far
    size_t strip_left;     // blanks that may still be dropped at the front
    bool run_broken;       // the run of byte tokens at hand is invalid
    struct bytes raw;      // bytes that are not yet a whole character
    struct bytes text;     // complete text held back
    struct bytes token[2]; // scratch
    struct token_ids ids;  // all of them, when `whole`
};

// Without a tokenizer (NULL: a model that is asked with ids alone) no text ever comes.
void decode_stream_init(struct decode_stream *stream, const struct tokenizer *tokenizer,
                        bool skip_special_tokens);
void decode_stream_fini(struct decode_stream *stream);
// Appends the text that `id` completes, which is often its own, sometimes none, sometimes that of
// tokens before.
enum status decode_stream_step(struct decode_stream *stream, int32_t id,
                               struct bytes *out) STATUS_MUST_USE;
// Appends what is left after the last token; U+FFFD stands for a character that was not finished.
enum status decode_stream_flush(struct decode_stream *stream, struct bytes *out) STATUS_MUST_USE;

#endif
