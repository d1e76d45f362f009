// Tokens that are found in the text before anything else: "<s>", "<|im_start|>", ...
#ifndef COLROW_TEXT_ADDED_TOKENS_H
#define COLROW_TEXT_ADDED_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/vocabulary.h"

enum {
    ADDED_TOKENS_MAX = 1 << 20,
    ADDED_TOKEN_BYTES_MAX = 1024, // bounds the work at each place of a text
};

struct added_token {
    int32_t id;
    uint32_t content, content_length; // into added_tokens.text
    uint32_t decoded, decoded_length; // the same, normalised where the token ever was
    bool single_word, lstrip, rstrip, normalized, special;
    // What a token was once stays with it when it is added again with other flags:
    bool ever_special;    // its text is skipped like a special token's
    bool ever_normalized; // it is decoded from its normalised text
};

// All tokens that are looked for in the same form of the text; the longest one at the leftmost
// place wins.
struct token_trie {
    struct trie_node *nodes;
    size_t n, capacity;
    bool first[256]; // bytes that begin a token
};

struct added_tokens {
    struct added_token *tokens; // one for each text, in the order in which they came
    size_t n, capacity;
    struct vocabulary index; // from text to place in `tokens`
    int32_t *by_id;          // [n_ids]: place in `tokens` of the token that has the id, -1: none
    size_t n_ids, ids_capacity;
    int32_t id_last; // the largest one, -1: none
    int32_t id_next; // of the next new text
    struct bytes text;
    struct token_trie raw, normalized;
    bool split_special; // special tokens are not looked for
};

void added_tokens_init(struct added_tokens *added);
void added_tokens_fini(struct added_tokens *added);
// Before each list of tokens: new texts are numbered behind all tokens there are by now.
// `tokenizers` counts the model's tokens, whatever their ids: with holes in them an id may be given
// that the model has, and hides its token then.
void added_tokens_begin(struct added_tokens *added, const struct vocabulary *model);
// Adds a token as `tokenizers` 0.23 does: a text that `model` or an earlier token has keeps its id,
// any other gets the next one; a text that comes again takes over the new flags. `flags` has
// no id. Empty texts are left out.
enum status added_tokens_add(struct added_tokens *added, const char *where,
                             const struct vocabulary *model, const struct added_token *flags,
                             const char *content, size_t length) STATUS_MUST_USE;
// Adds a text that is new at an id of its own, whatever the model has there. Before all others.
enum status added_tokens_add_at(struct added_tokens *added, const char *where,
                                const struct added_token *flags, const char *content, size_t length,
                                int32_t id) STATUS_MUST_USE;
struct normalizer;
// After the last token: makes ready what added_tokens_split() looks into.
enum status added_tokens_end(struct added_tokens *added,
                             const struct normalizer *normalizer) STATUS_MUST_USE;
// The token with that id, NULL when there is none.
const struct added_token *added_tokens_at(const struct added_tokens *added, int32_t id);
// The id of that text, -1 when there is none.
int32_t added_tokens_find(const struct added_tokens *added, const char *content, size_t length);
// True when that text is a special token's.
bool added_tokens_is_special(const struct added_tokens *added, const char *text, size_t length);

struct splits;
// Appends `text` to `out`, cut at the tokens found in it. `start`: of its first bytes, those that
// stand for the begin of what the user wrote.
enum status added_tokens_split(const struct added_tokens *added, bool normalized, const char *text,
                               size_t length, size_t start, struct splits *out) STATUS_MUST_USE;

#endif
