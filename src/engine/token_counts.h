// Which tokens a sequence has seen, and how often it has generated each: what penalties are
// computed from.
#ifndef COLROW_ENGINE_TOKEN_COUNTS_H
#define COLROW_ENGINE_TOKEN_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

struct token_count {
    int32_t id;
    int32_t generated; // 0: only in the prompt
};

struct token_counts {
    struct token_count *items; // [n], in the order of their first appearance
    int32_t n, capacity;
    int32_t *slots; // [mask + 1] index into items + 1, open addressing; 0: free
    uint32_t mask;
};

// What room for so many takes.
size_t token_counts_bytes(int32_t tokens_max);
// Room for `tokens_max` different tokens, out of the arena.
enum status token_counts_init(struct token_counts *counts, struct arena *arena,
                              int32_t tokens_max) STATUS_MUST_USE;
void token_counts_prompt(struct token_counts *counts, const int32_t *ids, int32_t n);
void token_counts_generated(struct token_counts *counts, int32_t id);

#endif
