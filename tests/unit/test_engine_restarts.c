// What an engine whose ranks are lost does besides its requests: pages, idle ranks, statistics; and
// when it has restarted them often enough.
#include "processes.h"
#include "request_kinds.h"

#include "base/clock.h"
#include "engine/engine.h"

// ---- what there is besides requests ----

static void an_idle_engine_gets_new_ranks(void **state)
{
    (void)state;
    struct colrow_options options = options_for(2);
    struct colrow_engine *engine = client_open(&options);
    for (int round = 0; round < 4; round++) {
        int pid = client_rank_pid(engine, 1);
        client_kill_rank(engine, round % 2, SIGKILL);
        while (client_gauges(engine).restarts == round) {
            int alive = round < 2 ? colrow_step(engine) : client_sleep_and_advance(engine);
            assert_int_equal(alive, 0);
        }
        while (client_gauges(engine).state != COLROW_READY)
            assert_int_equal(client_sleep_and_advance(engine), 0);
        assert_int_not_equal(client_rank_pid(engine, 1), pid);
        assert_true(client_statistics(engine).last_recovery_seconds > 0);
        assert_int_equal(client_statistics(engine).replayed_tokens, 0);
    }
    submit_kind(engine, GREEDY, answers[GREEDY]);
    client_run(engine);
    assert_whole(GREEDY, answers[GREEDY], expected[GREEDY]);
    colrow_close(engine);
    assert_no_children();
}

// Ranks that were well do not count, however often they are lost.
static void idle_losses_do_not_add_up(void **state)
{
    (void)state;
    struct colrow_options options = options_for(2);
    options.restarts = 1;
    options.canary_interval = 0.05;
    struct colrow_engine *engine = client_open(&options);
    for (int round = 0; round < 4; round++) {
        while (!engine->recovery.ready_ns ||
               crew_done_ns(engine->crew) <= engine->recovery.ready_ns)
            assert_int_equal(client_sleep_and_advance(engine), 0);
        client_kill_rank(engine, 1, SIGKILL);
        while (client_gauges(engine).restarts == round)
            assert_int_equal(client_sleep_and_advance(engine), 0);
    }
    colrow_close(engine);
    assert_no_children();
}

static void requests_that_come_meanwhile_wait(void **state)
{
    (void)state;
    struct colrow_options options = options_for(2);
    struct colrow_engine *engine = client_open(&options);
    submit_kind(engine, GREEDY, answers[GREEDY]);
    while (answers[GREEDY]->n_ids < 5)
        assert_int_equal(client_sleep_and_advance(engine), 1);
    client_kill_rank(engine, 0, SIGKILL);
    while (client_gauges(engine).state == COLROW_READY)
        assert_int_equal(client_sleep_and_advance(engine), 1);
    assert_int_equal(client_gauges(engine).state, COLROW_LOADING);
    submit_kind(engine, SEEDED, answers[SEEDED]);
    submit_kind(engine, CANCELLED, answers[CANCELLED]);
    assert_int_equal(client_gauges(engine).waiting_sequences, 3);
    assert_int_equal(colrow_cancel(engine, answers[CANCELLED]->request), 0);
    assert_int_equal(colrow_advance(engine), 2);
    assert_int_equal(answers[CANCELLED]->finish, COLROW_CANCELLED);
    client_run(engine);
    assert_whole(GREEDY, answers[GREEDY], expected[GREEDY]);
    assert_whole(SEEDED, answers[SEEDED], expected[SEEDED]);
    colrow_close(engine);
}

static void pages_follow_what_the_next_ranks_have(void **state)
{
    (void)state;
    struct colrow_options options = options_for(2);
    options.kv_cache_memory = 160 << 20;
    struct colrow_engine *engine = client_open(&options);
    while (client_gauges(engine).kv_pages_usable < client_gauges(engine).kv_pages)
        assert_int_equal(client_sleep_and_advance(engine), 0);
    client_kill_rank(engine, 0, SIGKILL);
    while (client_gauges(engine).restarts == 0)
        assert_int_equal(client_sleep_and_advance(engine), 0);
    assert_true(client_gauges(engine).kv_pages_usable < client_gauges(engine).kv_pages);
    submit_kind(engine, LONG, answers[LONG]);
    client_run(engine);
    assert_whole(LONG, answers[LONG], expected[LONG]);
    while (client_gauges(engine).kv_pages_usable < client_gauges(engine).kv_pages)
        assert_int_equal(client_sleep_and_advance(engine), 0);
    colrow_close(engine);
}

static void hidden_states_go_with_the_ranks(void **state)
{
    (void)state;
    struct colrow_options options = options_for(2);
    options.capture_hidden_states = 1;
    struct colrow_engine *engine = client_open(&options);
    submit_kind(engine, GREEDY, answers[GREEDY]);
    int n_rows;
    size_t stride;
    assert_int_equal(colrow_step(engine), 1);
    assert_non_null(colrow_hidden_states(engine, &n_rows, &stride));
    client_kill_rank(engine, 1, SIGKILL);
    while (client_gauges(engine).restarts == 0 && client_gauges(engine).state == COLROW_READY)
        assert_int_equal(client_sleep_and_advance(engine), 1);
    assert_null(colrow_hidden_states(engine, &n_rows, &stride));
    client_run(engine);
    assert_non_null(colrow_hidden_states(engine, &n_rows, &stride));
    assert_whole(GREEDY, answers[GREEDY], expected[GREEDY]);
    colrow_close(engine);
}

// ---- when it is enough ----

static int kill_while_loading(struct colrow_engine *engine)
{
    int n = 0, alive; // generations that were killed
    while ((alive = client_sleep_and_advance(engine)) >= 0)
        if (client_gauges(engine).restarts > n && client_gauges(engine).state == COLROW_LOADING) {
            client_kill_rank(engine, 1, SIGKILL);
            n = client_gauges(engine).restarts;
        }
    return alive;
}

static void it_is_enough_after_so_many_restarts(void **state)
{
    (void)state;
    for (int restarts = 1; restarts <= 5; restarts += 2) {
        struct colrow_options options = options_for(2);
        options.restarts = restarts;
        struct colrow_engine *engine = client_open(&options);
        submit_kind(engine, GREEDY, answers[GREEDY]);
        while (answers[GREEDY]->n_ids < 5)
            assert_int_equal(client_sleep_and_advance(engine), 1);
        client_kill_rank(engine, 1, SIGKILL);
        double begun = clock_seconds();
        assert_int_equal(kill_while_loading(engine), -1);
        // 0.1, 0.2, 0.4 and 0.8 s before the second to the fifth
        double least = restarts == 5 ? 1.5 : restarts == 3 ? 0.3 : 0;
        double took = clock_seconds() - begun;
        assert_true(took >= least && took < patience(least + 2));
        assert_int_equal(client_gauges(engine).state, COLROW_BROKEN);
        assert_int_equal(client_statistics(engine).restarts, restarts);
        char sentence[64];
        snprintf(sentence, sizeof sentence, "started again %d time%s without one step", restarts,
                 restarts == 1 ? "" : "s");
        assert_non_null(strstr(colrow_error(), sentence));
        assert_non_null(strstr(colrow_error(), "rank 1 (pid"));
        assert_int_equal(answers[GREEDY]->finish, COLROW_FAILED);
        assert_int_equal(answers[GREEDY]->error_class, COLROW_ERROR_GROUP_LOST);
        assert_string_equal(answers[GREEDY]->error, colrow_error());
        assert_int_equal(colrow_restart(engine), 0); // somebody has put things right
        submit_kind(engine, GREEDY, answers[GREEDY]);
        client_run(engine);
        assert_whole(GREEDY, answers[GREEDY], expected[GREEDY]);
        colrow_close(engine);
        assert_no_children();
    }
}

static void no_restarts_when_there_are_to_be_none(void **state)
{
    (void)state;
    struct colrow_options options = options_for(2);
    options.restarts = 0;
    struct colrow_engine *engine = client_open(&options);
    submit_kind(engine, GREEDY, answers[GREEDY]);
    assert_int_equal(colrow_step(engine), 1);
    client_kill_rank(engine, 1, SIGKILL);
    int alive;
    while ((alive = client_sleep_and_advance(engine)) > 0)
        ;
    assert_int_equal(alive, -1);
    assert_int_equal(answers[GREEDY]->finish, COLROW_FAILED);
    assert_non_null(strstr(colrow_error(), "the group was ended"));
    assert_null(strstr(colrow_error(), "again"));
    colrow_close(engine);
    options.restarts = -1;
    assert_int_equal(colrow_open(&options, &engine), -1);
    assert_non_null(strstr(colrow_error(), "restarts is -1"));
}

// What is wrong with a model will be wrong again.
static void ranks_that_never_loaded_do_not_start_again(void **state)
{
    (void)state;
    struct colrow_options options = options_for(2);
    struct colrow_engine *engine = NULL;
    assert_int_equal(colrow_open_begin(&options, &engine), 0);
    submit_kind(engine, GREEDY, answers[GREEDY]);
    client_kill_rank(engine, 0, SIGKILL);
    int alive;
    while ((alive = client_sleep_and_advance(engine)) > 0)
        ;
    assert_int_equal(alive, -1);
    assert_int_equal(answers[GREEDY]->finish, COLROW_FAILED);
    assert_int_equal(client_statistics(engine).restarts, 0);
    colrow_close(engine);
    assert_no_children();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_engine_gets_new_ranks),
        cmocka_unit_test(idle_losses_do_not_add_up),
        cmocka_unit_test(requests_that_come_meanwhile_wait),
        cmocka_unit_test(pages_follow_what_the_next_ranks_have),
        cmocka_unit_test(hidden_states_go_with_the_ranks),
        cmocka_unit_test(it_is_enough_after_so_many_restarts),
        cmocka_unit_test(no_restarts_when_there_are_to_be_none),
        cmocka_unit_test(ranks_that_never_loaded_do_not_start_again),
    };
    return cmocka_run_group_tests(tests, kinds_set_up, kinds_tear_down);
}
