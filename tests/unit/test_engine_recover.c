// Ranks die, stop and are late at every moment; answers come as if nothing had been, each part of
// them once.
#include "processes.h"
#include "request_kinds.h"

#include "base/clock.h"
#include "engine/engine.h"

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
    if (client_gauges(engine).state != COLROW_READY)
        return false;
    switch (d->moment) {
    case TAKING_RESULTS:
        return engine->taking && engine->n_taken > 0;
    case HANDING_LOGITS:
        return engine->handing && expected[PROMPT_LOGITS]->n_prompt_logits > 2;
    default:
        return engine_in_flight(engine) && !engine->taking;
    }
}

static void disturb(struct colrow_engine *engine, struct disturbance *d)
{
    // Never one twice in a row: a request that is met by the same again and again, and gets no
    // further meanwhile on a slow machine, would rightly be taken for its cause.
    static const int signals[] = {SIGKILL, CRASH_SIGNAL, SIGABRT, SIGTERM};
    int n_ranks = engine->plan->n_ranks, victim = random_below(d, n_ranks);
    struct colrow_gauges gauges = client_gauges(engine);
    if (d->again && gauges.restarts > d->n_restarts) { // the ranks after those that were killed
        client_kill_rank(engine, victim, signals[d->n_left % 2 * 2]);
        d->again = false;
        return;
    }
    uint64_t steps = client_statistics(engine).steps;
    bool noticed = d->n_left == d->n_kills || gauges.restarts > d->n_restarts;
    if (d->n_left == 0 || !noticed || steps < d->steps + (uint64_t)d->gap ||
        !is_the_moment(engine, d))
        return;
    int signal = d->moment == STOPPED_IN_A_STEP ? SIGSTOP : signals[d->n_left % 2 * 2 + 1];
    for (int r = 0; r < n_ranks; r++)
        if (r == victim || d->moment == ALL_AT_ONCE)
            client_kill_rank(engine, r, signal);
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
    struct colrow_gauges gauges = client_gauges(engine);
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
                                                         : client_sleep_and_advance(engine);
        take_polled(engine, answers);
        if (alive < 0)
            print_error("%s\n", colrow_error());
        assert_true(alive >= 0 && i < 100000);
    }
    assert_all_whole();
    struct colrow_gauges gauges = client_gauges(engine);
    struct colrow_statistics statistics = client_statistics(engine);
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
    assert_true(client_statistics(engine).restarts >= 2);
    client_forget(answers[PROMPT_LOGITS]);
    colrow_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_request_is_lost),
        cmocka_unit_test(whatever_is_cached),
        cmocka_unit_test(a_stopped_rank_is_replaced),
        cmocka_unit_test(a_rank_may_fail_inside),
    };
    return cmocka_run_group_tests(tests, kinds_set_up, kinds_tear_down);
}
