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
#include "text/unigram.h"
#include "text/word_piece.h"

enum model_kind { MODEL_BPE, MODEL_UNIGRAM, MODEL_WORD_PIECE };

struct tokenizer {
    enum model_kind model; // whose part is used of these three
    struct bpe bpe;
    struct unigram unigram;
    struct word_piece word_piece;
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
// The second half of that: what the class of a resolved `config` builds.
enum status tokenizer_class_use(const struct tokenizer_config *config,
                                json_t *root) STATUS_MUST_USE;
// Adds the tokens of the files beside tokenizer.json.
enum status tokenizer_config_add_tokens(const struct tokenizer_config *config,
                                        struct tokenizer *tokenizer) STATUS_MUST_USE;

// The tokens of the model, without added ones.
const struct vocabulary *tokenizer_vocabulary(const struct tokenizer *tokenizer);
// tokenizer.json's "model". In `root` its "vocab" and "merges" are null: they are spans of `file`.
enum status model_parse(const json_t *root, const char *where, const char *file,
                        struct json_span vocab, struct json_span merges,
                        struct tokenizer *tokenizer) STATUS_MUST_USE;
// A BPE model into `bpe`. In `root` its "vocab" and "merges" are null: they are spans
// of `file`.
enum status bpe_parse(const json_t *root, const char *where, const char *file,
                      struct json_span vocab, struct json_span merges,
                      struct bpe *bpe) STATUS_MUST_USE;

// Its two parts that do not need a whole tokenizer.json: the keys beside vocabulary and merges, and
// {"token": id, ...}, which is all that is read of `reader`.
enum status bpe_parse_options(const json_t *model, const char *where,
                              struct bpe *bpe) STATUS_MUST_USE;
enum status bpe_parse_vocab(struct json_reader *reader, struct bpe *bpe) STATUS_MUST_USE;

// The text that decoding begins with, NULL when no token has the id; `*special` when it may be
// skipped.
const char *tokenizer_decoder_text(const struct tokenizer *tokenizer, int32_t id, size_t *length,
                                   bool *special);

#endif
