// An engine inside somebody's event loop: nothing but its file descriptor says when to call it.
#include "engine_client.h"
#include "processes.h"
#include "toy_llama.h"

#include <poll.h>
#include <signal.h>

#include "base/clock.h"
#include "engine/engine.h"

enum { PROMPTS = 6 };
static struct answer expected[PROMPTS], answers[PROMPTS];
static const char *const prompts[PROMPTS] = {
    "a", "hello", "the quick brown fox", "", "0123456789 0123456789 0123456789", "zz"};

static struct colrow_sampling sampling_of(int i)
{
    struct colrow_sampling sampling = client_sampling(10 + 9 * i);
    sampling.temperature = i % 2 ? 0.8 : 0;
    sampling.has_seed = 1;
    sampling.seed = (uint64_t)i;
    return sampling;
}

static void submit_all(struct colrow_engine *engine, struct answer *to)
{
    for (int i = 0; i < PROMPTS; i++) {
        struct colrow_sampling sampling = sampling_of(i);
        client_submit(engine, prompts[i], &sampling, &to[i]);
    }
}

static void assert_as_expected(void)
{
    for (int i = 0; i < PROMPTS; i++)
        assert_answers_equal(&answers[i], &expected[i]);
}

static int set_up(void **state)
{
    (void)state;
    toy_llama_new(&toy);
    struct colrow_options options = client_options(toy.folder, 1);
    struct colrow_engine *engine = client_open(&options);
    submit_all(engine, expected);
    client_run(engine);
    colrow_close(engine);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    toy_llama_free(&toy);
    return 0;
}

static struct colrow_engine *begin(const struct colrow_options *options)
{
    struct colrow_engine *engine = NULL;
    if (colrow_open_begin(options, &engine) != 0)
        print_error("colrow_open_begin: %s\n", colrow_error());
    assert_non_null(engine);
    return engine;
}

static bool is_readable(struct colrow_engine *engine, int timeout_ms)
{
    struct pollfd event = {.fd = colrow_fd(engine), .events = POLLIN};
    return poll(&event, 1, timeout_ms) == 1;
}

static void loop_until_done(struct colrow_engine *engine)
{
    int alive;
    while ((alive = client_sleep_and_advance(engine)) > 0)
        ;
    assert_int_equal(alive, 0);
}

static void loop_until_ready(struct colrow_engine *engine)
{
    while (client_gauges(engine).state == COLROW_LOADING)
        assert_true(client_sleep_and_advance(engine) >= 0);
    assert_int_equal(client_gauges(engine).state, COLROW_READY);
}

static void answers_are_the_same(void **state)
{
    (void)state;
    for (int tp = 1; tp <= 3; tp++) {
        struct colrow_options options = client_options(toy.folder, tp);
        options.max_num_batched_tokens = 16;
        struct colrow_engine *engine = begin(&options);
        assert_int_equal(client_gauges(engine).state, COLROW_LOADING);
        submit_all(engine, answers); // waits for the ranks
        assert_int_equal(client_gauges(engine).waiting_sequences, PROMPTS);
        assert_int_equal(colrow_advance(engine), PROMPTS);
        loop_until_done(engine);
        assert_as_expected();
        struct colrow_gauges gauges = client_gauges(engine);
        assert_int_equal(gauges.state, COLROW_READY);
        assert_int_equal(gauges.requests + gauges.running_sequences + gauges.waiting_sequences, 0);
        assert_int_equal(gauges.kv_pages_used, 0);
        assert_true(gauges.kv_pages > 0 && gauges.bytes_loaded == gauges.bytes_total);
        struct colrow_statistics statistics;
        colrow_get_statistics(engine, &statistics);
        assert_true(statistics.load_seconds > 0);
        colrow_close(engine);
        assert_no_children();
    }
}

static void steps_and_advances_mix(void **state)
{
    (void)state;
    struct colrow_options options = client_options(toy.folder, 2);
    struct colrow_engine *engine = begin(&options);
    submit_all(engine, answers);
    int alive = PROMPTS;
    for (int i = 0; alive > 0; i++)
        alive = i % 3 == 1 ? colrow_step(engine)
                : i % 3    ? client_sleep_and_advance(engine)
                           : colrow_advance(engine);
    assert_int_equal(alive, 0);
    assert_as_expected();
    colrow_close(engine);
    assert_no_children();
}

static void requests_ring(void **state)
{
    (void)state;
    struct colrow_options options = client_options(toy.folder, 2);
    struct colrow_engine *engine = begin(&options);
    loop_until_ready(engine);
    while (is_readable(engine, 300)) // a last tick of the clock
        assert_int_equal(colrow_advance(engine), 0);
    struct colrow_sampling sampling = client_sampling(400);
    sampling.ignore_eos = 1;
    client_submit(engine, "hello", &sampling, &answers[0]);
    assert_true(is_readable(engine, 0));
    assert_int_equal(colrow_advance(engine), 1);
    assert_int_equal(client_gauges(engine).running_sequences, 1);
    assert_int_equal(client_gauges(engine).kv_pages_used, 1);
    while (answers[0].n_outputs == 0) // a tick of the clock may come first
        assert_int_equal(client_sleep_and_advance(engine), 1);
    assert_int_equal(colrow_cancel(engine, answers[0].request), 0);
    assert_true(is_readable(engine, 0));
    // told at once, whatever the ranks are doing; its pages are free when they are done
    colrow_advance(engine);
    assert_int_equal(answers[0].n_ends, 1);
    assert_int_equal(answers[0].finish, COLROW_CANCELLED);
    while (client_gauges(engine).requests > 0)
        client_sleep_and_advance(engine);
    assert_int_equal(client_gauges(engine).kv_pages_used, 0);
    colrow_close(engine);
}

// Of many, each at another moment of its life: before a step, in it, several of one request.
static void cancelling_leaves_the_others_alone(void **state)
{
    (void)state;
    static struct answer cancelled[8][3];
    struct colrow_options options = client_options(toy.folder, 2);
    options.max_num_seqs = 4;
    struct colrow_engine *engine = begin(&options);
    struct colrow_sampling long_one = client_sampling(300);
    long_one.ignore_eos = 1;
    long_one.n = 3;
    for (int i = 0; i < 8; i++)
        client_submit(engine, "to be cancelled", &long_one, cancelled[i]);
    submit_all(engine, answers);
    for (int i = 0; i < 8; i++) {
        for (int k = 0; k < i; k++)
            client_sleep_and_advance(engine);
        uint64_t number = (uint64_t)i + 1;
        assert_int_equal(colrow_cancel(engine, number), 0);
        colrow_advance(engine);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(cancelled[i][k].n_ends, 1);
            assert_int_equal(cancelled[i][k].finish, COLROW_CANCELLED);
        }
    }
    loop_until_done(engine);
    assert_as_expected();
    assert_int_equal(client_gauges(engine).kv_pages_used, 0);
    colrow_close(engine);
}

// Results may take longer than one call is given: one sequence's, then others', between calls.
static void results_are_taken_in_slices(void **state)
{
    (void)state;
    static struct answer cancelled[3];
    struct colrow_options options = client_options(toy.folder, 2);
    struct colrow_engine *engine = begin(&options);
    engine->slice_ns = 0;
    submit_all(engine, answers);
    struct colrow_sampling long_one = client_sampling(300);
    long_one.ignore_eos = 1;
    long_one.n = 3;
    client_submit(engine, "to be cancelled", &long_one, cancelled);
    int n_slices = 0;
    for (int i = 0; i < 60; i++) {
        assert_true(client_sleep_and_advance(engine) > 0);
        n_slices += engine->taking;
    }
    assert_true(n_slices > 0);
    while (!engine->taking)
        assert_true(client_sleep_and_advance(engine) > 0);
    assert_int_equal(colrow_cancel(engine, cancelled[0].request), 0);
    assert_true(client_sleep_and_advance(engine) >= 0);
    for (int k = 0; k < 3; k++)
        assert_int_equal(cancelled[k].finish, COLROW_CANCELLED);
    while (!engine->taking && client_sleep_and_advance(engine) > 0)
        ;
    for (int i = 0, alive = 1; alive > 0; i++) // waiting calls take the rest of a step
        alive = i % 5 ? client_sleep_and_advance(engine) : colrow_step(engine);
    assert_as_expected();
    assert_int_equal(client_gauges(engine).kv_pages_used, 0);
    colrow_close(engine);
}

static struct colrow_engine *begin_sliced(struct colrow_options *options)
{
    options->prompt_logits = 1;
    options->max_num_batched_tokens = 24;
    struct colrow_engine *engine = begin(options);
    loop_until_ready(engine);
    engine->slice_ns = 0;
    engine->piece_bytes = 1; // a row at a time
    return engine;
}

// Logits of prompt tokens come a row at a time when they take long, and are the same.
static void logits_are_handed_over_in_pieces(void **state)
{
    (void)state;
    static struct answer whole[2], pieces[2];
    const char *const texts[] = {"a prompt of more than one chunk, or the pieces would be few",
                                 "b"};
    struct colrow_options options = client_options(toy.folder, 2);
    for (int sliced = 0; sliced < 2; sliced++) {
        struct answer *to = sliced ? pieces : whole;
        struct colrow_engine *engine = begin_sliced(&options);
        engine->piece_bytes = sliced ? 1 : 1 << 20;
        struct colrow_sampling sampling = client_sampling(5);
        sampling.prompt_logits = 1;
        for (int i = 0; i < 2; i++)
            client_submit(engine, texts[i], &sampling, &to[i]);
        int n_between = 0;
        for (int alive = 1; alive > 0;) {
            alive = client_sleep_and_advance(engine);
            n_between += engine->handing != NULL;
        }
        assert_true(sliced ? n_between > 10 : n_between == 0);
        colrow_close(engine);
    }
    for (int i = 0; i < 2; i++) {
        assert_answers_equal(&whole[i], &pieces[i]);
        assert_int_equal(whole[i].n_prompt_logits, whole[i].prompt_tokens);
        assert_int_equal(pieces[i].n_prompt_logits, whole[i].prompt_tokens);
        assert_memory_equal(pieces[i].prompt_logits, whole[i].prompt_logits,
                            (size_t)whole[i].prompt_tokens * TOY_VOCAB * sizeof(float));
        client_forget(&whole[i]);
        client_forget(&pieces[i]);
    }
    assert_true(pieces[0].n_outputs > whole[0].n_outputs + 10);
}

static void pieces_end_with_their_request(void **state)
{
    (void)state;
    struct colrow_options options = client_options(toy.folder, 2);
    options.restarts = 0;
    struct colrow_engine *engine = begin_sliced(&options);
    for (int lost = 0; lost < 2; lost++)
        for (int last = 0; last < 2; last++) { // the answer may be over already
            struct colrow_sampling sampling = client_sampling(last ? 1 : 50);
            sampling.prompt_logits = 1;
            client_submit(engine, "0123456789 0123", &sampling, &answers[0]);
            while (answers[0].n_outputs < 3 || !engine->handing)
                assert_true(client_sleep_and_advance(engine) > 0);
            if (lost)
                client_kill_rank(engine, 1, SIGKILL);
            else
                assert_int_equal(colrow_cancel(engine, answers[0].request), 0);
            while (answers[0].n_ends == 0)
                client_sleep_and_advance(engine);
            if (!last)
                assert_int_equal(answers[0].finish, lost ? COLROW_FAILED : COLROW_CANCELLED);
            while (client_gauges(engine).requests > 0)
                client_sleep_and_advance(engine);
            assert_int_equal(answers[0].n_ends, 1);
            assert_int_equal(client_gauges(engine).kv_pages_used, 0);
            client_forget(&answers[0]);
            if (lost) {
                while (client_gauges(engine).state != COLROW_BROKEN)
                    client_sleep_and_advance(engine);
                colrow_advance(engine);
                assert_int_equal(colrow_restart(engine), 0);
                loop_until_ready(engine);
            }
        }
    // without a callback they lie in the queue
    struct colrow_sampling sampling = client_sampling(2);
    const struct colrow_prompt prompt = {.text = "hello"};
    sampling.prompt_logits = 1;
    assert_int_equal(colrow_submit(engine, &prompt, &sampling, NULL, NULL, NULL), 0);
    struct colrow_output output = {0};
    int n_rows = 0, n_ends = 0, n_prompt = 0;
    while (colrow_poll(engine, 1, &output) == 1) {
        assert_true(output.n_prompt_logits == 0 || output.prompt_position == n_rows);
        n_rows += output.n_prompt_logits;
        n_ends += output.finish != COLROW_RUNNING;
        n_prompt = output.prompt_tokens;
    }
    assert_int_equal(n_rows, n_prompt);
    assert_int_equal(n_ends, 1);
    colrow_close(engine);
    assert_no_children();
}

// A paused request stands still whatever the others do, and goes on as if nothing had been.
static void paused_requests_stand_still(void **state)
{
    (void)state;
    struct colrow_options options = client_options(toy.folder, 2);
    struct colrow_engine *engine = begin(&options);
    loop_until_ready(engine);
    submit_all(engine, answers);
    for (int i = 0; i < 4; i++)
        client_sleep_and_advance(engine);
    uint64_t slow = answers[5].request, slow_too = answers[4].request;
    assert_int_equal(colrow_pause(engine, slow), 0);
    assert_int_equal(colrow_pause(engine, slow_too), 0);
    while (client_gauges(engine).requests > 2)
        client_sleep_and_advance(engine);
    int had = answers[5].n_ids;
    assert_true(had > 0 && answers[5].n_ends == 0 && answers[4].n_ends == 0);
    while (is_readable(engine, 50)) // nothing is left to do but the clock's ticks
        assert_int_equal(colrow_advance(engine), 2);
    assert_int_equal(answers[5].n_ids, had);
    struct colrow_gauges gauges = client_gauges(engine);
    assert_int_equal(gauges.paused_sequences, 2);
    assert_int_equal(gauges.running_sequences + gauges.waiting_sequences, 0);
    assert_true(gauges.kv_pages_used > 0);
    struct colrow_output output;
    assert_int_equal(colrow_poll(engine, 1, &output), 0); // does not wait for what cannot come
    assert_int_equal(colrow_step(engine), 2);
    assert_int_equal(colrow_resume(engine, slow), 0);
    assert_int_equal(colrow_resume(engine, slow_too), 0);
    assert_true(is_readable(engine, 0));
    loop_until_done(engine);
    assert_as_expected();
    assert_int_equal(colrow_pause(engine, slow), -1);
    assert_int_equal(colrow_error_class(), COLROW_ERROR_INVALID_REQUEST);
    assert_int_equal(client_gauges(engine).kv_pages_used, 0);
    colrow_close(engine);
}

static void paused_requests_can_end(void **state)
{
    (void)state;
    struct colrow_options options = client_options(toy.folder, 2);
    options.restarts = 0;
    struct colrow_engine *engine = begin(&options);
    loop_until_ready(engine);
    for (int lost = 0; lost < 2; lost++) {
        struct colrow_sampling sampling = client_sampling(400);
        sampling.ignore_eos = 1;
        client_submit(engine, "hello", &sampling, &answers[0]);
        while (answers[0].n_outputs == 0)
            client_sleep_and_advance(engine);
        assert_int_equal(colrow_pause(engine, answers[0].request), 0);
        while (is_readable(engine, 50))
            assert_int_equal(colrow_advance(engine), 1);
        if (lost)
            client_kill_rank(engine, 1, SIGKILL);
        else
            assert_int_equal(colrow_cancel(engine, answers[0].request), 0);
        while (answers[0].n_ends == 0)
            client_sleep_and_advance(engine);
        assert_int_equal(answers[0].finish, lost ? COLROW_FAILED : COLROW_CANCELLED);
        while (!lost &&
               client_gauges(engine).kv_pages_used) // a busy machine: the step is under way
            client_sleep_and_advance(engine);
        assert_int_equal(client_gauges(engine).kv_pages_used, 0);
        assert_int_equal(client_gauges(engine).paused_sequences, 0);
    }
    colrow_close(engine);
    assert_no_children();
}

static void loading_is_quiet(void **state)
{
    (void)state;
    struct colrow_options options = client_options(toy.folder, 2);
    struct colrow_engine *engine = begin(&options);
    submit_all(engine, answers);
    int n_calls = 0;
    double begun = clock_seconds();
    while (client_gauges(engine).state == COLROW_LOADING) {
        assert_int_equal(client_sleep_and_advance(engine), PROMPTS);
        n_calls++;
    }
    assert_true(n_calls < 10 + 20 * (clock_seconds() - begun)); // ten ticks a second
    loop_until_done(engine);
    assert_as_expected();
    colrow_close(engine);
}

static void lost_ranks_start_again(void **state)
{
    (void)state;
    struct colrow_options options = client_options(toy.folder, 2);
    options.restarts = 0;
    struct colrow_engine *engine = begin(&options);
    for (int round = 0; round < 4; round++) {
        engine->slice_ns = round == 3 ? 0 : 2000000;
        submit_all(engine, answers);
        while (round > 0 && client_gauges(engine).state == COLROW_LOADING)
            client_sleep_and_advance(engine);
        for (int i = 0; i < round * 3; i++)
            client_sleep_and_advance(engine);
        client_kill_rank(engine, round % 2, SIGKILL);
        int alive;
        while ((alive = client_sleep_and_advance(engine)) > 0)
            ;
        assert_int_equal(alive, -1);
        assert_int_equal(colrow_error_class(), COLROW_ERROR_GROUP_LOST);
        assert_int_equal(client_gauges(engine).state, COLROW_BROKEN);
        for (int i = 0; i < PROMPTS; i++) {
            assert_int_equal(answers[i].n_ends, 1);
            if (answers[i].finish == COLROW_FAILED)
                assert_non_null(strstr(answers[i].error, "rank"));
        }
        assert_int_equal(client_gauges(engine).kv_pages_used, 0);
        struct colrow_prompt prompt = {.text = "too late"};
        struct colrow_sampling sampling = client_sampling(1);
        assert_int_equal(colrow_submit(engine, &prompt, &sampling, NULL, NULL, NULL), -1);
        assert_int_equal(colrow_advance(engine), -1);
        assert_int_equal(colrow_restart(engine), 0);
        assert_int_equal(client_gauges(engine).state, COLROW_LOADING);
        assert_int_equal(client_gauges(engine).restarts,
                         round); // the old ones may still be leaving
    }
    submit_all(engine, answers);
    loop_until_done(engine);
    assert_as_expected();
    assert_int_equal(client_gauges(engine).restarts, 4);
    assert_int_equal(colrow_restart(engine), -1);
    assert_int_equal(colrow_error_class(), COLROW_ERROR_USAGE);
    colrow_close(engine);
    assert_no_children();
}

// A rank that does not move keeps nobody in a call; when it has been long enough, it is told.
static void no_call_waits_for_a_rank(void **state)
{
    (void)state;
    struct colrow_options options = client_options(toy.folder, 2);
    options.restarts = 0;
    struct colrow_engine *engine = begin(&options);
    loop_until_ready(engine);
    client_kill_rank(engine, 1, SIGSTOP);
    struct colrow_sampling sampling = client_sampling(50);
    client_submit(engine, "hello", &sampling, &answers[0]);
    for (int i = 0; i < 200; i++) // before the second look, 250 ms later
        assert_int_equal(colrow_advance(engine), 1);
    while (client_sleep_and_advance(engine) > 0)
        ;
    assert_int_equal(answers[0].finish, COLROW_FAILED);
    assert_non_null(strstr(answers[0].error, "stopped"));
    colrow_close(engine);
    assert_no_children();
}

static void hidden_states_stay_between_calls(void **state)
{
    (void)state;
    struct colrow_options options = client_options(toy.folder, 2);
    options.capture_hidden_states = 1;
    struct colrow_engine *engine = begin(&options);
    submit_all(engine, answers);
    loop_until_done(engine);
    assert_as_expected();
    int n_rows;
    size_t stride;
    assert_non_null(colrow_hidden_states(engine, &n_rows, &stride));
    colrow_close(engine);
}

static void closing_while_loading_leaves_nothing(void **state)
{
    (void)state;
    struct colrow_options options = client_options(toy.folder, 3);
    for (int i = 0; i < 3; i++) {
        struct colrow_engine *engine = begin(&options);
        if (i)
            submit_all(engine, answers);
        if (i == 2)
            colrow_advance(engine);
        colrow_close(engine);
        assert_no_children();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_same),
        cmocka_unit_test(steps_and_advances_mix),
        cmocka_unit_test(requests_ring),
        cmocka_unit_test(cancelling_leaves_the_others_alone),
        cmocka_unit_test(results_are_taken_in_slices),
        cmocka_unit_test(logits_are_handed_over_in_pieces),
        cmocka_unit_test(pieces_end_with_their_request),
        cmocka_unit_test(paused_requests_stand_still),
        cmocka_unit_test(paused_requests_can_end),
        cmocka_unit_test(loading_is_quiet),
        cmocka_unit_test(lost_ranks_start_again),
        cmocka_unit_test(no_call_waits_for_a_rank),
        cmocka_unit_test(hidden_states_stay_between_calls),
        cmocka_unit_test(closing_while_loading_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
