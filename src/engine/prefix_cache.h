// The prefix cache: which whole KV pages hold the keys and values of which tokens, so that a prompt
// that begins like an earlier one (or goes on from an earlier answer) need not be computed again.
//
// A page's content follows from its own tokens and all tokens before them (docs/numerics.md says
// why that is exact), so pages form a tree. One is found by a keyed 128-bit hash of the hash before
// it and its tokens, and then believed only if its tokens are equal and the page before it is the
// one that was found before: a collision costs time, never an answer.
//
// Pages stay the pool's: a page of the cache that no sequence holds is free, and leaves the cache
// when it is taken (kv_pool.h). With host pages (--kv-offloading-size) its content moves to one of
// these instead, the least recently used of which loses its own, and back to a page of the pool
// when it is found again: the ranks make the copies at the beginning of the step that is being
// planned. The places of contents are pages, and behind them host pages.
#ifndef COLROW_ENGINE_PREFIX_CACHE_H
#define COLROW_ENGINE_PREFIX_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "engine/kv_pool.h"
#include "model/step.h"

struct prefix_cache; // opaque

// Copies before a step in each direction at most. What would be one more is forgotten, or not
// found.
enum { HOST_COPIES_MAX = 4096 };

// A place in the tree: behind `n_pages` pages.
struct page_chain {
    uint64_t hash[2];
    uint64_t id; // of the content before; at the root: the scope
    int32_t n_pages;
};

// Only sequences of one scope find each other's pages.
enum prefix_scope_kind {
    PREFIX_SCOPE_ALL,     // everybody who asks for nothing else
    PREFIX_SCOPE_REQUEST, // one request's sequences
    PREFIX_SCOPE_SALT,    // those with the same cache_salt
};
uint64_t prefix_scope(enum prefix_scope_kind kind, uint64_t number);
// ... whose number is this; keyed, so that nobody can aim at another's.
uint64_t prefix_scope_of_salt(const struct prefix_cache *cache, const char *salt, size_t length);
// The scope beside it of sequences whose keys are turned otherwise (sequence.h: is_long).
uint64_t prefix_scope_long(uint64_t scope);
void page_chain_begin(struct page_chain *chain, uint64_t scope);

// For all pages of `pool`, which is borrowed and watched from now on. `retains` false: a page is
// forgotten with its last holder, so that only sequences that run at the same time share pages, and
// host pages are of no use.
enum status prefix_cache_new(struct kv_pool *pool, bool retains, int64_t host_pages,
                             struct prefix_cache **out) STATUS_MUST_USE;
void prefix_cache_free(struct prefix_cache *cache);  // accepts NULL; the pool is watched no more
void prefix_cache_clear(struct prefix_cache *cache); // the ranks' memory is new
bool prefix_cache_retains(const struct prefix_cache *cache);
int64_t prefix_cache_host_pages(const struct prefix_cache *cache);

// The places that hold `tokens` [n_pages_max * KV_PAGE_TOKENS] from the chain's place on, as far as
// they are known; moves `chain` behind them, and returns their number. They are not held.
int32_t prefix_cache_find(const struct prefix_cache *cache, struct page_chain *chain,
                          const int32_t *tokens, int32_t n_pages_max, int32_t *places);
bool prefix_cache_is_host(const struct prefix_cache *cache, int32_t place);
// Holds what was found: pages of the pool as kv_pool_share() does; host pages, so that they are
// still there for prefix_cache_load(), which has to follow for each of them.
void prefix_cache_hold(struct prefix_cache *cache, const int32_t *places, int32_t n);
// Moves the content of a host page to `page`, which the caller has taken from the pool.
void prefix_cache_load(struct prefix_cache *cache, int32_t place, int32_t page);
// The copies that the next step has to make; until that step is posted they stay, then
// prefix_cache_copied() forgets them.
const struct step_copy *prefix_cache_copies(const struct prefix_cache *cache, int32_t *n);
void prefix_cache_copied(struct prefix_cache *cache);
// `page`, of the pool, which somebody holds, has `tokens` [KV_PAGE_TOKENS] behind `chain`, which
// moves on. Where another page is known to have the same, that one stays the known one.
void prefix_cache_put(struct prefix_cache *cache, struct page_chain *chain, const int32_t *tokens,
                      int32_t page);

// Pages of other groups of layers (model/kv_layout.h) with the same tokens: they stand beside those
// of the first group, by which they are found. `place` is what prefix_cache_find() gave; -1: none
// is known.
int32_t prefix_cache_beside(const struct prefix_cache *cache, int32_t place, int group);
// After prefix_cache_put() has moved `chain` on.
void prefix_cache_put_beside(struct prefix_cache *cache, const struct page_chain *chain, int group,
                             const int32_t *tokens, int32_t page);

// For the test that makes all hashes equal.
typedef void page_hash(const uint64_t key[2], const void *data, size_t bytes, uint64_t out[2]);
void prefix_cache_hash_with(struct prefix_cache *cache, page_hash *hash);

#endif
