// tokenizer.json's "normalizer": what is done to the text before it is cut into words.
#ifndef COLROW_TEXT_NORMALIZER_H
#define COLROW_TEXT_NORMALIZER_H

#include <jansson.h>

#include "base/memory.h"
#include "base/status.h"

enum { TOKENIZER_STEPS_MAX = 64 }; // of a "Sequence"

struct normalizer {
    struct normalizer_step *steps;
    size_t n, capacity;
};

void normalizer_init(struct normalizer *normalizer);
void normalizer_fini(struct normalizer *normalizer);
// `root` is the whole tokenizer.json, `where` its path.
enum status normalizer_parse(const json_t *root, const char *where,
                             struct normalizer *normalizer) STATUS_MUST_USE;
// Appends the normalised form of valid UTF-8. `*start`: how many of the text's first bytes stand
// for the begin of what the user wrote, before and after (splits.h).
enum status normalizer_apply(const struct normalizer *normalizer, const char *text, size_t length,
                             size_t *start, struct bytes *out) STATUS_MUST_USE;

#endif
