#include "engine/prefix_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/memory.h"
#include "engine/siphash.h"

enum { NO_PAGE = -1 };
static const uint64_t scope_bit = (uint64_t)1 << 63; // ids of contents count up and never reach it
static const uint64_t long_bit = (uint64_t)1 << 60;

struct known_page {
    uint64_t hash[2];
    uint64_t id;     // of the content; 0: not known
    uint64_t parent; // id of the content before it, or a scope
    int32_t next;    // in its bucket, or NO_PAGE
};

struct prefix_cache {
    struct kv_pool *pool; // borrowed
    struct kv_pool *host; // host pages, all of them free but while prefix_cache_load() is to come
    bool retains;
    page_hash *hash;
    uint64_t key[2];
    uint64_t last_id;
    int32_t n_pages;                   // of the pool: the place of the first host page
    int32_t n_places;                  // with host pages
    struct known_page *places;         // [n_places]
    int32_t (*tokens)[KV_PAGE_TOKENS]; // [n_places]
    int32_t *buckets;                  // [n_buckets] first place, or NO_PAGE
    uint64_t n_buckets;                // a power of two
    struct step_copy *copies;          // [2 * HOST_COPIES_MAX], of the step to come
    int32_t n_copies, n_out;           // n_out: of these, to host pages
};

uint64_t prefix_scope(enum prefix_scope_kind kind, uint64_t number)
{
    enum { KIND_BITS = 2, KIND_SHIFT = 61 };
    assert((uint64_t)kind < 1u << KIND_BITS);
    return scope_bit | (uint64_t)kind << KIND_SHIFT | (number & (long_bit - 1));
}

uint64_t prefix_scope_long(uint64_t scope)
{
    return scope | long_bit;
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

// ---- places ----

static void forget_place(struct prefix_cache *cache, int32_t place)
{
    struct known_page *known = &cache->places[place];
    assert(known->id);
    int32_t *at = bucket_of(cache, known->hash);
    while (*at != place)
        at = &cache->places[*at].next;
    *at = known->next;
    known->id = 0;
}

static void know_place(struct prefix_cache *cache, int32_t place, struct known_page known,
                       const int32_t *tokens)
{
    int32_t *bucket = bucket_of(cache, known.hash);
    assert(!cache->places[place].id);
    known.next = *bucket;
    *bucket = place;
    cache->places[place] = known;
    memcpy(cache->tokens[place], tokens, sizeof cache->tokens[place]);
}

static void move_known(struct prefix_cache *cache, int32_t from, int32_t to)
{
    struct known_page known = cache->places[from];
    forget_place(cache, from);
    know_place(cache, to, known, cache->tokens[from]);
}

// ---- host pages ----

static void add_copy(struct prefix_cache *cache, int32_t from, int32_t to)
{
    assert(cache->n_copies < 2 * HOST_COPIES_MAX);
    cache->copies[cache->n_copies++] = (struct step_copy){from, to};
}

static void host_page_lost(void *context, int32_t slot)
{
    struct prefix_cache *cache = context;
    forget_place(cache, cache->n_pages + slot);
}

static bool offload(struct prefix_cache *cache, int32_t page)
{
    int32_t slot;
    // of the same owner, where there is one free: else a page is sent from rank to rank
    if (!cache->host || cache->n_out == HOST_COPIES_MAX ||
        !kv_pool_take_of(cache->host, (int)(page % kv_pool_owners(cache->host)), &slot))
        return false;
    move_known(cache, page, cache->n_pages + slot);
    kv_pool_keep(cache->host, slot);
    kv_pool_give(cache->host, &slot, 1);
    add_copy(cache, page, cache->n_pages + slot);
    cache->n_out++;
    return true;
}

static void page_lost(void *context, int32_t page)
{
    struct prefix_cache *cache = context;
    if (!offload(cache, page))
        forget_place(cache, page);
}

static void free_host_page(struct prefix_cache *cache, int32_t slot)
{
    kv_pool_forget(cache->host, slot);
    kv_pool_give(cache->host, &slot, 1);
}

bool prefix_cache_is_host(const struct prefix_cache *cache, int32_t place)
{
    return place >= cache->n_pages;
}

void prefix_cache_hold(struct prefix_cache *cache, const int32_t *places, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        bool host = prefix_cache_is_host(cache, places[i]);
        int32_t page = host ? places[i] - cache->n_pages : places[i];
        kv_pool_share(host ? cache->host : cache->pool, &page, 1);
    }
}

void prefix_cache_load(struct prefix_cache *cache, int32_t place, int32_t page)
{
    assert(prefix_cache_is_host(cache, place) && !prefix_cache_is_host(cache, page));
    move_known(cache, place, page);
    kv_pool_keep(cache->pool, page);
    add_copy(cache, place, page);
    free_host_page(cache, place - cache->n_pages);
}

const struct step_copy *prefix_cache_copies(const struct prefix_cache *cache, int32_t *n)
{
    *n = cache->n_copies;
    return cache->copies;
}

void prefix_cache_copied(struct prefix_cache *cache)
{
    cache->n_copies = cache->n_out = 0;
}

// ---- the cache ----

static enum status reserve_places(struct prefix_cache *cache, int64_t host_pages, int n_owners)
{
    static const char what[] = "the prefix cache";
    size_t n = (size_t)cache->n_pages + (size_t)host_pages;
    cache->n_places = (int32_t)n;
    for (cache->n_buckets = 1; cache->n_buckets < n;)
        cache->n_buckets *= 2;
    TRY(memory_new(n, sizeof *cache->places, what, &cache->places));
    TRY(memory_new(n, sizeof *cache->tokens, what, &cache->tokens));
    TRY(memory_new(cache->n_buckets, sizeof *cache->buckets, what, &cache->buckets));
    for (uint64_t i = 0; i < cache->n_buckets; i++)
        cache->buckets[i] = NO_PAGE;
    if (host_pages == 0)
        return OK;
    TRY(memory_new((size_t)2 * HOST_COPIES_MAX, sizeof *cache->copies, what, &cache->copies));
    TRY(kv_pool_new(host_pages, &cache->host));
    kv_pool_watch(cache->host, host_page_lost, cache, true);
    kv_pool_deal(cache->host, n_owners);
    return OK;
}

enum status prefix_cache_new(struct kv_pool *pool, bool retains, int64_t host_pages,
                             struct prefix_cache **out)
{
    struct prefix_cache *cache;
    assert(host_pages >= 0 && host_pages <= KV_POOL_PAGES_MAX && (retains || host_pages == 0));
    TRY(memory_new(1, sizeof *cache, "the prefix cache", &cache));
    enum status status = OK;
    cache->retains = retains;
    cache->hash = siphash128;
    cache->n_pages = (int32_t)kv_pool_size(pool);
    TRY_DONE(reserve_places(cache, host_pages, kv_pool_owners(pool)));
    if (getrandom(cache->key, sizeof cache->key, 0) != (ssize_t)sizeof cache->key) {
        status = fail(ERR_IO, "getrandom() gives no key for the prefix cache");
        goto done;
    }
    cache->pool = pool;
    kv_pool_watch(pool, page_lost, cache, retains);
    *out = cache;
done:
    if (status != OK)
        prefix_cache_free(cache);
    return status;
}

void prefix_cache_clear(struct prefix_cache *cache)
{
    // pages that were never usable have no content, and their places no memory as yet
    int32_t usable = (int32_t)kv_pool_usable(cache->pool);
    for (int32_t place = 0; place < cache->n_places;
         place = place + 1 == usable ? cache->n_pages : place + 1)
        if (cache->places[place].id) {
            forget_place(cache, place);
            bool host = prefix_cache_is_host(cache, place);
            kv_pool_forget(host ? cache->host : cache->pool, host ? place - cache->n_pages : place);
        }
    prefix_cache_copied(cache);
}

void prefix_cache_free(struct prefix_cache *cache)
{
    if (!cache)
        return;
    if (cache->pool) {
        prefix_cache_clear(cache);
        kv_pool_watch(cache->pool, NULL, NULL, false);
    }
    kv_pool_free(cache->host);
    free(cache->copies);
    free(cache->places);
    free(cache->tokens);
    free(cache->buckets);
    free(cache);
}

bool prefix_cache_retains(const struct prefix_cache *cache)
{
    return cache->retains;
}

int64_t prefix_cache_host_pages(const struct prefix_cache *cache)
{
    return cache->n_places - cache->n_pages;
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

static int32_t known_place_of(const struct prefix_cache *cache, uint64_t parent,
                              const uint64_t hash[2], const int32_t *tokens)
{
    int32_t place = *bucket_of(cache, hash);
    for (; place != NO_PAGE; place = cache->places[place].next) {
        const struct known_page *known = &cache->places[place];
        if (known->hash[0] == hash[0] && known->hash[1] == hash[1] && known->parent == parent &&
            memcmp(cache->tokens[place], tokens, sizeof cache->tokens[place]) == 0)
            break;
    }
    return place;
}

static void go_on(struct page_chain *chain, const uint64_t hash[2], uint64_t id)
{
    memcpy(chain->hash, hash, sizeof chain->hash);
    chain->id = id;
    chain->n_pages++;
}

int32_t prefix_cache_find(const struct prefix_cache *cache, struct page_chain *chain,
                          const int32_t *tokens, int32_t n_pages_max, int32_t *places)
{
    int32_t n = 0, n_host = cache->n_copies - cache->n_out; // copies that come back already
    for (; n < n_pages_max; n++, tokens += KV_PAGE_TOKENS) {
        uint64_t hash[2];
        hash_page(cache, chain, tokens, hash);
        int32_t place = known_place_of(cache, chain->id, hash, tokens);
        if (place == NO_PAGE || (prefix_cache_is_host(cache, place) && n_host++ == HOST_COPIES_MAX))
            break;
        places[n] = place;
        go_on(chain, hash, cache->places[place].id);
    }
    return n;
}

// A page is known from now on, unless another one is already; returns the content's id.
static uint64_t put_known(struct prefix_cache *cache, struct known_page known,
                          const int32_t *tokens, int32_t page)
{
    int32_t other = known_place_of(cache, known.parent, known.hash, tokens);
    if (other == NO_PAGE) {
        known.id = ++cache->last_id;
        know_place(cache, page, known, tokens);
        kv_pool_keep(cache->pool, page);
        return known.id;
    }
    known.id = cache->places[other].id;
    if (prefix_cache_is_host(cache, other)) { // computed once more: no copy is needed
        move_known(cache, other, page);
        kv_pool_keep(cache->pool, page);
        kv_pool_forget(cache->host, other - cache->n_pages);
    }
    return known.id;
}

void prefix_cache_put(struct prefix_cache *cache, struct page_chain *chain, const int32_t *tokens,
                      int32_t page)
{
    struct known_page known = {.parent = chain->id};
    hash_page(cache, chain, tokens, known.hash);
    go_on(chain, known.hash, put_known(cache, known, tokens, page));
}

// The content's own hash, with the group's number: its parent is the content of the first group.
static struct known_page page_beside(const uint64_t hash[2], uint64_t id, int group)
{
    static const uint64_t odd = 0x9e3779b97f4a7c15u;
    assert(group > 0 && id);
    return (struct known_page){.hash = {hash[0] + odd * (uint64_t)group, hash[1]}, .parent = id};
}

int32_t prefix_cache_beside(const struct prefix_cache *cache, int32_t place, int group)
{
    const struct known_page *first = &cache->places[place];
    const struct known_page known = page_beside(first->hash, first->id, group);
    return known_place_of(cache, known.parent, known.hash, cache->tokens[place]);
}

void prefix_cache_put_beside(struct prefix_cache *cache, const struct page_chain *chain, int group,
                             const int32_t *tokens, int32_t page)
{
    put_known(cache, page_beside(chain->hash, chain->id, group), tokens, page);
}
