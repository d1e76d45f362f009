// The special tokens that a model's folder names: what a chat template's bos_token, eos_token, ...
// stand for.
#ifndef COLROW_TEXT_SPECIAL_TOKENS_H
#define COLROW_TEXT_SPECIAL_TOKENS_H

#include <stddef.h>

#include "base/status.h"

struct special_token {
    char *name; // "bos_token"
    char *text; // "<s>", NUL-terminated
};

struct special_tokens {
    struct special_token *items; // in Transformers' order
    size_t n, capacity;
};

// From tokenizer_config.json, special_tokens_map.json and what the folder's tokenizer class takes
// where they say nothing. Files that are absent name none.
enum status special_tokens_read(const char *folder, struct special_tokens *out) STATUS_MUST_USE;
void special_tokens_fini(struct special_tokens *tokens);

#endif
