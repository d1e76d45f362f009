#include "testing.h"

#include "base/memory.h"
#include "engine/prefix_cache.h"
#include "engine/siphash.h"

enum { P = KV_PAGE_TOKENS };

// Key 00 01 ... 0f, data 00 01 ..., as `openssl mac -macopt size:16 ... SIPHASH` has it.
static void siphash_is_siphash(void **state)
{
    (void)state;
    static const struct {
        int length;
        const char *result;
    } vectors[] = {
        {0, "a3817f04ba25a8e66df67214c7550293"},
        {1, "da87c1d86b99af44347659119b22fc45"},
        {15, "5493e99933b0a8117e08ec0f97cfc3d9"},
        {63, "5150d1772f50834a503e069a973fbd7c"},
    };
    uint8_t key[16], data[64];
    for (int i = 0; i < 64; i++)
        data[i] = (uint8_t)i;
    memcpy(key, data, sizeof key);
    uint64_t words[2], out[2];
    memcpy(words, key, sizeof words);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        siphash128(words, data, (size_t)vectors[i].length, out);
        char text[33];
        for (int byte = 0; byte < 16; byte++)
            snprintf(text + 2 * byte, 3, "%02x", ((const uint8_t *)out)[byte]);
        assert_string_equal(text, vectors[i].result);
    }
}

struct fixture {
    struct kv_pool *pool;
    struct prefix_cache *cache;
};

static void fixture_init(struct fixture *f, int n_pages, bool retains)
{
    assert_int_equal(kv_pool_new(n_pages, &f->pool), OK);
    assert_int_equal(prefix_cache_new(f->pool, retains, 0, &f->cache), OK);
}

static void fixture_fini(struct fixture *f)
{
    prefix_cache_free(f->cache);
    kv_pool_free(f->pool);
}

static void fill(int32_t *tokens, int n, int32_t first)
{
    for (int i = 0; i < n; i++)
        tokens[i] = first + i;
}

// Pages for `n` tokens behind the root of `scope`, all put into the cache and still held.
static void put_all(struct fixture *f, uint64_t scope, const int32_t *tokens, int n_pages,
                    int32_t *pages)
{
    struct page_chain chain;
    page_chain_begin(&chain, scope);
    assert_true(kv_pool_take(f->pool, n_pages, pages));
    for (int i = 0; i < n_pages; i++)
        prefix_cache_put(f->cache, &chain, tokens + i * P, pages[i]);
    assert_int_equal(chain.n_pages, n_pages);
}

static int32_t find(const struct fixture *f, uint64_t scope, const int32_t *tokens, int n_pages,
                    int32_t *pages)
{
    struct page_chain chain;
    page_chain_begin(&chain, scope);
    int32_t n = prefix_cache_find(f->cache, &chain, tokens, n_pages, pages);
    assert_int_equal(chain.n_pages, n);
    return n;
}

static void the_longest_known_prefix_is_found(void **state)
{
    (void)state;
    struct fixture f;
    int32_t tokens[4 * P], pages[4], found[4];
    const uint64_t all = prefix_scope(PREFIX_SCOPE_ALL, 0);
    fixture_init(&f, 8, true);
    fill(tokens, 4 * P, 0);
    put_all(&f, all, tokens, 3, pages);
    assert_int_equal(find(&f, all, tokens, 4, found), 3);
    assert_memory_equal(found, pages, 3 * sizeof *pages);
    assert_int_equal(find(&f, all, tokens, 2, found), 2);
    tokens[2 * P + 63]++; // the last token of the third page
    assert_int_equal(find(&f, all, tokens, 4, found), 2);
    tokens[0]++;
    assert_int_equal(find(&f, all, tokens, 4, found), 0);
    tokens[0]--;
    // the second page's tokens, but not behind the first page
    assert_int_equal(find(&f, all, tokens + P, 1, found), 0);
    kv_pool_give(f.pool, pages, 3);
    assert_int_equal(find(&f, all, tokens, 4, found), 2); // free, and still known
    prefix_cache_clear(f.cache);
    assert_int_equal(find(&f, all, tokens, 4, found), 0);
    assert_int_equal(kv_pool_available(f.pool), 8);
    fixture_fini(&f);
}

static void scopes_and_salts_are_apart(void **state)
{
    (void)state;
    struct fixture f;
    int32_t tokens[P], page, found;
    fixture_init(&f, 8, true);
    fill(tokens, P, 7);
    const uint64_t scopes[] = {
        prefix_scope(PREFIX_SCOPE_ALL, 0),     prefix_scope(PREFIX_SCOPE_REQUEST, 0),
        prefix_scope(PREFIX_SCOPE_REQUEST, 1), prefix_scope_of_salt(f.cache, "a", 1),
        prefix_scope_of_salt(f.cache, "b", 1),
    };
    for (int i = 0; i < 5; i++) {
        for (int other = 0; other < 5; other++)
            assert_int_equal(find(&f, scopes[other], tokens, 1, &found), other < i);
        put_all(&f, scopes[i], tokens, 1, &page);
    }
    assert_true(prefix_scope_of_salt(f.cache, "a", 1) == scopes[3]);
    fixture_fini(&f);
}

// Of two pages with the same content the first one stays known, and the second one's successors
// are known behind it.
static void the_same_content_twice_is_known_once(void **state)
{
    (void)state;
    struct fixture f;
    int32_t tokens[3 * P], first[2], second[3], found[3];
    const uint64_t all = prefix_scope(PREFIX_SCOPE_ALL, 0);
    fixture_init(&f, 8, true);
    fill(tokens, 3 * P, 0);
    put_all(&f, all, tokens, 2, first);
    put_all(&f, all, tokens, 3, second);
    assert_int_equal(find(&f, all, tokens, 3, found), 3);
    assert_int_equal(found[0], first[0]);
    assert_int_equal(found[1], first[1]);
    assert_int_equal(found[2], second[2]);
    fixture_fini(&f);
}

static void same_hash(const uint64_t key[2], const void *data, size_t bytes, uint64_t out[2])
{
    (void)key;
    (void)data;
    (void)bytes;
    out[0] = out[1] = 1;
}

static uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525u + 1013904223u;
    return *random >> 8;
}

// Sequences of three kinds of pages come and go; what each page holds is written down beside it. A
// page that is found must hold what was asked for, also where every hash collides.
static void what_is_found_is_what_was_asked_for(void **state)
{
    (void)state;
    enum { PAGES = 24, SEQUENCES = 6, LENGTH = 4, ROUNDS = 20000 };
    for (int collide = 0; collide <= 1; collide++) {
        struct fixture f;
        fixture_init(&f, PAGES, true);
        if (collide)
            prefix_cache_hash_with(f.cache, same_hash);
        uint32_t random = 5;
        char held_text[PAGES][LENGTH + 1] = {{0}}; // of each page: kinds from the root to it
        int32_t held[SEQUENCES][LENGTH];
        int n_held[SEQUENCES] = {0}, n_hits = 0;
        for (int round = 0; round < ROUNDS; round++) {
            int who = (int)(next_random(&random) % SEQUENCES);
            if (n_held[who]) {
                kv_pool_give(f.pool, held[who], n_held[who]);
                n_held[who] = 0;
                continue;
            }
            char text[LENGTH + 1] = {0};
            int32_t tokens[LENGTH * P];
            for (int i = 0; i < LENGTH; i++) {
                text[i] = (char)('a' + next_random(&random) % 3);
                fill(tokens + i * P, P, text[i]);
            }
            struct page_chain chain;
            page_chain_begin(&chain, prefix_scope(PREFIX_SCOPE_ALL, 0));
            int32_t n = prefix_cache_find(f.cache, &chain, tokens, LENGTH, held[who]);
            for (int i = 0; i < n; i++) {
                assert_int_equal(strlen(held_text[held[who][i]]), i + 1);
                assert_memory_equal(held_text[held[who][i]], text, (size_t)i + 1);
            }
            n_hits += n;
            kv_pool_share(f.pool, held[who], n);
            if (!kv_pool_take(f.pool, LENGTH - n, held[who] + n)) {
                kv_pool_give(f.pool, held[who], n);
                continue;
            }
            for (int i = n; i < LENGTH; i++) {
                snprintf(held_text[held[who][i]], LENGTH + 1, "%.*s", i + 1, text);
                prefix_cache_put(f.cache, &chain, tokens + i * P, held[who][i]);
            }
            n_held[who] = LENGTH;
        }
        assert_true(n_hits > ROUNDS / 4);
        fixture_fini(&f);
    }
}

static void failed_reservations_leave_nothing(void **state)
{
    (void)state;
    struct kv_pool *pool;
    struct prefix_cache *cache = NULL;
    assert_int_equal(kv_pool_new(10, &pool), OK);
    for (long n = 1; n <= 9; n++) {
        memory_fail_after(n);
        assert_int_equal(prefix_cache_new(pool, true, 5, &cache), ERR_MEMORY);
        memory_fail_after(0);
    }
    prefix_cache_free(NULL);
    kv_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_is_siphash),
        cmocka_unit_test(the_longest_known_prefix_is_found),
        cmocka_unit_test(scopes_and_salts_are_apart),
        cmocka_unit_test(the_same_content_twice_is_known_once),
        cmocka_unit_test(what_is_found_is_what_was_asked_for),
        cmocka_unit_test(failed_reservations_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
