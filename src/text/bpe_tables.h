// The tables of a struct bpe, between bpe.c, which fills them, and bpe_run.c, which reads them.
#ifndef COLROW_TEXT_BPE_TABLES_H
#define COLROW_TEXT_BPE_TABLES_H

#include "text/bpe.h"

struct bpe_merge {
    uint64_t key_plus_1; // left id << 32 | right id; 0: free
    uint32_t rank;
    int32_t new_id;
};

const struct bpe_merge *bpe_find_merge(const struct bpe *bpe, int32_t left,
                                       int32_t right); // NULL: none
// False when no merge can join a token ending with `last` to one beginning with `first`.
bool bpe_may_join(const struct bpe *bpe, uint32_t last, uint32_t first);
// The id of a character of `bytes` bytes at `text`, -1 when it is no token.
int32_t bpe_char_id(const struct bpe *bpe, uint32_t code, const char *text, size_t bytes);

#endif
