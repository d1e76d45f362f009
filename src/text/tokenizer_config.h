// What the files beside tokenizer.json say: tokenizer_config.json, special_tokens_map.json,
// added_tokens.json and config.json, put together as Transformers 5.24 does
// (tokenization_utils_base.py, tokenization_utils_tokenizers.py).
#ifndef COLROW_TEXT_TOKENIZER_CONFIG_H
#define COLROW_TEXT_TOKENIZER_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/tokenizer_class.h"

// A token as these files write it: a text alone ("<s>"), or with flags.
struct token_spec {
    const char *text; // borrowed from the files, or static
    size_t length;
    bool plain; // a text alone
    bool lstrip, rstrip, single_word, normalized, special;
};

struct named_token {
    const char *name; // "bos_token"
    struct token_spec token;
};

struct numbered_token {
    int64_t id; // tokens are added in the order of these ids, which then are given anew
    size_t turn;
    struct token_spec token;
};

struct tokenizer_config {
    char where[512];              // tokenizer_config.json's path, for messages
    json_t *config, *map, *added; // the three files; `config` is changed as it is read
    json_t *model_config;         // config.json
    json_t *collected;            // tokens with names of their own
    const struct tokenizer_class *class;
    struct tokenizer_class plain_class; // `class` without what it builds; see special_tokens.c
    bool split_special_tokens;          // special tokens are not looked for in texts
    // What the files in place of a tokenizer.json bring along (vocab_files.h), NULL: nothing.
    json_t *model_tokens; // without a name; they count where extra_special_tokens does not
    json_t *usual_names;  // name to text, where the folder does not say
    bool numbered_raw;    // tokens by number are looked for in the text before it is normalised
    // Filled by tokenizer_config_resolve().
    struct named_token *named;
    size_t n_named, named_capacity;
    struct token_spec *extra;
    size_t n_extra, extra_capacity;
    struct numbered_token *numbered;
    size_t n_numbered, numbered_capacity;
};

void tokenizer_config_init(struct tokenizer_config *config);
void tokenizer_config_fini(struct tokenizer_config *config);
// Reads the files that `folder` has; none of them must be there. `text` is its tokenizer.json.
enum status tokenizer_config_read(const char *folder, const char *text, size_t length,
                                  struct tokenizer_config *out) STATUS_MUST_USE;
// Reads them from memory: each may be NULL. `name` stands in messages. For tests.
enum status tokenizer_config_parse(const char *name, const char *const files[4], const char *text,
                                   size_t length, struct tokenizer_config *out) STATUS_MUST_USE;
// Chooses the class once more, where tokenizer.json was not given before.
enum status tokenizer_config_choose(struct tokenizer_config *config, const char *text,
                                    size_t length) STATUS_MUST_USE;
// Works out which tokens there are. `root` is tokenizer.json, NULL where only names and texts of
// the special tokens are wanted; it must live as long as `config`. `file` is its path.
enum status tokenizer_config_resolve(struct tokenizer_config *config, const json_t *root,
                                     const char *file) STATUS_MUST_USE;
// The token of that name, NULL when there is none.
const struct token_spec *tokenizer_config_named(const struct tokenizer_config *config,
                                                const char *name);

#endif
