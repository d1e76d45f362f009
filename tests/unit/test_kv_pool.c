#include "testing.h"

#include "base/memory.h"
#include "engine/kv_pool.h"

static void all_or_none(void **state)
{
    (void)state;
    struct kv_pool *pool;
    int32_t pages[8];
    assert_int_equal(kv_pool_new(5, &pool), OK);
    assert_true(kv_pool_take(pool, 3, pages));
    assert_int_equal(pages[0], 0);
    assert_int_equal(pages[2], 2);
    assert_false(kv_pool_take(pool, 3, pages + 3));
    assert_int_equal(kv_pool_available(pool), 2);
    assert_true(kv_pool_take(pool, 2, pages + 3));
    assert_true(kv_pool_take(pool, 0, pages + 5));
    kv_pool_give(pool, pages, 5);
    assert_int_equal(kv_pool_available(pool), 5);
    kv_pool_free(pool);
}

static void no_page_has_two_takers(void **state)
{
    (void)state;
    enum { PAGES = 100, HOLDERS = 20 };
    struct kv_pool *pool;
    int32_t held[HOLDERS][PAGES], n_held[HOLDERS] = {0};
    uint32_t random = 1;
    assert_int_equal(kv_pool_new(PAGES, &pool), OK);
    for (int round = 0; round < 20000; round++) {
        random = random * 1664525u + 1013904223u;
        int who = (int)(random >> 8) % HOLDERS, n = (int)(random >> 16) % 12;
        if (n_held[who]) {
            kv_pool_give(pool, held[who], n_held[who]);
            n_held[who] = 0;
        } else if (kv_pool_take(pool, n, held[who])) {
            n_held[who] = n;
        }
        int owner[PAGES] = {0}, total = 0;
        for (int h = 0; h < HOLDERS; h++)
            for (int i = 0; i < n_held[h]; i++, total++)
                assert_int_equal(owner[held[h][i]]++, 0);
        assert_int_equal(kv_pool_available(pool), PAGES - total);
    }
    kv_pool_free(pool);
}

static void shared_pages_return_with_the_last_holder(void **state)
{
    (void)state;
    struct kv_pool *pool;
    int32_t pages[4];
    assert_int_equal(kv_pool_new(4, &pool), OK);
    assert_true(kv_pool_take(pool, 4, pages));
    kv_pool_share(pool, pages, 2);
    kv_pool_give(pool, pages, 4);
    assert_int_equal(kv_pool_available(pool), 2);
    kv_pool_give(pool, pages, 2);
    assert_int_equal(kv_pool_available(pool), 4);
    kv_pool_free(pool);
}

static int32_t lost[16];
static int n_lost;

static void note_lost(void *context, int32_t page)
{
    assert_ptr_equal(context, lost);
    lost[n_lost++] = page;
}

static void known_pages_are_taken_last_and_the_oldest_first(void **state)
{
    (void)state;
    struct kv_pool *pool;
    int32_t pages[8];
    assert_int_equal(kv_pool_new(6, &pool), OK);
    kv_pool_watch(pool, note_lost, lost, true);
    assert_true(kv_pool_take(pool, 6, pages));
    for (int i = 0; i < 4; i++)
        kv_pool_keep(pool, pages[i]);
    kv_pool_give(pool, pages + 2, 2); // pages 3, then 2: the later one goes first
    kv_pool_give(pool, pages, 2);
    kv_pool_give(pool, pages + 4, 2);
    assert_int_equal(kv_pool_available(pool), 6);
    int32_t page = 3; // used again: now the newest
    kv_pool_share(pool, &page, 1);
    assert_int_equal(kv_pool_available(pool), 5);
    kv_pool_give(pool, &page, 1);
    n_lost = 0;
    assert_true(kv_pool_take(pool, 6, pages));
    const int32_t order[] = {4, 5, 2, 1, 0, 3};
    assert_memory_equal(pages, order, sizeof order);
    assert_int_equal(n_lost, 4);
    assert_memory_equal(lost, order + 2, 4 * sizeof *order);
    kv_pool_give(pool, pages, 6); // nobody knows them any more
    assert_int_equal(n_lost, 4);
    kv_pool_free(pool);
}

static void what_is_not_retained_is_lost_with_its_holder(void **state)
{
    (void)state;
    struct kv_pool *pool;
    int32_t pages[2];
    assert_int_equal(kv_pool_new(2, &pool), OK);
    kv_pool_watch(pool, note_lost, lost, false);
    assert_true(kv_pool_take(pool, 2, pages));
    kv_pool_keep(pool, pages[0]);
    kv_pool_share(pool, pages, 1);
    n_lost = 0;
    kv_pool_give(pool, pages, 2);
    assert_int_equal(n_lost, 0);
    kv_pool_give(pool, pages, 1);
    assert_int_equal(n_lost, 1);
    assert_true(kv_pool_is_free(pool, pages[0]));
    kv_pool_free(pool);
}

static void failed_reservations_leave_nothing(void **state)
{
    (void)state;
    struct kv_pool *pool = NULL;
    for (long n = 1; n <= 4; n++) {
        memory_fail_after(n);
        assert_int_equal(kv_pool_new(10, &pool), ERR_MEMORY);
        memory_fail_after(0);
    }
    kv_pool_free(NULL);
}

static void only_usable_pages_are_taken(void **state)
{
    (void)state;
    struct kv_pool *pool;
    int32_t pages[8];
    assert_int_equal(kv_pool_new(8, &pool), OK);
    kv_pool_limit(pool, 3);
    assert_int_equal(kv_pool_size(pool), 8);
    assert_int_equal(kv_pool_usable(pool), 3);
    assert_int_equal(kv_pool_blank(pool), 3);
    assert_false(kv_pool_take(pool, 4, pages));
    assert_true(kv_pool_take(pool, 3, pages));
    for (int i = 0; i < 3; i++)
        assert_int_equal(pages[i], i);
    kv_pool_grow(pool, 2); // fewer: nothing happens
    assert_int_equal(kv_pool_available(pool), 0);
    kv_pool_grow(pool, 8);
    assert_int_equal(kv_pool_available(pool), 5);
    assert_true(kv_pool_take(pool, 5, pages + 3));
    for (int i = 0; i < 8; i++)
        assert_int_equal(pages[i], i);
    kv_pool_give(pool, pages, 8);
    assert_int_equal(kv_pool_blank(pool), 8);
    kv_pool_free(pool);
}

// A sequence's pages that are attended together come from one owner, others from the one with the
// most, and where an owner has none another one steps in.
static void groups_of_pages_have_one_owner(void **state)
{
    (void)state;
    enum { PAGES = 60, OWNERS = 3 };
    struct kv_pool *pool;
    int32_t table[PAGES], other[PAGES], page;
    assert_int_equal(kv_pool_new(PAGES, &pool), OK);
    assert_int_equal(kv_pool_owners(pool), 1);
    kv_pool_deal(pool, OWNERS);
    assert_int_equal(kv_pool_owners(pool), OWNERS);
    assert_int_equal(kv_pool_available(pool), PAGES);
    assert_true(kv_pool_take_span(pool, table, 0, 5));
    assert_true(kv_pool_take_span(pool, other, 0, 9));
    assert_true(kv_pool_take_span(pool, table, 5, 20)); // goes on where it was
    for (int i = 0; i < 20; i++)
        assert_int_equal(table[i] % OWNERS, table[i / KV_GROUP_PAGES * KV_GROUP_PAGES] % OWNERS);
    for (int i = 0; i < 8; i++)
        assert_int_equal(other[i] % OWNERS, other[0] % OWNERS);
    assert_int_not_equal(other[0] % OWNERS, table[0] % OWNERS);
    assert_true(kv_pool_take_of(pool, 2, &page));
    assert_int_equal(page % OWNERS, 2);
    assert_int_equal(kv_pool_available(pool), PAGES - 30);
    assert_false(kv_pool_take_span(pool, table, 20, 51));
    assert_true(kv_pool_take_span(pool, table, 20, 50)); // all that is left, whosever it is
    assert_int_equal(kv_pool_available(pool), 0);
    assert_false(kv_pool_take_of(pool, 1, &page));
    uint8_t held[PAGES] = {0};
    held[page] = 1;
    for (int i = 0; i < 50; i++)
        assert_int_equal(held[table[i]]++, 0);
    for (int i = 0; i < 9; i++)
        assert_int_equal(held[other[i]]++, 0);
    kv_pool_give(pool, table, 50);
    kv_pool_give(pool, other, 9);
    kv_pool_give(pool, &page, 1);
    kv_pool_limit(pool, 30);
    assert_int_equal(kv_pool_available(pool), 30);
    assert_true(kv_pool_take_span(pool, table, 0, 30));
    for (int i = 0; i < 30; i++)
        assert_true(table[i] < 30);
    kv_pool_give(pool, table, 30);
    kv_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_usable_pages_are_taken),
        cmocka_unit_test(groups_of_pages_have_one_owner),
        cmocka_unit_test(all_or_none),
        cmocka_unit_test(no_page_has_two_takers),
        cmocka_unit_test(shared_pages_return_with_the_last_holder),
        cmocka_unit_test(known_pages_are_taken_last_and_the_oldest_first),
        cmocka_unit_test(what_is_not_retained_is_lost_with_its_holder),
        cmocka_unit_test(failed_reservations_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
