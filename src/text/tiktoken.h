// The files of OpenAI's `tiktoken`: a line for each token, its bytes in base64 and its rank, which
// is its id. Merges, pattern and special tokens do not stand there.
#ifndef COLROW_TEXT_TIKTOKEN_H
#define COLROW_TEXT_TIKTOKEN_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/bpe.h"
#include "text/tokenizer_config.h"

struct token_rank {
    size_t begin, length; // in `letters`
    int64_t rank;
};
struct tiktoken {
    struct bytes letters; // of all tokens, in GPT-2's letters
    struct token_rank *ranks;
    size_t n, capacity;
};

// `out` is the caller's to release in any case.
enum status tiktoken_parse(const char *where, const char *text, size_t length,
                           struct tiktoken *out) STATUS_MUST_USE;
void tiktoken_fini(struct tiktoken *ranks);
// One more token, of any bytes; `where` has what it is called in messages.
enum status tiktoken_add(struct tiktoken *out, const char *where, const struct bytes *token,
                         int64_t rank) STATUS_MUST_USE;

// Makes a tokenizer.json without vocabulary. Transformers 5.24 has one pattern, Llama 3's, for all
// such files (TikTokenConverter), and special tokens from the files beside it (`config`, resolved).
enum status tiktoken_root(const struct tiktoken *ranks, const struct tokenizer_config *config,
                          json_t **root) STATUS_MUST_USE;
// The same with another pattern, and these tokens.
enum status tiktoken_words_root(const char *words, json_t *added, json_t **root) STATUS_MUST_USE;
// Qwen 1 has a tokenizer of its own in Python, with all special tokens.
enum status tiktoken_qwen_root(const struct tiktoken *ranks, json_t **root) STATUS_MUST_USE;
enum status tiktoken_model(const struct tiktoken *ranks, const char *where,
                           struct bpe *bpe) STATUS_MUST_USE;

#endif
