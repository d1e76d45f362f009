// tokenizer_config.json's "tokenizer_class": Transformers 5 builds some classes' normalizer,
// pre-tokenizer and decoder itself and takes from tokenizer.json only vocabulary, merges and
// post-processor. Which class counts depends on config.json too (AutoTokenizer).
#ifndef COLROW_TEXT_TOKENIZER_CLASS_H
#define COLROW_TEXT_TOKENIZER_CLASS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/status.h"

enum { CLASS_DEFAULTS_MAX = 9 };

struct class_default {
    const char *name, *text; // "bos_token", "<s>"; text NULL: none, yet it stands in the signature
};

// Whose post-processor counts: tokenizer.json's, none, or one that puts bos_token in front.
enum class_post { POST_OF_FILE, POST_NONE, POST_BOS };
// What becomes of special tokens that exist already.
enum class_marks { MARKS_NOTHING, MARKS_SPECIAL_PLAIN, MARKS_SPECIAL };

struct tokenizer_class {
    const char *name; // without "Fast"
    // JSON; "%s" is where the blank at the front is decided. NULL: tokenizer.json's own counts.
    const char *model, *normalizer, *pre_tokenizer, *decoder;
    struct class_default defaults[CLASS_DEFAULTS_MAX]; // ends with a NULL name
    bool prefix_space;                                 // where the folder does not say
    bool names_unk;                                    // the model's unk_token is the folder's
    enum class_post post;
    enum class_marks marks;
};

// Takes the class from the three files' keys (each object may be NULL); `byte_level`: whether
// tokenizer.json says "ByteLevel". `*out` is static.
enum status tokenizer_class_choose(const json_t *config, const json_t *model_config,
                                   const char *where, bool byte_level,
                                   const struct tokenizer_class **out) STATUS_MUST_USE;
// True when choosing needs to know whether tokenizer.json says "ByteLevel".
bool tokenizer_class_asks_byte_level(const json_t *config, const json_t *model_config);
// Puts into `root` (a tokenizer.json) what the class builds itself. `unk`: its unknown token.
enum status tokenizer_class_apply(const struct tokenizer_class *class, const json_t *config,
                                  const char *unk, json_t *root) STATUS_MUST_USE;

#endif
