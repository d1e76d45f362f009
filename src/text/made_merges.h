// Merges for vocabularies that come without a list of them: every way to cut a token into two other
// tokens is one.
#ifndef COLROW_TEXT_MADE_MERGES_H
#define COLROW_TEXT_MADE_MERGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/bpe.h"

struct merge_rules {
    const int32_t *tokens; // whose merges come first; NULL: in the order of the ids
    size_t n_tokens;
    const bool *usable; // [vocabulary.n_ids]: may be a half; NULL: all
    bool by_id; // of one token's cuts: by the ids of the halves, not by the left one's length
};
// Adds them to `bpe`, whose vocabulary is complete. `where` stands in messages.
enum status make_merges(struct bpe *bpe, const char *where,
                        const struct merge_rules *rules) STATUS_MUST_USE;

#endif
