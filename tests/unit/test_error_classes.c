// What kind of failure it was, as the public API tells it: a server answers by these.
#include "engine_client.h"
#include "toy_llama.h"

#include <signal.h>

#include "base/memory.h"

static struct answer answers[2];

static void assert_class(enum colrow_error_class expected)
{
    if (colrow_error_class() != expected)
        print_error("expected \"%s\", found \"%s\": %s\n", colrow_error_class_name(expected),
                    colrow_error_class_name(colrow_error_class()), colrow_error());
    assert_int_equal(colrow_error_class(), expected);
}

static void check_open(const struct colrow_options *options, enum colrow_error_class expected)
{
    struct colrow_engine *engine;
    assert_int_equal(colrow_open(options, &engine), -1);
    assert_class(expected);
}

static void of_opening(void **state)
{
    (void)state;
    struct colrow_options o = client_options(toy.folder, 0);
    check_open(&o, COLROW_ERROR_USAGE);
    o = client_options(toy.folder, 9); // more ranks than the model has work for
    check_open(&o, COLROW_ERROR_USAGE);
    o = client_options(toy.folder, 1);
    o.dtype = "int3";
    check_open(&o, COLROW_ERROR_USAGE);
    o = client_options(toy.folder, 1);
    o.rank_program = "/nowhere/colrow";
    check_open(&o, COLROW_ERROR_USAGE);
    o = client_options(toy.folder, 1);
    o.kv_cache_memory = 10000;
    check_open(&o, COLROW_ERROR_MEMORY);
    o = client_options(toy.folder, 2);
    o.rank_program = "/bin/false";
    check_open(&o, COLROW_ERROR_GROUP_LOST);
    struct toy_llama other;
    toy_llama_new(&other);
    toy_write(&other, "tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1}}}");
    o = client_options(other.folder, 1);
    check_open(&o, COLROW_ERROR_MODEL);
    toy_write(&other, "config.json", "{}");
    check_open(&o, COLROW_ERROR_MODEL);
    toy_llama_free(&other);
}

static void check_submit(struct colrow_engine *engine, const struct colrow_prompt *prompt,
                         const struct colrow_sampling *sampling, enum colrow_error_class expected)
{
    assert_int_equal(colrow_submit(engine, prompt, sampling, client_collect, answers, NULL), -1);
    assert_class(expected);
}

static void of_requests(void **state)
{
    (void)state;
    struct colrow_options o = client_options(toy.folder, 1);
    struct colrow_engine *engine = client_open(&o);
    static int32_t ids[TOY_POSITIONS + 1];
    struct colrow_sampling sampling = client_sampling(4);
    struct colrow_prompt prompt = {.text = "hello"}, none = {0}, long_one = {.ids = ids};
    check_submit(engine, &none, &sampling, COLROW_ERROR_INVALID_REQUEST);
    long_one.n_ids = TOY_POSITIONS;
    check_submit(engine, &long_one, &sampling, COLROW_ERROR_TOO_LARGE);
    ids[1] = TOY_VOCAB;
    long_one.n_ids = 2;
    check_submit(engine, &long_one, &sampling, COLROW_ERROR_INVALID_REQUEST);
    sampling.top_p = 2;
    check_submit(engine, &prompt, &sampling, COLROW_ERROR_INVALID_REQUEST);
    sampling = client_sampling(4);
    memory_fail_after(1);
    check_submit(engine, &prompt, &sampling, COLROW_ERROR_MEMORY);
    memory_fail_after(0);
    assert_int_equal(colrow_cancel(engine, 77), -1);
    assert_class(COLROW_ERROR_INVALID_REQUEST);
    struct colrow_rank_statistics rank;
    assert_int_equal(colrow_get_rank_statistics(engine, 1, &rank), -1);
    assert_class(COLROW_ERROR_USAGE);
    colrow_close(engine);
}

static void of_a_lost_group(void **state)
{
    (void)state;
    struct colrow_options o = client_options(toy.folder, 2);
    o.restarts = 0;
    struct colrow_engine *engine = client_open(&o);
    struct colrow_sampling sampling = client_sampling(400);
    sampling.ignore_eos = 1;
    client_submit(engine, "victim", &sampling, answers);
    struct colrow_prompt prompt = {.text = "polled"};
    assert_int_equal(colrow_submit(engine, &prompt, &sampling, NULL, NULL, NULL), 0);
    struct colrow_rank_statistics rank;
    assert_int_equal(colrow_get_rank_statistics(engine, 1, &rank), 0);
    assert_int_equal(kill(rank.pid, SIGKILL), 0);
    while (colrow_step(engine) > 0)
        ;
    assert_class(COLROW_ERROR_GROUP_LOST);
    assert_int_equal(answers->finish, COLROW_FAILED);
    assert_int_equal(answers->error_class, COLROW_ERROR_GROUP_LOST);
    struct colrow_output output;
    enum colrow_error_class last = COLROW_ERROR_NONE;
    while (colrow_poll(engine, 0, &output) == 1)
        last = output.error_class;
    assert_int_equal(last, COLROW_ERROR_GROUP_LOST);
    check_submit(engine, &prompt, &sampling, COLROW_ERROR_GROUP_LOST);
    colrow_close(engine);
}

static void all_have_names(void **state)
{
    (void)state;
    for (int i = COLROW_ERROR_NONE; i <= COLROW_ERROR_INTERNAL; i++)
        assert_string_not_equal(colrow_error_class_name((enum colrow_error_class)i), "unknown");
    assert_string_equal(colrow_error_class_name((enum colrow_error_class)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_opening),
        cmocka_unit_test(of_requests),
        cmocka_unit_test(of_a_lost_group),
        cmocka_unit_test(all_have_names),
    };
    return cmocka_run_group_tests(tests, toy_set_up, toy_tear_down);
}
