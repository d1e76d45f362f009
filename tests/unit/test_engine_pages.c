// The KV pool gets its memory as it is needed, or at once where its size was given; nobody uses a
// page before all ranks have its memory.
#include "engine_client.h"
#include "toy_llama.h"

#include <poll.h>
#include <signal.h>

#include "engine/engine.h"

enum { SEQUENCES = 250 };
static struct answer alone, answers[SEQUENCES];
static char prompt[420]; // seven pages, with its answer

static int set_up(void **state)
{
    (void)state;
    toy_llama_new(&toy);
    for (size_t i = 0; i < sizeof prompt - 1; i++)
        prompt[i] = (char)('a' + (i * i) % 26);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    toy_llama_free(&toy);
    return 0;
}

static struct colrow_gauges gauges_of(const struct colrow_engine *engine)
{
    struct colrow_gauges gauges;
    colrow_get_gauges(engine, &gauges);
    assert_true(gauges.kv_pages_used <= gauges.kv_pages_usable);
    assert_true(gauges.kv_pages_usable <= gauges.kv_pages);
    return gauges;
}

static struct colrow_engine *open_pool(int64_t kv_cache_memory)
{
    struct colrow_options options = client_options(toy.folder, 2);
    options.max_num_seqs = 2048; // so that the pool could be large
    options.max_num_batched_tokens = 8192;
    options.kv_cache_memory = kv_cache_memory;
    options.restarts = 0;
    options.enable_prefix_caching = 0; // all are to need pages of their own
    return client_open(&options);
}

static void a_small_load_takes_little_and_a_large_one_what_it_needs(void **state)
{
    (void)state;
    struct colrow_engine *engine = open_pool(0);
    struct colrow_sampling sampling = client_sampling(60);
    sampling.ignore_eos = 1;
    struct colrow_gauges begin = gauges_of(engine);
    assert_true(begin.kv_pages_usable == engine_first_pages(engine));
    assert_true(begin.kv_pages_usable < begin.kv_pages / 4);
    client_ask(engine, prompt, &sampling, &alone);
    assert_true(gauges_of(engine).kv_pages_usable < begin.kv_pages / 2);
    for (int i = 0; i < SEQUENCES; i++) {
        prompt[0] = (char)('a' + i % 26);
        prompt[1] = (char)('a' + i / 26);
        client_submit(engine, prompt, &sampling, &answers[i]);
    }
    int64_t most = 0;
    for (int alive = 1; alive > 0;) {
        alive = colrow_step(engine);
        assert_true(alive >= 0);
        int64_t used = gauges_of(engine).kv_pages_used;
        most = used > most ? used : most;
    }
    for (int i = 0; i < SEQUENCES; i++)
        assert_int_equal(answers[i].n_ends, 1);
    assert_true(most >= 7 * SEQUENCES); // all at once: none was pushed out for want of pages
    assert_int_equal(gauges_of(engine).kv_pages_used, 0);
    assert_true(gauges_of(engine).kv_pages_usable >= most);
    colrow_close(engine);
}

// Without a request, in an event loop.
static void await_whole_pool(struct colrow_engine *engine)
{
    struct colrow_gauges gauges = gauges_of(engine);
    for (int i = 0; i < 1000 && gauges.kv_pages_usable < gauges.kv_pages; i++) {
        struct pollfd event = {.fd = colrow_fd(engine), .events = POLLIN};
        (void)poll(&event, 1, 100);
        assert_true(colrow_advance(engine) >= 0);
        gauges = gauges_of(engine);
    }
    assert_true(gauges.kv_pages_usable == gauges.kv_pages);
}

static void a_pool_of_given_size_is_taken_at_once_and_again_after_a_restart(void **state)
{
    (void)state;
    struct colrow_engine *engine = open_pool(160 << 20);
    struct colrow_sampling sampling = client_sampling(60);
    assert_true(gauges_of(engine).kv_pages_usable < gauges_of(engine).kv_pages);
    await_whole_pool(engine);
    struct colrow_rank_statistics rank;
    assert_int_equal(colrow_get_rank_statistics(engine, 1, &rank), 0);
    kill(rank.pid, SIGKILL);
    while (colrow_advance(engine) >= 0) {
        struct pollfd event = {.fd = colrow_fd(engine), .events = POLLIN};
        (void)poll(&event, 1, 100);
    }
    assert_int_equal(colrow_restart(engine), 0);
    prompt[0] = prompt[1] = 'a';
    client_ask(engine, prompt, &sampling, &answers[0]);
    await_whole_pool(engine);
    assert_int_equal(crew_touched_pages(engine->crew), gauges_of(engine).kv_pages);
    colrow_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_load_takes_little_and_a_large_one_what_it_needs),
        cmocka_unit_test(a_pool_of_given_size_is_taken_at_once_and_again_after_a_restart),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
