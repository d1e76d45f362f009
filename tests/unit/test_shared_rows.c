// Ranks are threads here: each its own struct shared_rows, one memory.
#include "testing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "model/shared_rows.h"

enum { SHARERS = 3, BLOCKS = 500, BLOCK_MOST = 4096 };

static struct shared_rows_memory *new_memory(void)
{
    void *memory = NULL;
    assert_int_equal(posix_memalign(&memory, 128, shared_rows_bytes()), 0);
    memset(memory, 0, shared_rows_bytes());
    return memory;
}

static uint64_t size_of(uint32_t block)
{
    return 1 + (uint64_t)block * 2654435761u % BLOCK_MOST;
}

struct sharer {
    struct shared_rows shared;
    uint64_t number, fetched;
    int wrong;
    bool agreed;
};

static void share_block(struct sharer *s, uint32_t block)
{
    const char *place;
    uint64_t bytes = size_of(block);
    if (shared_rows_give(&s->shared, bytes)) {
        char *own;
        s->wrong += shared_rows_begin(&s->shared, block, &own) != OK;
        memset(own, (int)(block % 251), bytes);
        s->fetched += bytes;
        shared_rows_filled(&s->shared, block);
    }
    s->wrong += shared_rows_await(&s->shared, block, &place) != OK;
    for (uint64_t i = 0; i < bytes; i++)
        s->wrong += (unsigned char)place[i] != block % 251;
    shared_rows_taken(&s->shared, block);
}

static void *share_all(void *context)
{
    struct sharer *s = context;
    s->wrong += shared_rows_agree(&s->shared, s->number, &s->agreed) != OK;
    for (uint32_t block = 0; block < BLOCKS && s->agreed; block++)
        share_block(s, block);
    if (s->agreed)
        shared_rows_leave(&s->shared);
    return NULL;
}

static void run_sharers(struct sharer s[SHARERS], uint64_t different)
{
    struct shared_rows_memory *memory = new_memory();
    pthread_t threads[SHARERS];
    for (int r = 0; r < SHARERS; r++) {
        s[r] = (struct sharer){.shared = {.memory = memory, .self = r, .n = SHARERS},
                               .number = r == 1 ? 7 + different : 7};
        assert_int_equal(pthread_create(&threads[r], NULL, share_all, &s[r]), 0);
    }
    for (int r = 0; r < SHARERS; r++)
        pthread_join(threads[r], NULL);
    free(memory);
}

static void blocks_reach_everybody_once_and_evenly(void **state)
{
    (void)state;
    struct sharer s[SHARERS];
    uint64_t all = 0;
    run_sharers(s, 0);
    for (uint32_t block = 0; block < BLOCKS; block++)
        all += size_of(block);
    for (int r = 0; r < SHARERS; r++) {
        assert_true(s[r].agreed);
        assert_int_equal(s[r].wrong, 0);
        assert_true(s[r].fetched <= all / SHARERS + BLOCK_MOST);
    }
    assert_int_equal(s[0].fetched + s[1].fetched + s[2].fetched, all);
}

static void other_blocks_are_not_shared(void **state)
{
    (void)state;
    struct sharer s[SHARERS];
    run_sharers(s, 1);
    for (int r = 0; r < SHARERS; r++)
        assert_true(!s[r].agreed && s[r].wrong == 0);
}

static enum status give_up(void *context)
{
    (void)context;
    return fail(ERR_IO, "another thread has failed");
}

static void waits_end_when_loading_has_failed(void **state)
{
    (void)state;
    struct shared_rows_memory *memory = new_memory();
    struct shared_rows shared = {.memory = memory, .self = 0, .n = 2, .check = give_up};
    const char *place;
    bool agreed;
    assert_int_equal(shared_rows_agree(&shared, 1, &agreed), ERR_IO);
    assert_int_equal(shared_rows_await(&shared, 0, &place), ERR_IO);
    free(memory);
}

static void a_block_has_whole_panels(void **state)
{
    (void)state;
    const struct {
        int64_t columns, rows;
    } cases[] = {{1, (2 << 20) / 2 / 96 * 96}, {4096, 192}, {14336, 48}, {65536, 48}, {65537, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct tensor_info tensor = {
            .type = ELEMENT_BF16, .n_dimensions = 2, .shape = {4096, cases[i].columns}};
        assert_int_equal(shared_rows_fitting(&tensor), cases[i].rows);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_reach_everybody_once_and_evenly),
        cmocka_unit_test(other_blocks_are_not_shared),
        cmocka_unit_test(waits_end_when_loading_has_failed),
        cmocka_unit_test(a_block_has_whole_panels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
