// Requests that kill the ranks: they are found and fail, and nobody else loses a token.
#include "engine_client.h"
#include "toy_llama.h"

#include <signal.h>

#include "base/clock.h"
#include "engine/engine.h"

enum { NEIGHBOURS = 6, LONG_PROMPT = 100, DEADLY_MAX = 2, SEVERAL = 2 };
static struct answer expected[NEIGHBOURS][SEVERAL], answers[NEIGHBOURS][SEVERAL],
    deadly[DEADLY_MAX][SEVERAL];
static char long_prompt[LONG_PROMPT + 1];
static int32_t deadly_id; // nobody's but theirs

static struct colrow_sampling sampling_of(int i)
{
    struct colrow_sampling s = client_sampling(20 + 7 * i);
    s.ignore_eos = 1;
    s.temperature = i % 2 ? 0.8 : 0;
    s.has_seed = 1;
    s.seed = (uint64_t)i;
    s.n = i == 3 ? SEVERAL : 1;
    s.prompt_logits = i == 4;
    return s;
}

static void submit_neighbours(struct colrow_engine *engine, struct answer to[NEIGHBOURS][SEVERAL])
{
    for (int i = 0; i < NEIGHBOURS; i++) {
        struct colrow_sampling sampling = sampling_of(i);
        client_submit(engine, i % 2 ? long_prompt + 9 * i : "hello", &sampling, to[i]);
    }
}

static struct colrow_options options_for(int tp)
{
    struct colrow_options options = client_options(toy.folder, tp);
    options.max_num_batched_tokens = 24;
    options.prompt_logits = 1;
    return options;
}

static bool is_used(int32_t id)
{
    for (int i = 0; i < NEIGHBOURS; i++)
        for (int k = 0; k < SEVERAL; k++)
            for (int j = 0; j < expected[i][k].n_ids; j++)
                if (expected[i][k].ids[j] == id)
                    return true;
    return false;
}

static int set_up(void **state)
{
    (void)state;
    toy_llama_new(&toy);
    for (int i = 0; i < LONG_PROMPT; i++)
        long_prompt[i] = (char)('a' + i * 7 % 26);
    struct colrow_options options = options_for(1);
    struct colrow_engine *engine = client_open(&options);
    submit_neighbours(engine, expected);
    client_run(engine);
    colrow_close(engine);
    for (deadly_id = '0'; is_used(deadly_id); deadly_id++) // below the letters
        assert_true(deadly_id < '`');
    char text[16];
    snprintf(text, sizeof text, "%d", (int)deadly_id);
    setenv("COLROW_DIE_AT_TOKEN", text, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unsetenv("COLROW_DIE_AT_TOKEN");
    client_forget(expected[4]);
    toy_llama_free(&toy);
    return 0;
}

static void assert_neighbours_whole(void)
{
    for (int i = 0; i < NEIGHBOURS; i++)
        for (int k = 0; k < sampling_of(i).n; k++) {
            const struct answer *answer = &answers[i][k], *want = &expected[i][k];
            if (answer->finish == COLROW_FAILED)
                print_error("neighbour %d: %s\n", i, answer->error);
            assert_int_equal(answer->n_ends, 1);
            assert_answers_equal(answer, want);
            assert_int_equal(answer->n_prompt_logits, want->n_prompt_logits);
            if (want->n_prompt_logits)
                assert_memory_equal(answer->prompt_logits, want->prompt_logits,
                                    (size_t)want->n_prompt_logits * TOY_VOCAB * sizeof(float));
        }
    client_forget(answers[4]);
}

// ---- deadly requests ----

enum deadly_kind { AT_ONCE, LATE_IN_ITS_PROMPT, IN_ITS_ANSWER, IN_TWO_ANSWERS, DEADLY_KINDS };

static void submit_deadly(struct colrow_engine *engine, enum deadly_kind kind, struct answer *to)
{
    char prompt[LONG_PROMPT + 2] = "hello";
    struct colrow_sampling sampling = client_sampling(60);
    // many tokens that nobody will sample but this one
    const struct colrow_token_bias bias = {deadly_id, kind == IN_TWO_ANSWERS ? 9 : 100};
    sampling.ignore_eos = 1;
    if (kind == AT_ONCE)
        snprintf(prompt, sizeof prompt, "%c", (char)deadly_id);
    if (kind == LATE_IN_ITS_PROMPT)
        snprintf(prompt, sizeof prompt, "%s%c", long_prompt, (char)deadly_id);
    if (kind >= IN_ITS_ANSWER) {
        sampling.logit_bias = &bias;
        sampling.n_logit_bias = 1;
    }
    if (kind == IN_TWO_ANSWERS) { // after some others
        sampling.n = SEVERAL;
        sampling.temperature = 1;
        sampling.has_seed = 1;
        sampling.seed = 3;
    }
    client_submit(engine, prompt, &sampling, to);
}

static void assert_given_up(const struct answer *answer)
{
    assert_int_equal(answer->n_ends, 1);
    assert_int_equal(answer->finish, COLROW_FAILED);
    assert_int_equal(answer->error_class, COLROW_ERROR_INTERNAL);
    char sentence[64];
    snprintf(sentence, sizeof sentence, "request %llu is given up: the ranks were lost",
             (unsigned long long)answer->request);
    if (!strstr(answer->error, sentence))
        print_error("expected \"%s\" in: %s\n", sentence, answer->error);
    assert_non_null(strstr(answer->error, sentence));
    assert_non_null(strstr(answer->error, "was killed by signal 6 (Aborted)"));
}

static void a_deadly_request_fails_alone(void **state)
{
    (void)state;
    for (int tp = 1; tp <= 3; tp++)
        for (int kind = 0; kind < DEADLY_KINDS; kind++) {
            struct colrow_options options = options_for(tp);
            options.enable_prefix_caching = kind % 2;
            struct colrow_engine *engine = client_open(&options);
            if (tp == 2)
                submit_deadly(engine, (enum deadly_kind)kind, deadly[0]);
            submit_neighbours(engine, answers);
            if (tp != 2)
                submit_deadly(engine, (enum deadly_kind)kind, deadly[0]);
            if (tp == 3)
                while (client_sleep_and_advance(engine) > 0)
                    ;
            else
                client_run(engine);
            for (int k = 0; k < (kind == IN_TWO_ANSWERS ? SEVERAL : 1); k++)
                assert_given_up(&deadly[0][k]);
            assert_neighbours_whole();
            struct colrow_statistics statistics = client_statistics(engine);
            assert_int_equal(statistics.requests_given_up, 1);
            // a second answer may have drawn the token meanwhile
            assert_true(statistics.restarts == 4 ||
                        (kind == IN_TWO_ANSWERS && statistics.restarts < 9));
            assert_null(engine->scheduler.alone);
            assert_int_equal(client_gauges(engine).kv_pages_used, 0);
            colrow_close(engine);
        }
}

static void two_deadly_requests_fail(void **state)
{
    (void)state;
    for (int with_neighbours = 0; with_neighbours < 2; with_neighbours++) {
        struct colrow_options options = options_for(2);
        struct colrow_engine *engine = client_open(&options);
        submit_deadly(engine, AT_ONCE, deadly[0]);
        if (with_neighbours)
            submit_neighbours(engine, answers);
        submit_deadly(engine, AT_ONCE, deadly[1]);
        client_run(engine);
        assert_given_up(deadly[0]);
        assert_given_up(deadly[1]);
        if (with_neighbours)
            assert_neighbours_whole();
        assert_int_equal(client_statistics(engine).requests_given_up, 2);
        // both in one step, or one after the other
        assert_int_equal(client_statistics(engine).restarts, with_neighbours ? 8 : 6);
        colrow_close(engine);
    }
}

// One that nobody waits for any more does no harm.
static void a_suspect_may_leave(void **state)
{
    (void)state;
    struct colrow_options options = options_for(2);
    struct colrow_engine *engine = client_open(&options);
    const uint64_t number = NEIGHBOURS + 1;
    submit_neighbours(engine, answers);
    submit_deadly(engine, AT_ONCE, deadly[0]);
    while (!engine->scheduler.alone || engine->scheduler.alone->number != number)
        assert_true(client_sleep_and_advance(engine) > 0);
    assert_int_equal(colrow_pause(engine, number), 0);
    while (client_gauges(engine).requests > 1) // the others go on
        client_sleep_and_advance(engine);
    assert_neighbours_whole();
    assert_int_equal(deadly[0]->n_ends, 0);
    submit_neighbours(engine, answers); // and new ones
    assert_int_equal(colrow_resume(engine, number), 0);
    while (client_statistics(engine).restarts < 3 && deadly[0]->n_ends == 0)
        client_sleep_and_advance(engine);
    assert_int_equal(colrow_cancel(engine, number), 0);
    client_run(engine);
    assert_int_equal(deadly[0]->finish, COLROW_CANCELLED);
    assert_neighbours_whole();
    assert_int_equal(client_statistics(engine).requests_given_up, 0);
    colrow_close(engine);
}

// ---- innocent ones ----

static void kill_in_its_first_step(struct colrow_engine *engine, int signal)
{
    int n = client_gauges(engine).restarts;
    while (client_gauges(engine).state != COLROW_READY || !engine_in_flight(engine))
        assert_true(client_sleep_and_advance(engine) > 0);
    client_kill_rank(engine, 1, signal);
    while (client_gauges(engine).restarts == n)
        assert_true(client_sleep_and_advance(engine) > 0);
}

static void bad_luck_is_no_crime(void **state)
{
    (void)state;
    for (int n_kills = 2; n_kills <= 5; n_kills++) {
        struct colrow_options options = options_for(2);
        struct colrow_engine *engine = client_open(&options);
        submit_neighbours(engine, answers);
        while (answers[0]->n_ids < 3)
            assert_true(client_sleep_and_advance(engine) > 0);
        // the first kill stops all; the second, before anybody got further, makes them suspects;
        // the others hit who runs alone, each time another one
        for (int i = 0; i < n_kills; i++) {
            kill_in_its_first_step(engine, i % 2 ? SIGKILL : SIGTERM);
            while (i > 0 && !engine->scheduler.alone)
                assert_true(client_sleep_and_advance(engine) > 0);
        }
        client_run(engine);
        assert_neighbours_whole();
        assert_int_equal(client_statistics(engine).requests_given_up, 0);
        assert_true(client_statistics(engine).restarts >= (uint64_t)n_kills);
        assert_null(engine->scheduler.alone);
        colrow_close(engine);
    }
}

// Ranks that die in every step, whoever is in it: requests are given up, but not for ever.
static void a_machine_that_never_works_ends_the_engine(void **state)
{
    (void)state;
    struct colrow_options options = options_for(2);
    setenv("COLROW_FAIL_COLLECTIVE", "1:3", 1);
    struct colrow_engine *engine = client_open(&options);
    submit_neighbours(engine, answers);
    int alive;
    while ((alive = colrow_step(engine)) > 0)
        ;
    unsetenv("COLROW_FAIL_COLLECTIVE");
    assert_int_equal(alive, -1);
    assert_int_equal(colrow_error_class(), COLROW_ERROR_GROUP_LOST);
    assert_non_null(strstr(colrow_error(), "without one step completed"));
    assert_true(client_statistics(engine).restarts >= 5 && client_statistics(engine).restarts < 16);
    int n_lost = 0;
    for (int i = 0; i < NEIGHBOURS; i++) {
        assert_int_equal(answers[i]->finish, COLROW_FAILED);
        n_lost += answers[i]->error_class == COLROW_ERROR_GROUP_LOST;
        client_forget(answers[i]);
    }
    assert_int_equal(client_statistics(engine).requests_given_up, NEIGHBOURS - n_lost);
    colrow_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deadly_request_fails_alone),
        cmocka_unit_test(two_deadly_requests_fail),
        cmocka_unit_test(a_suspect_may_leave),
        cmocka_unit_test(bad_luck_is_no_crime),
        cmocka_unit_test(a_machine_that_never_works_ends_the_engine),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
