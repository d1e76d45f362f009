// Refused before a rank starts, or ended with a sentence and nothing left behind.
#include "engine_client.h"
#include "processes.h"
#include "toy_llama.h"

#include <signal.h>

#include "base/clock.h"
#include "base/memory.h"
#include "engine/rank_program.h"

static struct answer answers[8];

static void check_refused(const struct colrow_options *options, const char *sentence)
{
    struct colrow_engine *engine = (void *)1;
    int files = open_files();
    double begun = clock_seconds();
    assert_int_equal(colrow_open(options, &engine), -1);
    assert_true(clock_seconds() - begun < patience(1));
    assert_null(engine);
    if (!strstr(colrow_error(), sentence))
        print_error("expected \"%s\" in: %s\n", sentence, colrow_error());
    assert_non_null(strstr(colrow_error(), sentence));
    assert_int_equal(open_files(), files);
    assert_no_children();
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    struct colrow_options o = client_options(toy.folder, 9);
    check_refused(&o, "8"); // names the valid sizes
    o = client_options(toy.folder, 0);
    check_refused(&o, "tensor_parallel_size is 0");
    o = client_options(NULL, 1);
    check_refused(&o, "no model");
    o = client_options("/nowhere", 1);
    check_refused(&o, "/nowhere");
    o = client_options(toy.folder, 2);
    o.dtype = "int3";
    check_refused(&o, "dtype is \"int3\"");
    o.dtype = "float32";
    o.product_order = "tiles";
    check_refused(&o, "product_order tiles is for bfloat16");
    o.product_order = "rows";
    check_refused(&o, "product_order is \"rows\"");
    o = client_options(toy.folder, 2);
    o.kv_cache_dtype = "fp4";
    check_refused(&o, "kv_cache_dtype is \"fp4\"; expected auto");
    o = client_options(toy.folder, 2);
    o.max_model_len = 513;
    check_refused(&o, "max_model_len is 513");
    o = client_options(toy.folder, 2);
    o.max_num_batched_tokens = 0;
    check_refused(&o, "max_num_batched_tokens is 0");
    o = client_options(toy.folder, 2);
    o.gpu_memory_utilization = 1.5;
    check_refused(&o, "gpu_memory_utilization is 1.5");
    o = client_options(toy.folder, 2);
    o.kv_cache_memory = 10000;
    check_refused(&o, "one sequence of max_model_len 512 needs");
    o = client_options(toy.folder, 2);
    o.tp_plan = "/nowhere/plan.json";
    check_refused(&o, "/nowhere/plan.json");
    o = client_options(toy.folder, 2);
    o.rank_program = "/nowhere/colrow";
    check_refused(&o, "/nowhere/colrow");
    o = client_options(toy.folder, 2);
    o.reduction_leaves = 3;
    check_refused(&o, "3");
}

static void a_broken_tokenizer_is_refused(void **state)
{
    (void)state;
    struct toy_llama other;
    toy_llama_new(&other);
    toy_write(&other, "tokenizer.json",
              "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}");
    struct colrow_options o = client_options(other.folder, 1);
    check_refused(&o, "tokenizer.json");
    toy_llama_free(&other);
}

static void ids_do_without_a_tokenizer(void **state)
{
    (void)state;
    struct toy_llama other;
    toy_llama_new(&other);
    char path[FILE_PATH_MAX];
    assert_int_equal(file_join(other.folder, "tokenizer.json", path), OK);
    unlink(path);
    struct colrow_options o = client_options(other.folder, 1);
    struct colrow_engine *engine = client_open(&o);
    struct colrow_sampling sampling = client_sampling(5);
    int32_t ids[] = {TOY_BOS, 'h', 'i'};
    struct colrow_prompt prompt = {.ids = ids, .n_ids = 3}, text = {.text = "hi"};
    memset(answers, 0, sizeof answers);
    assert_int_equal(colrow_submit(engine, &text, &sampling, client_collect, answers, NULL), -1);
    assert_non_null(strstr(colrow_error(), "no tokenizer.json"));
    assert_int_equal(colrow_submit(engine, &prompt, &sampling, client_collect, answers, NULL), 0);
    client_run(engine);
    assert_int_equal(answers->n_ids, 5);
    assert_int_equal(answers->length, 0);
    char *decoded;
    assert_int_equal(colrow_decode(engine, ids, 3, 0, &decoded), -1);
    colrow_close(engine);
    toy_llama_free(&other);
}

static void programs_that_are_no_ranks(void **state)
{
    (void)state;
    const char *programs[] = {"/bin/true", "/bin/false", "/bin/sh"};
    for (int i = 0; i < 3; i++) {
        struct colrow_options o = client_options(toy.folder, 2);
        o.rank_program = programs[i];
        check_refused(&o, "rank");
    }
}

static void a_dead_rank_fails_every_request(void **state)
{
    (void)state;
    int files = open_files();
    for (int round = 0; round < 12; round++) {
        struct colrow_options o = client_options(toy.folder, 1 + round % 4);
        o.restarts = 0;
        struct colrow_engine *engine = client_open(&o);
        struct colrow_sampling sampling = client_sampling(400);
        sampling.ignore_eos = 1;
        for (int i = 0; i < 3; i++)
            client_submit(engine, "victim", &sampling, &answers[i]);
        struct colrow_prompt prompt = {.text = "polled"};
        assert_int_equal(colrow_submit(engine, &prompt, &sampling, NULL, NULL, NULL), 0);
        for (int i = 0; i < round * 3; i++)
            assert_int_equal(colrow_step(engine), 4);
        client_kill_rank(engine, round % o.tensor_parallel_size, round % 3 ? SIGKILL : SIGSEGV);
        double begun = clock_seconds();
        while (colrow_step(engine) > 0)
            ;
        assert_true(clock_seconds() - begun < patience(1));
        assert_int_equal(colrow_step(engine), -1);
        char expected[32];
        snprintf(expected, sizeof expected, "rank %d (pid", round % o.tensor_parallel_size);
        assert_non_null(strstr(colrow_error(), expected));
        for (int i = 0; i < 3; i++) {
            assert_int_equal(answers[i].finish, COLROW_FAILED);
            assert_string_equal(answers[i].error, colrow_error());
        }
        int last = COLROW_RUNNING, result;
        struct colrow_output output;
        while ((result = colrow_poll(engine, 1, &output)) == 1)
            last = (int)output.finish;
        assert_int_equal(result, -1);
        assert_int_equal(last, COLROW_FAILED);
        uint64_t number;
        assert_int_equal(colrow_submit(engine, &prompt, &sampling, NULL, NULL, &number), -1);
        colrow_close(engine);
        assert_no_children();
        assert_int_equal(open_files(), files);
    }
}

static void an_idle_engine_notices_too(void **state)
{
    (void)state;
    struct colrow_options o = client_options(toy.folder, 2);
    o.restarts = 0;
    struct colrow_engine *engine = client_open(&o);
    assert_int_equal(colrow_step(engine), 0);
    client_kill_rank(engine, 1, SIGKILL);
    double begun = clock_seconds();
    while (colrow_step(engine) == 0)
        assert_true(clock_seconds() - begun < patience(1));
    assert_non_null(strstr(colrow_error(), "rank 1 (pid"));
    colrow_close(engine);
    assert_no_children();
}

static void a_stopped_rank_ends_the_group(void **state)
{
    (void)state;
    struct colrow_options o = client_options(toy.folder, 2);
    o.restarts = 0;
    struct colrow_engine *engine = client_open(&o);
    struct colrow_sampling sampling = client_sampling(400);
    client_submit(engine, "stopped", &sampling, &answers[0]);
    assert_int_equal(colrow_step(engine), 1);
    client_kill_rank(engine, 0, SIGSTOP);
    double begun = clock_seconds();
    while (colrow_step(engine) > 0)
        ;
    assert_true(clock_seconds() - begun < patience(1.5));
    assert_int_equal(answers[0].finish, COLROW_FAILED);
    assert_non_null(strstr(answers[0].error, "stopped"));
    colrow_close(engine);
    assert_no_children();
}

static void closing_early_leaves_nothing(void **state)
{
    (void)state;
    int files = open_files();
    for (int n_steps = 0; n_steps < 4; n_steps++) {
        struct colrow_options o = client_options(toy.folder, 3);
        struct colrow_engine *engine = client_open(&o);
        struct colrow_sampling sampling = client_sampling(100);
        client_submit(engine, "closing", &sampling, &answers[0]);
        struct colrow_prompt prompt = {.text = "polled"};
        assert_int_equal(colrow_submit(engine, &prompt, &sampling, NULL, NULL, NULL), 0);
        for (int i = 0; i < n_steps; i++)
            assert_int_equal(colrow_step(engine), 2);
        colrow_close(engine);
        assert_no_children();
        assert_int_equal(open_files(), files);
    }
    colrow_close(NULL);
}

// Opens, asks and closes with the n-th reservation of memory failing; returns whether it was
// reached.
static bool run_with_failure(long n, int *n_refused)
{
    struct colrow_options o = client_options(toy.folder, 1);
    struct colrow_engine *engine = NULL;
    memset(answers, 0, sizeof answers);
    memory_fail_after(n);
    bool failed = colrow_open(&o, &engine) != 0;
    struct colrow_sampling sampling = client_sampling(4);
    sampling.temperature = 1;
    sampling.logprobs = 2;
    sampling.frequency_penalty = 0.5;
    const char *stops[] = {"stop"};
    sampling.stop = stops;
    sampling.n_stop = 1;
    struct colrow_prompt prompt = {.text = "memory"};
    if (!failed)
        failed = colrow_submit(engine, &prompt, &sampling, client_collect, answers, NULL) != 0;
    int ends = failed ? 0 : 1, result = 0;
    if (!failed)
        failed = colrow_submit(engine, &prompt, &sampling, NULL, NULL, NULL) != 0;
    struct colrow_output output;
    if (engine)
        while (colrow_step(engine) > 0)
            ;
    while (engine && (result = colrow_poll(engine, 1, &output)) == 1)
        failed = failed || output.finish == COLROW_FAILED;
    assert_int_equal(result, 0); // the group is not to blame
    assert_int_equal(answers->n_ends, ends);
    failed = failed || answers->finish == COLROW_FAILED;
    memory_fail_after(0);
    if (failed)
        assert_non_null(strstr(colrow_error(), "memory"));
    *n_refused += failed;
    colrow_close(engine);
    assert_no_children();
    return failed;
}

static void every_reservation_may_fail(void **state)
{
    (void)state;
    int files = open_files(), n_refused = 0, n_good = 0;
    for (long n = 1; n_good < 3; n += n < 40 ? 1 : n / 25) {
        assert_true(n < 1000000);
        n_good = run_with_failure(n, &n_refused) ? 0 : n_good + 1;
    }
    assert_true(n_refused > 40);
    assert_int_equal(open_files(), files);
}

// The last reservations are those of requests: each of them, not one in twenty.
static void requests_survive_failed_reservations(void **state)
{
    (void)state;
    struct colrow_options o = client_options(toy.folder, 1);
    struct colrow_engine *engine = client_open(&o);
    struct colrow_sampling sampling = client_sampling(6);
    sampling.temperature = 1;
    sampling.logprobs = 2;
    sampling.frequency_penalty = 0.5;
    sampling.n = 2;
    struct colrow_prompt prompt = {.text = "memory"};
    int n_good = 0;
    for (long n = 1; n_good < 5; n++) {
        memset(answers, 0, sizeof answers);
        memory_fail_after(n);
        bool first = colrow_submit(engine, &prompt, &sampling, client_collect, answers, NULL) == 0;
        bool second = colrow_submit(engine, &prompt, &sampling, NULL, NULL, NULL) == 0;
        while (colrow_step(engine) > 0)
            ;
        struct colrow_output output;
        int ends = 0, result;
        bool failed = !first || !second;
        while ((result = colrow_poll(engine, 1, &output)) == 1) {
            ends += output.finish != COLROW_RUNNING;
            failed = failed || output.finish == COLROW_FAILED;
        }
        memory_fail_after(0);
        assert_int_equal(result, 0);
        assert_int_equal(ends, second ? 2 : 0);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(answers[i].n_ends, first ? 1 : 0);
            failed = failed || answers[i].finish == COLROW_FAILED;
        }
        n_good = failed ? 0 : n_good + 1;
        assert_true(n < 100000);
    }
    colrow_close(engine);
}

static void tuning_may_fail(void **state)
{
    (void)state;
    setenv("COLROW_FAIL_COLLECTIVE", "1:1", 1); // ranks tune the all-reduce when they start
    struct colrow_options o = client_options(toy.folder, 3);
    struct colrow_engine *engine = NULL;
    assert_int_equal(colrow_open(&o, &engine), -1);
    assert_null(engine);
    assert_non_null(strstr(colrow_error(), "rank 1"));
    assert_no_children();
    unsetenv("COLROW_FAIL_COLLECTIVE");
}

static void a_collective_may_fail_anywhere(void **state)
{
    (void)state;
    for (int n = 2; n < 13; n++) {
        char fault[16];
        snprintf(fault, sizeof fault, "1:%d", n);
        setenv("COLROW_FAIL_COLLECTIVE", fault, 1);
        struct colrow_options o = client_options(toy.folder, 3);
        o.restarts = 0;
        struct colrow_engine *engine = client_open(&o);
        struct colrow_sampling sampling = client_sampling(50);
        sampling.ignore_eos = 1;
        client_submit(engine, "collective", &sampling, answers);
        while (colrow_step(engine) > 0)
            ;
        assert_int_equal(answers->finish, COLROW_FAILED);
        assert_non_null(strstr(answers->error, "rank 1"));
        colrow_close(engine);
        assert_no_children();
    }
    unsetenv("COLROW_FAIL_COLLECTIVE");
}

static void steps_reserve_no_memory_on_the_ranks(void **state)
{
    (void)state;
    setenv("COLROW_FAIL_STEP_RESERVATION", "1", 1);
    struct colrow_options o = client_options(toy.folder, 3);
    o.max_num_batched_tokens = 16;
    o.threads_per_rank = 2;
    struct colrow_engine *engine = client_open(&o);
    struct colrow_sampling sampling = client_sampling(100);
    sampling.temperature = 1;
    for (int i = 0; i < 8; i++)
        client_submit(engine, "nothing is reserved in a step", &sampling, &answers[i]);
    client_run(engine);
    for (int i = 0; i < 8; i++)
        assert_int_not_equal(answers[i].finish, COLROW_FAILED);
    colrow_close(engine);
    unsetenv("COLROW_FAIL_STEP_RESERVATION");
}

static void the_rank_program_is_found(void **state)
{
    (void)state;
    char path[FILE_PATH_MAX];
    assert_int_equal(rank_program_find("/bin/true", path), OK);
    assert_string_equal(path, "/bin/true");
    assert_int_equal(rank_program_find("true", path), OK);
    assert_int_equal(rank_program_find("no-such-program", path), ERR_USAGE);
    setenv("COLROW_RANK_PROGRAM", "/bin/false", 1);
    assert_int_equal(rank_program_find(NULL, path), OK);
    assert_string_equal(path, "/bin/false");
    setenv("COLROW_RANK_PROGRAM", "/tmp", 1);
    assert_int_equal(rank_program_find(NULL, path), ERR_USAGE);
    assert_non_null(strstr(status_message(), "COLROW_RANK_PROGRAM names /tmp"));
    unsetenv("COLROW_RANK_PROGRAM");
    char folder[] = "/tmp/colrow-path-XXXXXX", program[64], *before = strdup(getenv("PATH"));
    assert_non_null(mkdtemp(folder));
    snprintf(program, sizeof program, "%s/colrow", folder);
    setenv("PATH", folder, 1);
    assert_int_equal(rank_program_find(NULL, path), ERR_IO);
    assert_non_null(strstr(status_message(), "COLROW_RANK_PROGRAM"));
    assert_int_equal(symlink("/bin/true", program), 0);
    assert_int_equal(rank_program_find(NULL, path), OK);
    assert_string_equal(path, program);
    setenv("PATH", before, 1);
    free(before);
    unlink(program);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(a_broken_tokenizer_is_refused),
        cmocka_unit_test(ids_do_without_a_tokenizer),
        cmocka_unit_test(programs_that_are_no_ranks),
        cmocka_unit_test(a_dead_rank_fails_every_request),
        cmocka_unit_test(an_idle_engine_notices_too),
        cmocka_unit_test(a_stopped_rank_ends_the_group),
        cmocka_unit_test(closing_early_leaves_nothing),
        cmocka_unit_test(every_reservation_may_fail),
        cmocka_unit_test(requests_survive_failed_reservations),
        cmocka_unit_test(tuning_may_fail),
        cmocka_unit_test(a_collective_may_fail_anywhere),
        cmocka_unit_test(steps_reserve_no_memory_on_the_ranks),
        cmocka_unit_test(the_rank_program_is_found),
    };
    return cmocka_run_group_tests(tests, toy_set_up, toy_tear_down);
}
