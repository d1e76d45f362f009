// tokenizer.json's "pre_tokenizer": cuts the normalised text into the words that the model encodes
// one by one.
#ifndef COLROW_TEXT_PRE_TOKENIZER_H
#define COLROW_TEXT_PRE_TOKENIZER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct splits;

struct pre_tokenizer {
    struct pre_tokenizer_step *steps;
    size_t n, capacity;
};

void pre_tokenizer_init(struct pre_tokenizer *pre);
void pre_tokenizer_fini(struct pre_tokenizer *pre);
// `root` is the whole tokenizer.json, `where` its path.
enum status pre_tokenizer_parse(const json_t *root, const char *where,
                                struct pre_tokenizer *pre) STATUS_MUST_USE;
// Cuts the parts that are not tokens yet; `splits` is replaced.
enum status pre_tokenizer_apply(const struct pre_tokenizer *pre,
                                struct splits *splits) STATUS_MUST_USE;

// "Metaspace" also is a decoder: the character that stands for a blank, and whether the first one
// was put there.
enum metaspace_prepend { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };
struct metaspace {
    char replacement[4];
    size_t length;
    enum metaspace_prepend prepend;
    bool split;
};
enum status metaspace_parse(const json_t *object, const char *where,
                            struct metaspace *out) STATUS_MUST_USE;

#endif
