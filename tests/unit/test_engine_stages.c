// An engine with pipeline stages and steps under way on each: what clients do at any time, and what
// is lost, changes no answer.
#include "engine_client.h"
#include "processes.h"
#include "toy_llama.h"

#include "engine/engine.h"

enum { PROMPTS = 12, PROMPT_LOGITS = 3 }; // each of these hands out its prompt's logits

static struct answer expected[PROMPTS], answers[PROMPTS];
static char prompts[PROMPTS][160];

static struct colrow_sampling sampling_of(int i)
{
    struct colrow_sampling sampling = client_sampling(5 + 17 * (i % 5));
    sampling.temperature = i % 2 ? 0.8 : 0;
    sampling.has_seed = 1;
    sampling.seed = (uint64_t)i;
    sampling.ignore_eos = 1;
    sampling.prompt_logits = i % PROMPT_LOGITS == 0;
    return sampling;
}

static uint64_t submit_one(struct colrow_engine *engine, int i, struct answer *to)
{
    struct colrow_sampling sampling = sampling_of(i);
    uint64_t number;
    struct colrow_prompt text = {.text = prompts[i]};
    client_forget(to);
    memset(to, 0, sizeof *to);
    assert_int_equal(colrow_submit(engine, &text, &sampling, client_collect, to, &number), 0);
    return number;
}

static struct colrow_options options_of(int tp, int pp)
{
    struct colrow_options options = client_options(toy.folder, tp);
    options.pipeline_parallel_size = pp;
    options.max_num_batched_tokens = 24;
    options.max_num_seqs = 8;
    options.prompt_logits = 1;
    return options;
}

static void assert_as_expected(int i)
{
    assert_int_equal(answers[i].n_ends, 1);
    assert_answers_equal(&answers[i], &expected[i]);
    assert_int_equal(answers[i].n_prompt_logits, expected[i].n_prompt_logits);
    assert_memory_equal(answers[i].prompt_logits, expected[i].prompt_logits,
                        (size_t)expected[i].n_prompt_logits * TOY_VOCAB * sizeof(float));
}

static int set_up(void **state)
{
    (void)state;
    toy_llama_new(&toy);
    for (int i = 0; i < PROMPTS; i++)
        for (int n = 0; n < 3 + 11 * i; n++)
            prompts[i][n] = (char)('a' + (n * (i + 3) + i) % 26);
    struct colrow_options options = options_of(1, 1);
    struct colrow_engine *engine = client_open(&options);
    for (int i = 0; i < PROMPTS; i++)
        submit_one(engine, i, &expected[i]);
    client_run(engine);
    colrow_close(engine);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < PROMPTS; i++) {
        client_forget(&expected[i]);
        client_forget(&answers[i]);
    }
    toy_llama_free(&toy);
    return 0;
}

// With colrow_step(), and in an event loop; a step for each stage is under way.
static void answers_are_those_of_one_stage(void **state)
{
    (void)state;
    int files = open_files();
    for (int tp = 1; tp <= 2; tp++)
        for (int advances = 0; advances < 2; advances++) {
            struct colrow_options options = options_of(tp, 2);
            struct colrow_engine *engine = client_open(&options);
            struct colrow_info info;
            int most = 0, alive = 1;
            colrow_get_info(engine, &info);
            assert_int_equal(info.pipeline_parallel_size, 2);
            assert_int_equal(info.n_ranks, 2 * tp);
            for (int i = 0; i < PROMPTS; i++)
                submit_one(engine, i, &answers[i]);
            while (alive > 0) {
                alive = advances ? client_sleep_and_advance(engine) : colrow_step(engine);
                int n = engine->scheduler.n_under_way;
                most = n > most ? n : most;
            }
            assert_int_equal(alive, 0);
            assert_int_equal(most, 2);
            for (int i = 0; i < PROMPTS; i++)
                assert_as_expected(i);
            colrow_close(engine);
        }
    assert_no_children();
    assert_int_equal(open_files(), files);
}

// Requests come, are paused and cancelled at random instants, ranks of both stages are killed.
static void anything_at_any_time(void **state)
{
    (void)state;
    unsigned random = 7;
    struct colrow_options options = options_of(1, 2);
    options.restarts = 1000;
    options.kv_cache_memory = 40 * 2 * TOY_LAYERS * 64 * TOY_HIDDEN; // so that requests give way
    options.max_model_len = 256;
    struct colrow_engine *engine = client_open(&options);
    for (int round = 0; round < 12; round++) {
        uint64_t numbers[PROMPTS];
        bool cancelled[PROMPTS] = {false};
        int n_submitted = 0;
        for (int turn = 0; turn < 60; turn++) {
            random = random * 1664525u + 1013904223u;
            int i = (int)(random >> 16) % PROMPTS, what = (int)(random >> 28);
            if (what < 8 && n_submitted < PROMPTS) {
                numbers[n_submitted] = submit_one(engine, n_submitted, &answers[n_submitted]);
                n_submitted++;
            } else if (what == 8 && i < n_submitted) {
                cancelled[i] = colrow_cancel(engine, numbers[i]) == 0 || cancelled[i];
            } else if (what < 11 && i < n_submitted) {
                (void)colrow_pause(engine, numbers[i]); // -1: it is over
            } else if (i < n_submitted) {
                (void)colrow_resume(engine, numbers[i]);
            }
            if (round % 3 == 2 && turn % 20 == 13 && client_gauges(engine).state == COLROW_READY &&
                client_rank_pid(engine, 0) > 0)
                client_kill_rank(engine, turn % 2, SIGKILL);
            assert_true(colrow_step(engine) >= 0);
        }
        for (int i = 0; i < n_submitted; i++)
            (void)colrow_resume(engine, numbers[i]);
        client_run(engine);
        for (int i = 0; i < n_submitted; i++)
            if (!cancelled[i] || answers[i].finish != COLROW_CANCELLED)
                assert_as_expected(i);
        assert_int_equal(engine->scheduler.n_under_way, 0);
        assert_int_equal(kv_pool_available(engine->pool), kv_pool_usable(engine->pool));
    }
    assert_true(client_statistics(engine).restarts > 0);
    colrow_close(engine);
    assert_no_children();
}

// Ranks of all stages meet between two answers.
static void idle_stages_meet(void **state)
{
    (void)state;
    struct colrow_options options = options_of(2, 2);
    options.canary_interval = 0.02;
    struct colrow_engine *engine = client_open(&options);
    for (int i = 0; i < 3; i++) {
        struct colrow_rank_statistics before, after;
        assert_int_equal(colrow_get_rank_statistics(engine, 3, &before), 0);
        do {
            assert_int_equal(client_sleep_and_advance(engine), 0);
            assert_int_equal(colrow_get_rank_statistics(engine, 3, &after), 0);
        } while (after.last_step < before.last_step + 3);
        assert_int_equal(after.stage, 1);
        assert_int_equal(after.first_layer, TOY_LAYERS / 2);
        submit_one(engine, i, &answers[i]);
        client_run(engine);
        assert_as_expected(i);
    }
    colrow_close(engine);
    assert_no_children();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_those_of_one_stage),
        cmocka_unit_test(anything_at_any_time),
        cmocka_unit_test(idle_stages_meet),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
