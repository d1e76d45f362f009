// The files that stand in for a tokenizer.json where a folder has none: tokenizer.model (of
// SentencePiece, or in tiktoken's form), tiktoken.model, qwen.tiktoken, mistral-common's
// tekken.json, or vocab.json with merges.txt. What they mean is what Transformers 5.24 makes of
// such a folder.
#ifndef COLROW_TEXT_VOCAB_FILES_H
#define COLROW_TEXT_VOCAB_FILES_H

#include <jansson.h>
#include <stdbool.h>

#include "base/file.h"
#include "base/memory.h"
#include "text/sentencepiece.h"
#include "text/tiktoken.h"
#include "text/tokenizer_parts.h"

enum vocab_kind { VOCAB_PIECES, VOCAB_RANKS, VOCAB_QWEN, VOCAB_TEKKEN, VOCAB_LETTERS };

struct vocab_files {
    enum vocab_kind kind;
    char where[FILE_PATH_MAX];   // the file's path, for messages
    struct bytes text, merges;   // `merges`: of VOCAB_LETTERS
    struct sentencepiece pieces; // points into `text`
    struct tiktoken ranks;
    json_t *settings; // of VOCAB_TEKKEN
};

bool vocab_files_there(const char *folder);
// `out` is the caller's to release in any case.
enum status vocab_files_read(const char *folder, struct vocab_files *out) STATUS_MUST_USE;
// From memory: `name` is the file's, of the first kind that its end fits; `merges` may be NULL.
enum status vocab_files_parse(const char *name, const struct bytes *text,
                              const struct bytes *merges, struct vocab_files *out) STATUS_MUST_USE;
void vocab_files_fini(struct vocab_files *files);

// Tells `config` which tokens the files bring along; before tokenizer_config_resolve().
enum status vocab_files_tokens(const struct vocab_files *files,
                               struct tokenizer_config *config) STATUS_MUST_USE;
// Resolves `config`, and makes what a tokenizer.json would say, without vocabulary.
enum status vocab_files_root(const struct vocab_files *files, struct tokenizer_config *config,
                             json_t **root) STATUS_MUST_USE;
// Fills the tokenizer's model; `root` is what vocab_files_root() made.
enum status vocab_files_model(const struct vocab_files *files,
                              const struct tokenizer_config *config, const json_t *root,
                              struct tokenizer *tokenizer) STATUS_MUST_USE;
// Puts bos_token and eos_token around texts, where tokenizer_config.json says so; when all tokens
// are there.
enum status vocab_files_ends(const struct vocab_files *files, const struct tokenizer_config *config,
                             struct tokenizer *tokenizer) STATUS_MUST_USE;

#endif
