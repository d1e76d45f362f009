// Tokens that are found in the text before anything else: "<s>", "<|im_start|>", ...
#ifndef COLROW_TEXT_ADDED_TOKENS_H
#define COLROW_TEXT_ADDED_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum {
    ADDED_TOKENS_MAX = 1 << 20,
    ADDED_TOKEN_BYTES_MAX = 1024, // bounds the work at each place of a text
};

struct added_token {
    int32_t id;
    uint32_t content, content_length; // into added_tokens.text
    uint32_t matched, matched_length; // the same, normalised where the token is
    bool single_word, lstrip, rstrip, normalized, special;
};

// All tokens that are looked for in the same form of the text; the longest one at the leftmost
// place wins.
struct token_trie {
    struct trie_node *nodes;
    size_t n, capacity;
    bool first[256]; // bytes that begin a token
};

struct added_tokens {
    struct added_token *tokens;
    size_t n, capacity;
    struct bytes text;
    struct token_trie raw, normalized;
};

void added_tokens_init(struct added_tokens *added);
void added_tokens_fini(struct added_tokens *added);
// Copies `content` and `matched`; `token`'s flags and id are taken over.
enum status added_tokens_add(struct added_tokens *added, const char *where,
                             const struct added_token *token, const char *content,
                             size_t content_length, const char *matched,
                             size_t matched_length) STATUS_MUST_USE;

struct splits;
// Appends `text` to `out`, cut at the tokens found in it.
enum status added_tokens_split(const struct added_tokens *added, bool normalized, const char *text,
                               size_t length, bool at_start, struct splits *out) STATUS_MUST_USE;

#endif
