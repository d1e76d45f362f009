// Tokens in the order of their logits, largest first, smaller id first among equals; selection
// without full sorts.
#ifndef COLROW_ENGINE_RANKING_H
#define COLROW_ENGINE_RANKING_H

#include <stddef.h>
#include <stdint.h>

// One integer per token that orders as the pair does: descending keys are the order above. NaN
// ranks as -inf.
uint64_t ranking_key(float logit, int32_t id);
int32_t ranking_id(uint64_t key);

// Logits and weights come in whole blocks: n is a multiple of RANKING_BLOCK, what is not a token
// -inf with weight 0.
enum { RANKING_BLOCK = 64 };

struct ranking {
    const float *logits; // [n]
    const float *tops;   // [n / RANKING_BLOCK] the largest of each block
    int32_t n;
    const uint32_t *weights; // [n], or NULL
    const uint64_t *sums;    // [n / RANKING_BLOCK] of the weights of each block
    uint32_t least;          // what weighs less does not count
};

// Collects the `k` largest keys into `keys`, unsorted; returns their number. `keys` needs room for
// ranking_room(n).
int32_t ranking_top(const struct ranking *ranking, int32_t k, uint64_t *keys);
int32_t ranking_room(int32_t k);

void ranking_sort(uint64_t *keys, int32_t n); // descending

// Moves the shortest prefix of the descending order whose weights sum to `target` or more to the
// front, unsorted; returns its length. All n together reach the target, and target > 0.
int32_t ranking_prefix(uint64_t *keys, int32_t n, const uint32_t *weights, uint64_t target);

#endif
