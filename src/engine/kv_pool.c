#include "engine/kv_pool.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

struct kv_pool {
    int64_t n_pages, n_free;
    int32_t *free; // [n_free], the next one to take last: what was used last is still in a cache
    uint32_t *holders; // [n_pages]
};

enum status kv_pool_new(int64_t n_pages, struct kv_pool **out)
{
    assert(n_pages > 0 && n_pages <= KV_POOL_PAGES_MAX);
    struct kv_pool *pool;
    TRY(memory_new(1, sizeof *pool, "the KV pool", &pool));
    enum status status =
        memory_new((size_t)n_pages, sizeof *pool->free, "the KV pool", &pool->free);
    if (status == OK)
        status = memory_new((size_t)n_pages, sizeof *pool->holders, "the KV pool", &pool->holders);
    if (status != OK) {
        kv_pool_free(pool);
        return status;
    }
    pool->n_pages = pool->n_free = n_pages;
    for (int64_t i = 0; i < n_pages; i++)
        pool->free[i] = (int32_t)(n_pages - 1 - i); // page 0 first
    *out = pool;
    return OK;
}

void kv_pool_free(struct kv_pool *pool)
{
    if (!pool)
        return;
    free(pool->free);
    free(pool->holders);
    free(pool);
}

bool kv_pool_take(struct kv_pool *pool, int32_t n, int32_t *pages)
{
    assert(n >= 0);
    if (n > pool->n_free)
        return false;
    for (int32_t i = 0; i < n; i++) {
        int32_t page = pool->free[--pool->n_free];
        assert(pool->holders[page] == 0);
        pool->holders[page] = 1;
        pages[i] = page;
    }
    return true;
}

void kv_pool_share(struct kv_pool *pool, const int32_t *pages, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        assert(pages[i] >= 0 && pages[i] < pool->n_pages && pool->holders[pages[i]] > 0);
        pool->holders[pages[i]]++;
    }
}

void kv_pool_give(struct kv_pool *pool, const int32_t *pages, int32_t n)
{
    for (int32_t i = n - 1; i >= 0; i--) {
        assert(pages[i] >= 0 && pages[i] < pool->n_pages && pool->holders[pages[i]] > 0);
        if (--pool->holders[pages[i]] == 0)
            pool->free[pool->n_free++] = pages[i];
    }
    assert(pool->n_free <= pool->n_pages);
}

int64_t kv_pool_size(const struct kv_pool *pool)
{
    return pool->n_pages;
}

int64_t kv_pool_available(const struct kv_pool *pool)
{
    return pool->n_free;
}
