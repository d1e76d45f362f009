// The pool of KV pages (KV_PAGE_TOKENS tokens each): who holds which. Page ids are the same on
// every rank; the memory behind them is the ranks' business.
//
// Each page counts its holders, so that sequences can share a prefix. A free page may still have
// content that somebody knows (prefix_cache.h): it is free like any other, but taken after those
// without, the least recently used first.
//
// Where each of some ranks has the memory of a part of the pages (context parallelism), page p is
// that of owner p % n_owners. The pages of a sequence's KV_GROUP_PAGES, which are attended
// together, are taken of one owner while it has free ones; nothing but speed depends on it.
#ifndef COLROW_ENGINE_KV_POOL_H
#define COLROW_ENGINE_KV_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "device/kernels.h"

struct kv_pool; // opaque

enum { KV_POOL_PAGES_MAX = 1 << 28, KV_POOL_OWNERS_MAX = 64 };

enum status kv_pool_new(int64_t n_pages, struct kv_pool **out) STATUS_MUST_USE;
// Of a pool of which nobody holds a page and knows a content: only the first `n_usable` pages can
// be taken for now.
void kv_pool_limit(struct kv_pool *pool, int64_t n_usable);
// From now on the first `n_usable` can be; fewer than before changes nothing.
void kv_pool_grow(struct kv_pool *pool, int64_t n_usable);
void kv_pool_free(struct kv_pool *pool); // accepts NULL
// Of a new pool: its pages have so many owners; without, one.
void kv_pool_deal(struct kv_pool *pool, int n_owners);
int kv_pool_owners(const struct kv_pool *pool);

// Takes `n` pages with one holder each: all or none.
bool kv_pool_take(struct kv_pool *pool, int32_t n, int32_t *pages);
// The same of a sequence's pages [begin, end), into its table.
bool kv_pool_take_span(struct kv_pool *pool, int32_t *table, int32_t begin, int32_t end);
// One page, of the owner with that number if it has a free one.
bool kv_pool_take_of(struct kv_pool *pool, int owner, int32_t *page);
// One more holder of each; a free page must be one with known content.
void kv_pool_share(struct kv_pool *pool, const int32_t *pages, int32_t n);
// One holder less of each; a page without holders is free again. The last pages of a sequence are
// the first to be taken again: they are of no use without those before.
void kv_pool_give(struct kv_pool *pool, const int32_t *pages, int32_t n);

// Who knows contents. `lost` is called when a page with known content is taken for something else,
// and, where `retains` is false, as soon as its last holder has given it back.
typedef void kv_page_lost(void *context, int32_t page);
void kv_pool_watch(struct kv_pool *pool, kv_page_lost *lost, void *context, bool retains);
// A page that somebody holds has known content from now on, until it is lost.
void kv_pool_keep(struct kv_pool *pool, int32_t page);
// Its content is worth nothing any more; `lost` is not called.
void kv_pool_forget(struct kv_pool *pool, int32_t page);

int64_t kv_pool_size(const struct kv_pool *pool);
int64_t kv_pool_usable(const struct kv_pool *pool);
int64_t kv_pool_available(const struct kv_pool *pool); // free ones, with known content or without
int64_t kv_pool_blank(const struct kv_pool *pool);     // those without
bool kv_pool_is_free(const struct kv_pool *pool, int32_t page);

static inline int64_t kv_pages_for(int64_t n_tokens)
{
    return (n_tokens + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
}

#endif
