#include "engine/kv_pool.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

// The free pages of an owner are a ring through its end, in the order in which they will be taken:
// at its front those without known content, what was used last first (it is still in a CPU's
// cache); behind them those with, what was used last last.
struct free_page {
    int32_t before, after;
};

struct kv_pool {
    int64_t n_pages, n_free, n_usable;
    int64_t n_kept_free; // of the free ones
    int n_owners;
    int64_t free_of[KV_POOL_OWNERS_MAX], kept_free_of[KV_POOL_OWNERS_MAX]; // of each owner
    struct free_page *ring; // [n_pages + KV_POOL_OWNERS_MAX]: an owner's end is n_pages + owner
    uint32_t *holders;      // [n_pages]
    uint8_t *kept;          // [n_pages] its content is known
    kv_page_lost *lost;     // or NULL
    void *context;
    bool retains;
};

static int page_owner(const struct kv_pool *pool, int32_t page)
{
    return (int)(page % pool->n_owners);
}

static int32_t end_of(const struct kv_pool *pool, int owner)
{
    return (int32_t)pool->n_pages + owner;
}

static void count_free(struct kv_pool *pool, int32_t page, int n)
{
    const int owner = page_owner(pool, page), kept = pool->kept[page] ? n : 0;
    pool->n_free += n;
    pool->free_of[owner] += n;
    pool->n_kept_free += kept;
    pool->kept_free_of[owner] += kept;
}

static void put_between(struct kv_pool *pool, int32_t page, int32_t before, int32_t after)
{
    pool->ring[page] = (struct free_page){before, after};
    pool->ring[before].after = page;
    pool->ring[after].before = page;
    count_free(pool, page, 1);
}

static void put_first(struct kv_pool *pool, int32_t page)
{
    const int32_t end = end_of(pool, page_owner(pool, page));
    put_between(pool, page, end, pool->ring[end].after);
}

static void put_last(struct kv_pool *pool, int32_t page)
{
    const int32_t end = end_of(pool, page_owner(pool, page));
    put_between(pool, page, pool->ring[end].before, end);
}

static void take_out(struct kv_pool *pool, int32_t page)
{
    struct free_page links = pool->ring[page];
    pool->ring[links.before].after = links.after;
    pool->ring[links.after].before = links.before;
    count_free(pool, page, -1);
    assert(pool->n_free >= 0 && pool->n_kept_free >= 0);
}

enum status kv_pool_new(int64_t n_pages, struct kv_pool **out)
{
    static const char what[] = "the KV pool";
    assert(n_pages > 0 && n_pages <= KV_POOL_PAGES_MAX);
    struct kv_pool *pool;
    size_t n = (size_t)n_pages;
    assert(n_pages <= INT32_MAX - KV_POOL_OWNERS_MAX);
    TRY(memory_new(1, sizeof *pool, what, &pool));
    enum status status;
    TRY_DONE(memory_new(n + KV_POOL_OWNERS_MAX, sizeof *pool->ring, what, &pool->ring));
    TRY_DONE(memory_new(n, sizeof *pool->holders, what, &pool->holders));
    TRY_DONE(memory_new(n, sizeof *pool->kept, what, &pool->kept));
    pool->n_pages = pool->n_usable = n_pages;
    kv_pool_deal(pool, 1);
    *out = pool;
done:
    if (status != OK)
        kv_pool_free(pool);
    return status;
}

void kv_pool_deal(struct kv_pool *pool, int n_owners)
{
    assert(n_owners >= 1 && n_owners <= KV_POOL_OWNERS_MAX);
    assert(pool->n_usable == pool->n_pages && pool->n_kept_free == 0);
    pool->n_owners = n_owners;
    pool->n_free = 0;
    for (int owner = 0; owner < n_owners; owner++) {
        const int32_t end = end_of(pool, owner);
        pool->ring[end] = (struct free_page){end, end};
        pool->free_of[owner] = pool->kept_free_of[owner] = 0;
    }
    for (int32_t page = 0; page < pool->n_pages; page++)
        put_last(pool, page); // page 0 first
}

int kv_pool_owners(const struct kv_pool *pool)
{
    return pool->n_owners;
}

void kv_pool_free(struct kv_pool *pool)
{
    if (!pool)
        return;
    free(pool->ring);
    free(pool->holders);
    free(pool->kept);
    free(pool);
}

static void lose_content(struct kv_pool *pool, int32_t page)
{
    if (!pool->kept[page])
        return;
    pool->kept[page] = 0;
    pool->lost(pool->context, page);
}

// Who has the most pages without known content, or else the most free ones.
static int richest_owner(const struct kv_pool *pool)
{
    int best = 0;
    for (int owner = 1; owner < pool->n_owners; owner++) {
        const int64_t blank = pool->free_of[owner] - pool->kept_free_of[owner],
                      best_blank = pool->free_of[best] - pool->kept_free_of[best];
        if (blank > best_blank ||
            (blank == best_blank && pool->free_of[owner] > pool->free_of[best]))
            best = owner;
    }
    return best;
}

// Of that owner, or of the richest one.
static int32_t take_page(struct kv_pool *pool, int owner)
{
    if (owner < 0 || pool->free_of[owner] == 0)
        owner = richest_owner(pool);
    const int32_t page = pool->ring[end_of(pool, owner)].after;
    assert(page < pool->n_pages && pool->holders[page] == 0);
    take_out(pool, page);
    pool->holders[page] = 1;
    lose_content(pool, page);
    return page;
}

bool kv_pool_take(struct kv_pool *pool, int32_t n, int32_t *pages)
{
    assert(n >= 0);
    if (n > pool->n_free)
        return false;
    for (int32_t i = 0; i < n; i++)
        pages[i] = take_page(pool, -1);
    return true;
}

bool kv_pool_take_span(struct kv_pool *pool, int32_t *table, int32_t begin, int32_t end)
{
    assert(begin <= end);
    if (end - begin > pool->n_free)
        return false;
    for (int32_t i = begin; i < end; i++) {
        const bool goes_on = i % KV_GROUP_PAGES && table[i - 1] >= 0;
        table[i] = take_page(pool, goes_on ? page_owner(pool, table[i - 1]) : -1);
    }
    return true;
}

bool kv_pool_take_of(struct kv_pool *pool, int owner, int32_t *page)
{
    if (pool->n_free == 0)
        return false;
    *page = take_page(pool, owner);
    return true;
}

static void assert_page(const struct kv_pool *pool, int32_t page)
{
    assert(page >= 0 && page < pool->n_pages);
    (void)pool;
    (void)page;
}

void kv_pool_share(struct kv_pool *pool, const int32_t *pages, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        int32_t page = pages[i];
        assert_page(pool, page);
        assert(pool->holders[page] > 0 || pool->kept[page]);
        if (pool->holders[page]++ == 0)
            take_out(pool, page);
    }
}

void kv_pool_give(struct kv_pool *pool, const int32_t *pages, int32_t n)
{
    for (int32_t i = n - 1; i >= 0; i--) {
        int32_t page = pages[i];
        assert_page(pool, page);
        assert(pool->holders[page] > 0);
        if (--pool->holders[page] > 0)
            continue;
        if (!pool->retains)
            lose_content(pool, page);
        if (pool->kept[page])
            put_last(pool, page);
        else
            put_first(pool, page);
    }
    assert(pool->n_free <= pool->n_pages);
}

void kv_pool_watch(struct kv_pool *pool, kv_page_lost *lost, void *context, bool retains)
{
    pool->lost = lost;
    pool->context = context;
    pool->retains = retains;
}

void kv_pool_keep(struct kv_pool *pool, int32_t page)
{
    assert_page(pool, page);
    assert(pool->lost && pool->holders[page] > 0);
    pool->kept[page] = 1;
}

void kv_pool_forget(struct kv_pool *pool, int32_t page)
{
    assert_page(pool, page);
    if (!pool->kept[page])
        return;
    bool is_free = pool->holders[page] == 0;
    if (is_free)
        take_out(pool, page);
    pool->kept[page] = 0;
    if (is_free)
        put_first(pool, page);
}

void kv_pool_limit(struct kv_pool *pool, int64_t n_usable)
{
    assert(pool->n_free == pool->n_usable && pool->n_kept_free == 0);
    assert(n_usable >= 0 && n_usable <= pool->n_pages);
    for (int32_t page = (int32_t)n_usable; page < pool->n_usable; page++)
        take_out(pool, page);
    if (pool->n_usable > n_usable)
        pool->n_usable = n_usable;
    kv_pool_grow(pool, n_usable);
}

void kv_pool_grow(struct kv_pool *pool, int64_t n_usable)
{
    assert(n_usable <= pool->n_pages);
    int64_t before = pool->n_usable;
    for (int32_t page = (int32_t)n_usable - 1; page >= before; page--)
        put_first(pool, page); // before those with known content
    pool->n_usable = before < n_usable ? n_usable : before;
}

int64_t kv_pool_usable(const struct kv_pool *pool)
{
    return pool->n_usable;
}

int64_t kv_pool_blank(const struct kv_pool *pool)
{
    return pool->n_free - pool->n_kept_free;
}

int64_t kv_pool_size(const struct kv_pool *pool)
{
    return pool->n_pages;
}

int64_t kv_pool_available(const struct kv_pool *pool)
{
    return pool->n_free;
}

bool kv_pool_is_free(const struct kv_pool *pool, int32_t page)
{
    assert_page(pool, page);
    return pool->holders[page] == 0;
}
