// The pool of KV pages (KV_PAGE_TOKENS tokens each): who holds which. Page ids are the same on
// every rank; the memory behind them is the ranks' business.
//
// Each page counts its holders, so that sequences can share a prefix.
#ifndef COLROW_ENGINE_KV_POOL_H
#define COLROW_ENGINE_KV_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "device/kernels.h"

struct kv_pool; // opaque

enum { KV_POOL_PAGES_MAX = 1 << 28 };

enum status kv_pool_new(int64_t n_pages, struct kv_pool **out) STATUS_MUST_USE;
void kv_pool_free(struct kv_pool *pool); // accepts NULL

// Takes `n` pages with one holder each: all or none.
bool kv_pool_take(struct kv_pool *pool, int32_t n, int32_t *pages);
// One more holder of each.
void kv_pool_share(struct kv_pool *pool, const int32_t *pages, int32_t n);
// One holder less of each; a page without holders is free again.
void kv_pool_give(struct kv_pool *pool, const int32_t *pages, int32_t n);

int64_t kv_pool_size(const struct kv_pool *pool);
int64_t kv_pool_available(const struct kv_pool *pool);

static inline int64_t kv_pages_for(int64_t n_tokens)
{
    return (n_tokens + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
}

#endif
