// What a struct tokenizer consists of; for the files of this folder that build and walk it.
#ifndef COLROW_TEXT_TOKENIZER_PARTS_H
#define COLROW_TEXT_TOKENIZER_PARTS_H

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/decoder.h"
#include "text/json_span.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/special_tokens.h"
#include "text/tokenizer.h"
#include "text/tokenizer_config.h"

struct tokenizer {
    struct bpe bpe;
    struct normalizer normalizer;
    struct pre_tokenizer pre_tokenizer;
    struct decoder decoder;
    struct post_processor post_processor;
    struct added_tokens added;
    size_t n_ids; // largest id + 1
    struct special_tokens special;
    char *name; // for messages
};

// Puts into `root` what the folder's class builds itself, and works out the tokens.
enum status tokenizer_config_use(struct tokenizer_config *config, json_t *root,
                                 const char *file) STATUS_MUST_USE;
// Adds the tokens of the files beside tokenizer.json.
enum status tokenizer_config_add_tokens(const struct tokenizer_config *config,
                                        struct tokenizer *tokenizer) STATUS_MUST_USE;

// tokenizer.json's "model" into `bpe`. In `root` its "vocab" and "merges" are null: they are spans
// of `file`.
enum status bpe_parse(const json_t *root, const char *where, const char *file,
                      struct json_span vocab, struct json_span merges,
                      struct bpe *bpe) STATUS_MUST_USE;

// The text that decoding begins with, NULL when no token has the id; `*special` when it may be
// skipped.
const char *tokenizer_decoder_text(const struct tokenizer *tokenizer, int32_t id, size_t *length,
                                   bool *special);

#endif
