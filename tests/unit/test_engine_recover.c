// Ranks die, stop and are late at every moment; answers come as if nothing had been, each part of
// them once.
#include "engine_client.h"
#include "toy_llama.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "engine/engine.h"

// AddressSanitizer catches SIGSEGV and ends the program in its own way.
#ifdef COLROW_SANITIZED
enum { CRASH_SIGNAL = SIGABRT };
#else
enum { CRASH_SIGNAL = SIGSEGV };
#endif

enum { PAGE = 64, SEVERAL = 3, LONG_PROMPT = 300 };
static const int64_t page_bytes =
    (int64_t)PAGE * 2 * 2 * TOY_LAYERS * (TOY_HIDDEN / TOY_HEADS) * TOY_KV_HEADS;

// One request of each kind.
enum kind {
    GREEDY,
    SEEDED,
    UNSEEDED,
    OF_SEVERAL,
    PENALIZED,
    WITH_LOGPROBS,
    STOPPED,
    PROMPT_LOGITS,
    LONG,
    LONG_POLLED,
    PAUSED,
    CANCELLED,
    KINDS
};
static struct answer expected[KINDS][SEVERAL], answers[KINDS][SEVERAL];
static char long_prompt[LONG_PROMPT + 1];
static char stops[2][8]; // the first one is seen half before the second one ends the answer

static struct colrow_sampling sampling_of(enum kind kind)
{
    static const char *const texts[] = {stops[0], stops[1]};
    struct colrow_sampling s = client_sampling(50 + 3 * (int)kind);
    s.ignore_eos = 1;
    s.has_seed = kind != UNSEEDED;
    s.seed = (uint64_t)kind;
    s.temperature = kind == GREEDY || kind == STOPPED || kind == LONG ? 0 : 0.9;
    s.n = kind == OF_SEVERAL ? SEVERAL : 1;
    if (kind == PENALIZED) {
        s.repetition_penalty = 1.2;
        s.presence_penalty = 0.3;
        s.frequency_penalty = 0.4;
    }
    if (kind == WITH_LOGPROBS)
        s.logprobs = 3;
    if (kind == STOPPED && stops[1][0]) {
        s.stop = texts;
        s.n_stop = 2;
    }
    s.prompt_logits = kind == PROMPT_LOGITS;
    return s;
}

static void submit_kind(struct colrow_engine *engine, enum kind kind, struct answer *to)
{
    struct colrow_sampling sampling = sampling_of(kind);
    struct colrow_prompt prompt = {.text = "hello"};
    if (kind >= PROMPT_LOGITS && kind <= LONG_POLLED)
        prompt.text = long_prompt + (kind == PROMPT_LOGITS ? 220 : 0);
    colrow_callback callback = kind == LONG_POLLED ? NULL : client_collect;
    memset(to, 0, SEVERAL * sizeof *to);
    assert_int_equal(colrow_submit(engine, &prompt, &sampling, callback, to, &to->request), 0);
}

static void submit_all(struct colrow_engine *engine, struct answer to[KINDS][SEVERAL])
{
    for (int kind = 0; kind < KINDS; kind++)
        submit_kind(engine, (enum kind)kind, to[kind]);
}

static void take_polled(struct colrow_engine *engine, struct answer to[KINDS][SEVERAL])
{
    struct colrow_output output;
    while (colrow_poll(engine, 0, &output) == 1)
        client_collect(to[LONG_POLLED], &output);
}

static struct colrow_options options_for(int tp)
{
    struct colrow_options options = client_options(toy.folder, tp);
    options.max_num_batched_tokens = 24;
    options.max_num_seqs = 6; // the rest waits
    options.prompt_logits = 1;
    return options;
}

// Stops that the greedy answer has: half of one at two thirds of it, the other whole after that.
static void choose_stops(const struct answer *greedy)
{
    size_t at = greedy->length * 2 / 3;
    memcpy(stops[0], greedy->text + at, 3);
    stops[0][3] = '\x01';
    memcpy(stops[1], greedy->text + at + 3, 5);
}

static int set_up(void **state)
{
    (void)state;
    toy_llama_new(&toy);
    for (int i = 0; i < LONG_PROMPT; i++)
        long_prompt[i] = (char)('a' + i * 7 % 26);
    for (int round = 0; round < 2; round++) { // the second one with stops
        struct colrow_options options = options_for(1);
        struct colrow_engine *engine = client_open(&options);
        submit_all(engine, expected);
        client_run(engine);
        take_polled(engine, expected);
        colrow_close(engine);
        if (round == 0) {
            choose_stops(expected[STOPPED]);
            client_forget(expected[PROMPT_LOGITS]);
        }
    }
    assert_int_equal(expected[STOPPED]->finish, COLROW_STOP);
    assert_string_equal(expected[STOPPED]->reason, stops[1]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_forget(expected[PROMPT_LOGITS]);
    toy_llama_free(&toy);
    return 0;
}

static void assert_no_children(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static struct colrow_gauges gauges_of(const struct colrow_engine *engine)
{
    struct colrow_gauges gauges;
    colrow_get_gauges(engine, &gauges);
    return gauges;
}

static struct colrow_statistics statistics_of(const struct colrow_engine *engine)
{
    struct colrow_statistics statistics;
    colrow_get_statistics(engine, &statistics);
    return statistics;
}

static int pid_of(const struct colrow_engine *engine, int rank)
{
    struct colrow_rank_statistics statistics;
    assert_int_equal(colrow_get_rank_statistics(engine, rank, &statistics), 0);
    return statistics.pid;
}

static void kill_one(struct colrow_engine *engine, int rank, int signal)
{
    int pid = pid_of(engine, rank);
    assert_true(pid > 0);
    assert_int_equal(kill(pid, signal), 0);
}

static int sleep_and_advance(struct colrow_engine *engine)
{
    struct pollfd event = {.fd = colrow_fd(engine), .events = POLLIN};
    assert_int_equal(poll(&event, 1, 20000), 1);
    return colrow_advance(engine);
}

static void assert_whole(enum kind kind, const struct answer *answer, const struct answer *want)
{
    assert_int_equal(answer->n_ends, 1);
    if (answer->finish == COLROW_FAILED)
        print_error("kind %d failed: %s\n", (int)kind, answer->error);
    assert_answers_equal(answer, want);
    assert_string_equal(answer->reason, want->reason);
    assert_int_equal(answer->n_logprobs, want->n_logprobs);
    assert_memory_equal(answer->logprobs, want->logprobs,
                        (size_t)want->n_ids * sizeof want->logprobs[0]);
    assert_int_equal(answer->n_prompt_logits, want->n_prompt_logits);
    if (want->n_prompt_logits)
        assert_memory_equal(answer->prompt_logits, want->prompt_logits,
                            (size_t)want->n_prompt_logits * TOY_VOCAB * sizeof(float));
}

static void assert_all_whole(void)
{
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < sampling_of((enum kind)kind).n; i++) {
            const struct answer *answer = &answers[kind][i], *want = &expected[kind][i];
            if (kind != CANCELLED) {
                assert_whole((enum kind)kind, answer, want);
                continue;
            }
            assert_int_equal(answer->finish, COLROW_CANCELLED);
            assert_int_equal(answer->n_ends, 1);
            assert_true(answer->n_ids < want->n_ids);
            assert_memory_equal(answer->ids, want->ids, (size_t)answer->n_ids * sizeof(int32_t));
            assert_memory_equal(answer->text, want->text, answer->length);
        }
    client_forget(answers[PROMPT_LOGITS]);
}

// ---- disturbances ----

enum moment {
    IN_A_STEP,
    TAKING_RESULTS,   // of which some are with their users
    HANDING_LOGITS,   // of prompt tokens, of which some are with their users
    LOADING_AGAIN,    // in a step, and once more while the next ranks load
    ALL_AT_ONCE,      // every rank
    MOMENTS_IN_A_ROW, // ... of those above
    STOPPED_IN_A_STEP = MOMENTS_IN_A_ROW,
};

struct disturbance {
    enum moment moment;
    int n_kills, n_left;
    int gap; // steps since the last one
    uint64_t steps;
    bool again;     // the next ranks are to die while they load
    int n_restarts; // before them
    uint32_t random;
};

static int random_below(struct disturbance *d, int n)
{
    d->random = d->random * 1664525u + 1013904223u;
    return (int)(d->random >> 8) % n;
}

static bool is_the_moment(const struct colrow_engine *engine, const struct disturbance *d)
{
    if (gauges_of(engine).state != COLROW_READY)
        return false;
    switch (d->moment) {
    case TAKING_RESULTS:
        return engine->taking && engine->n_taken > 0;
    case HANDING_LOGITS:
        return engine->handing && expected[PROMPT_LOGITS]->n_prompt_logits > 2;
    default:
        return engine->in_flight && !engine->taking;
    }
}

static void disturb(struct colrow_engine *engine, struct disturbance *d)
{
    // Never one twice in a row: a request that is met by the same again and again, and gets no
    // further meanwhile on a slow machine, would rightly be taken for its cause.
    static const int signals[] = {SIGKILL, CRASH_SIGNAL, SIGABRT, SIGTERM};
    int n_ranks = engine->plan->n_ranks, victim = random_below(d, n_ranks);
    struct colrow_gauges gauges = gauges_of(engine);
    if (d->again && gauges.restarts > d->n_restarts) { // the ranks after those that were killed
        kill_one(engine, victim, signals[d->n_left % 2 * 2]);
        d->again = false;
        return;
    }
    uint64_t steps = statistics_of(engine).steps;
    bool noticed = d->n_left == d->n_kills || gauges.restarts > d->n_restarts;
    if (d->n_left == 0 || !noticed || steps < d->steps + (uint64_t)d->gap ||
        !is_the_moment(engine, d))
        return;
    int signal = d->moment == STOPPED_IN_A_STEP ? SIGSTOP : signals[d->n_left % 2 * 2 + 1];
    for (int r = 0; r < n_ranks; r++)
        if (r == victim || d->moment == ALL_AT_ONCE)
            kill_one(engine, r, signal);
    d->n_left--;
    d->steps = steps;
    d->gap = 1 + random_below(d, 12);
    d->again = d->moment == LOADING_AGAIN;
    d->n_restarts = gauges.restarts;
}

// What its user does to a request meanwhile.
static void use(struct colrow_engine *engine)
{
    struct answer *paused = answers[PAUSED], *cancelled = answers[CANCELLED];
    struct colrow_gauges gauges = gauges_of(engine);
    if (paused->n_ids >= 10 && !paused->n_ends && gauges.requests > 1)
        assert_int_equal(colrow_pause(engine, paused->request), 0);
    else if (gauges.paused_sequences > 0)
        assert_int_equal(colrow_resume(engine, paused->request), 0);
    if (cancelled->n_ids >= 10 && !cancelled->n_ends)
        assert_int_equal(colrow_cancel(engine, cancelled->request), 0);
}

static void run_disturbed(const struct colrow_options *options, struct disturbance d)
{
    struct colrow_engine *engine = client_open(options);
    if (d.moment == TAKING_RESULTS || d.moment == HANDING_LOGITS)
        engine->slice_ns = 0;
    if (d.moment == HANDING_LOGITS)
        engine->piece_bytes = 1;
    d.n_left = d.n_kills;
    submit_all(engine, answers);
    for (int i = 0, alive = KINDS; alive > 0; i++) {
        use(engine);
        disturb(engine, &d);
        alive = i % 7 == 3 && d.moment != HANDING_LOGITS ? colrow_step(engine)
                                                         : sleep_and_advance(engine);
        take_polled(engine, answers);
        if (alive < 0)
            print_error("%s\n", colrow_error());
        assert_true(alive >= 0 && i < 100000);
    }
    assert_all_whole();
    struct colrow_gauges gauges = gauges_of(engine);
    struct colrow_statistics statistics = statistics_of(engine);
    assert_int_equal(d.n_left, 0);
    assert_int_equal(gauges.requests + gauges.running_sequences + gauges.waiting_sequences, 0);
    assert_int_equal(gauges.kv_pages_used, 0);
    assert_int_equal(statistics.restarts, gauges.restarts);
    assert_true(statistics.restarts + 1 >= (uint64_t)d.n_kills); // the last one may come too late
    assert_true(statistics.replayed_tokens > 0 || d.moment == HANDING_LOGITS);
    assert_true(statistics.last_recovery_seconds >= statistics.last_recovery_load_seconds);
    assert_true(statistics.recovery_seconds >= statistics.last_recovery_seconds);
    colrow_close(engine);
    assert_no_children();
}

// ---- every request, at every moment ----

static void no_request_is_lost(void **state)
{
    (void)state;
    for (int tp = 1; tp <= 3; tp++)
        for (int moment = 0; moment < MOMENTS_IN_A_ROW; moment++) {
            struct colrow_options options = options_for(tp);
            run_disturbed(&options,
                          (struct disturbance){.moment = (enum moment)moment,
                                               .n_kills = moment == HANDING_LOGITS ? 1 : 5,
                                               .random = (uint32_t)(10 * tp + moment)});
        }
}

// Without a prefix cache; with one and pages so few that sequences push each other out, to host
// memory or to be computed again.
static void whatever_is_cached(void **state)
{
    (void)state;
    for (int tp = 1; tp <= 3; tp++)
        for (int variant = 0; variant < 4; variant++) {
            struct colrow_options options = options_for(tp);
            options.enable_prefix_caching = variant != 0;
            options.kv_cache_memory = variant == 1 ? 64 << 20 : 12 * page_bytes;
            if (variant == 3)
                options.kv_offloading_size = 60.5 * (double)page_bytes / (double)(1 << 30);
            run_disturbed(&options,
                          (struct disturbance){.moment = variant % 2 ? IN_A_STEP : LOADING_AGAIN,
                                               .n_kills = 4,
                                               .random = (uint32_t)(tp + 7 * variant)});
        }
}

static void a_stopped_rank_is_replaced(void **state)
{
    (void)state;
    for (int tp = 1; tp <= 3; tp += 2) {
        struct colrow_options options = options_for(tp);
        run_disturbed(&options, (struct disturbance){STOPPED_IN_A_STEP, .n_kills = 2, .gap = 5});
    }
}

// One that never comes to its collective.
static void a_rank_may_fail_inside(void **state)
{
    (void)state;
    struct colrow_options options = options_for(2);
    setenv("COLROW_FAIL_COLLECTIVE", "1:600", 1); // of every generation
    struct colrow_engine *engine = client_open(&options);
    for (int kind = 0; kind < CANCELLED; kind++)
        submit_kind(engine, (enum kind)kind, answers[kind]);
    client_run(engine);
    unsetenv("COLROW_FAIL_COLLECTIVE");
    take_polled(engine, answers);
    for (int kind = 0; kind < CANCELLED; kind++)
        assert_whole((enum kind)kind, answers[kind], expected[kind]);
    assert_true(statistics_of(engine).restarts >= 2);
    client_forget(answers[PROMPT_LOGITS]);
    colrow_close(engine);
}

// ---- what there is besides requests ----

static void an_idle_engine_gets_new_ranks(void **state)
{
    (void)state;
    struct colrow_options options = options_for(2);
    struct colrow_engine *engine = client_open(&options);
    for (int round = 0; round < 4; round++) {
        int pid = pid_of(engine, 1);
        kill_one(engine, round % 2, SIGKILL);
        while (gauges_of(engine).restarts == round) {
            int alive = round < 2 ? colrow_step(engine) : sleep_and_advance(engine);
            assert_int_equal(alive, 0);
        }
        while (gauges_of(engine).state != COLROW_READY)
            assert_int_equal(sleep_and_advance(engine), 0);
        assert_int_not_equal(pid_of(engine, 1), pid);
        assert_true(statistics_of(engine).last_recovery_seconds > 0);
        assert_int_equal(statistics_of(engine).replayed_tokens, 0);
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
            assert_int_equal(sleep_and_advance(engine), 0);
        kill_one(engine, 1, SIGKILL);
        while (gauges_of(engine).restarts == round)
            assert_int_equal(sleep_and_advance(engine), 0);
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
        assert_int_equal(sleep_and_advance(engine), 1);
    kill_one(engine, 0, SIGKILL);
    while (gauges_of(engine).state == COLROW_READY)
        assert_int_equal(sleep_and_advance(engine), 1);
    assert_int_equal(gauges_of(engine).state, COLROW_LOADING);
    submit_kind(engine, SEEDED, answers[SEEDED]);
    submit_kind(engine, CANCELLED, answers[CANCELLED]);
    assert_int_equal(gauges_of(engine).waiting_sequences, 3);
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
    while (gauges_of(engine).kv_pages_usable < gauges_of(engine).kv_pages)
        assert_int_equal(sleep_and_advance(engine), 0);
    kill_one(engine, 0, SIGKILL);
    while (gauges_of(engine).restarts == 0)
        assert_int_equal(sleep_and_advance(engine), 0);
    assert_true(gauges_of(engine).kv_pages_usable < gauges_of(engine).kv_pages);
    submit_kind(engine, LONG, answers[LONG]);
    client_run(engine);
    assert_whole(LONG, answers[LONG], expected[LONG]);
    while (gauges_of(engine).kv_pages_usable < gauges_of(engine).kv_pages)
        assert_int_equal(sleep_and_advance(engine), 0);
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
    kill_one(engine, 1, SIGKILL);
    while (gauges_of(engine).restarts == 0 && gauges_of(engine).state == COLROW_READY)
        assert_int_equal(sleep_and_advance(engine), 1);
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
    while ((alive = sleep_and_advance(engine)) >= 0)
        if (gauges_of(engine).restarts > n && gauges_of(engine).state == COLROW_LOADING) {
            kill_one(engine, 1, SIGKILL);
            n = gauges_of(engine).restarts;
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
            assert_int_equal(sleep_and_advance(engine), 1);
        kill_one(engine, 1, SIGKILL);
        double begun = clock_seconds();
        assert_int_equal(kill_while_loading(engine), -1);
        // 0.1, 0.2, 0.4 and 0.8 s before the second to the fifth
        double least = restarts == 5 ? 1.5 : restarts == 3 ? 0.3 : 0;
        double took = clock_seconds() - begun;
        assert_true(took >= least && took < patience(least + 2));
        assert_int_equal(gauges_of(engine).state, COLROW_BROKEN);
        assert_int_equal(statistics_of(engine).restarts, restarts);
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
    kill_one(engine, 1, SIGKILL);
    int alive;
    while ((alive = sleep_and_advance(engine)) > 0)
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
    kill_one(engine, 0, SIGKILL);
    int alive;
    while ((alive = sleep_and_advance(engine)) > 0)
        ;
    assert_int_equal(alive, -1);
    assert_int_equal(answers[GREEDY]->finish, COLROW_FAILED);
    assert_int_equal(statistics_of(engine).restarts, 0);
    colrow_close(engine);
    assert_no_children();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_request_is_lost),
        cmocka_unit_test(whatever_is_cached),
        cmocka_unit_test(a_stopped_rank_is_replaced),
        cmocka_unit_test(a_rank_may_fail_inside),
        cmocka_unit_test(an_idle_engine_gets_new_ranks),
        cmocka_unit_test(idle_losses_do_not_add_up),
        cmocka_unit_test(requests_that_come_meanwhile_wait),
        cmocka_unit_test(pages_follow_what_the_next_ranks_have),
        cmocka_unit_test(hidden_states_go_with_the_ranks),
        cmocka_unit_test(it_is_enough_after_so_many_restarts),
        cmocka_unit_test(no_restarts_when_there_are_to_be_none),
        cmocka_unit_test(ranks_that_never_loaded_do_not_start_again),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
