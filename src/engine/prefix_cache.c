#include "engine/prefix_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/memory.h"
#include "engine/siphash.h"

enum { NO_PAGE = -1 };
static const uint64_t scope_bit = (uint64_t)1 << 63; // ids of contents count up and never reach it

struct known_page {
    uint64_t hash[2];
    uint64_t id;     // of the content; 0: not known
    uint64_t parent; // id of the content before it, or a scope
    int32_t next;    // in its bucket, or NO_PAGE
};

struct prefix_cache {
    struct kv_pool *pool; // borrowed
    bool retains;
    page_hash *hash;
    uint64_t key[2];
    uint64_t last_id;
    int32_t n_pages;
    struct known_page *pages;          // [n_pages]
    int32_t (*tokens)[KV_PAGE_TOKENS]; // [n_pages]
    int32_t *buckets;                  // [n_buckets] first page, or NO_PAGE
    uint64_t n_buckets;                // a power of two
};

uint64_t prefix_scope(enum prefix_scope_kind kind, uint64_t number)
{
    enum { KIND_BITS = 2, KIND_SHIFT = 61 };
    assert((uint64_t)kind < 1u << KIND_BITS);
    return scope_bit | (uint64_t)kind << KIND_SHIFT | (number & (((uint64_t)1 << KIND_SHIFT) - 1));
}

uint64_t prefix_scope_of_salt(const struct prefix_cache *cache, const char *salt, size_t length)
{
    uint64_t hash[2];
    siphash128(cache->key, salt, length, hash);
    return prefix_scope(PREFIX_SCOPE_SALT, hash[0]);
}

void page_chain_begin(struct page_chain *chain, uint64_t scope)
{
    *chain = (struct page_chain){.hash = {scope, 0}, .id = scope};
}

static int32_t *bucket_of(const struct prefix_cache *cache, const uint64_t hash[2])
{
    return &cache->buckets[hash[0] & (cache->n_buckets - 1)];
}

static void forget_page(void *context, int32_t page)
{
    struct prefix_cache *cache = context;
    struct known_page *known = &cache->pages[page];
    assert(known->id);
    int32_t *at = bucket_of(cache, known->hash);
    while (*at != page)
        at = &cache->pages[*at].next;
    *at = known->next;
    known->id = 0;
}

enum status prefix_cache_new(struct kv_pool *pool, bool retains, struct prefix_cache **out)
{
    static const char what[] = "the prefix cache";
    struct prefix_cache *cache;
    TRY(memory_new(1, sizeof *cache, what, &cache));
    enum status status = OK;
    size_t n = (size_t)kv_pool_size(pool);
    *cache = (struct prefix_cache){
        .retains = retains, .hash = siphash128, .n_pages = (int32_t)n, .n_buckets = 1};
    while (cache->n_buckets < n)
        cache->n_buckets *= 2;
    TRY_DONE(memory_new(n, sizeof *cache->pages, what, &cache->pages));
    TRY_DONE(memory_new(n, sizeof *cache->tokens, what, &cache->tokens));
    TRY_DONE(memory_new(cache->n_buckets, sizeof *cache->buckets, what, &cache->buckets));
    if (getrandom(cache->key, sizeof cache->key, 0) != (ssize_t)sizeof cache->key) {
        status = fail(ERR_IO, "getrandom() gives no key for the prefix cache; start with "
                              "--no-enable-prefix-caching");
        goto done;
    }
    for (uint64_t i = 0; i < cache->n_buckets; i++)
        cache->buckets[i] = NO_PAGE;
    cache->pool = pool;
    kv_pool_watch(pool, forget_page, cache, retains);
    *out = cache;
done:
    if (status != OK)
        prefix_cache_free(cache);
    return status;
}

void prefix_cache_clear(struct prefix_cache *cache)
{
    for (int32_t page = 0; page < cache->n_pages; page++)
        if (cache->pages[page].id) {
            forget_page(cache, page);
            kv_pool_forget(cache->pool, page);
        }
}

void prefix_cache_free(struct prefix_cache *cache)
{
    if (!cache)
        return;
    if (cache->pool) {
        prefix_cache_clear(cache);
        kv_pool_watch(cache->pool, NULL, NULL, false);
    }
    free(cache->pages);
    free(cache->tokens);
    free(cache->buckets);
    free(cache);
}

bool prefix_cache_retains(const struct prefix_cache *cache)
{
    return cache->retains;
}

void prefix_cache_hash_with(struct prefix_cache *cache, page_hash *hash)
{
    cache->hash = hash;
}

static void hash_page(const struct prefix_cache *cache, const struct page_chain *chain,
                      const int32_t *tokens, uint64_t out[2])
{
    struct {
        uint64_t before[2];
        int32_t tokens[KV_PAGE_TOKENS];
    } input;
    memcpy(input.before, chain->hash, sizeof input.before);
    memcpy(input.tokens, tokens, sizeof input.tokens);
    cache->hash(cache->key, &input, sizeof input, out);
}

static int32_t known_page_of(const struct prefix_cache *cache, uint64_t parent,
                             const uint64_t hash[2], const int32_t *tokens)
{
    int32_t page = *bucket_of(cache, hash);
    for (; page != NO_PAGE; page = cache->pages[page].next) {
        const struct known_page *known = &cache->pages[page];
        if (known->hash[0] == hash[0] && known->hash[1] == hash[1] && known->parent == parent &&
            memcmp(cache->tokens[page], tokens, sizeof cache->tokens[page]) == 0)
            break;
    }
    return page;
}

static void go_on(struct page_chain *chain, const uint64_t hash[2], uint64_t id)
{
    memcpy(chain->hash, hash, sizeof chain->hash);
    chain->id = id;
    chain->n_pages++;
}

int32_t prefix_cache_find(const struct prefix_cache *cache, struct page_chain *chain,
                          const int32_t *tokens, int32_t n_pages_max, int32_t *pages)
{
    int32_t n = 0;
    for (; n < n_pages_max; n++, tokens += KV_PAGE_TOKENS) {
        uint64_t hash[2];
        hash_page(cache, chain, tokens, hash);
        int32_t page = known_page_of(cache, chain->id, hash, tokens);
        if (page == NO_PAGE)
            break;
        pages[n] = page;
        go_on(chain, hash, cache->pages[page].id);
    }
    return n;
}

void prefix_cache_put(struct prefix_cache *cache, struct page_chain *chain, const int32_t *tokens,
                      int32_t page)
{
    uint64_t hash[2];
    hash_page(cache, chain, tokens, hash);
    int32_t other = known_page_of(cache, chain->id, hash, tokens);
    if (other != NO_PAGE) {
        go_on(chain, hash, cache->pages[other].id);
        return;
    }
    struct known_page *known = &cache->pages[page];
    assert(page >= 0 && page < cache->n_pages && !known->id);
    int32_t *bucket = bucket_of(cache, hash);
    *known = (struct known_page){
        .hash = {hash[0], hash[1]},
        .id = ++cache->last_id,
        .parent = chain->id,
        .next = *bucket,
    };
    *bucket = page;
    memcpy(cache->tokens[page], tokens, sizeof cache->tokens[page]);
    kv_pool_keep(cache->pool, page);
    go_on(chain, hash, known->id);
}
