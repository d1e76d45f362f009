// When a step is late: by what steps of its size took, and only by time in which somebody looked.
#include "testing.h"

#include "base/clock.h"
#include "engine/step_watch.h"

enum { MS = 1000000 };

static const struct step_sequence *rows_at(int32_t n, int64_t position)
{
    static struct step_sequence sequence;
    sequence = (struct step_sequence){.n_tokens = n, .position = position};
    return &sequence;
}

static void begin(struct step_watch *watch, int32_t n_rows, int64_t position)
{
    const struct step step = {
        .n_rows = n_rows, .n_sequences = 1, .sequences = rows_at(n_rows, position)};
    step_watch_begin(watch, &step);
}

// Steps that took `ms`, without waiting: the watch has been looked at meanwhile.
static void do_steps(struct step_watch *watch, int n, int32_t n_rows, int64_t ms)
{
    for (int i = 0; i < n; i++) {
        begin(watch, n_rows, 0);
        watch->looked_ns -= 200 * MS;
        watch->seen_ns = ms * MS;
        step_watch_end(watch, ms * MS);
    }
}

static int64_t limit_ms(struct step_watch *watch, int32_t n_rows, int64_t position)
{
    begin(watch, n_rows, position);
    int64_t limit = step_watch_limit_ns(watch);
    return limit == INT64_MAX ? -1 : limit / MS;
}

static struct step_watch watch;

static void first_steps_have_no_limit(void **state)
{
    (void)state;
    step_watch_init(&watch, 0);
    assert_int_equal(limit_ms(&watch, 1, 0), -1);
    do_steps(&watch, 8, 1, 100);
    assert_int_equal(limit_ms(&watch, 1, 0), -1); // the first of all are cold, eight are enough
    do_steps(&watch, 3, 1, 100);
    assert_int_equal(limit_ms(&watch, 1, 0), 2000);
}

static void sizes_are_judged_by_their_own(void **state)
{
    (void)state;
    step_watch_init(&watch, 0);
    do_steps(&watch, 40, 1, 10);
    assert_int_equal(limit_ms(&watch, 1, 0), 1000); // never less
    // nothing is known of 1024 rows: they may take 1024 times what one takes
    assert_int_equal(limit_ms(&watch, 1024, 0), 1024 * 10 * 20);
    do_steps(&watch, 40, 1024, 700);
    assert_int_equal(limit_ms(&watch, 1024, 0), 14000);
    assert_int_equal(limit_ms(&watch, 1, 0), 1000);
    // one row that attends to a million positions is not one that attends to none
    assert_int_equal(limit_ms(&watch, 1, 1 << 20), 14000);
    // fewer rows than any step known, after a start that only had prompts
    step_watch_init(&watch, 0);
    do_steps(&watch, 40, 512, 400);
    assert_int_equal(limit_ms(&watch, 2, 0), 8000);
}

static void one_outlier_in_a_hundred_counts_for_nothing(void **state)
{
    (void)state;
    step_watch_init(&watch, 0);
    do_steps(&watch, 20, 1, 100);
    do_steps(&watch, 1, 1, 900);
    assert_int_equal(limit_ms(&watch, 1, 0), 18000); // of few, the longest
    do_steps(&watch, 100, 1, 100);
    assert_int_equal(limit_ms(&watch, 1, 0), 2000);
    do_steps(&watch, 2, 1, 900);
    assert_int_equal(limit_ms(&watch, 1, 0), 18000);
    do_steps(&watch, 128, 1, 100); // what is long ago is forgotten
    assert_int_equal(limit_ms(&watch, 1, 0), 2000);
}

static void new_ranks_begin_slowly(void **state)
{
    (void)state;
    step_watch_init(&watch, 0);
    do_steps(&watch, 40, 1, 100);
    step_watch_renew(&watch);
    assert_int_equal(limit_ms(&watch, 1, 0), 10000);
    do_steps(&watch, 3, 1, 5000);
    assert_int_equal(limit_ms(&watch, 1, 0), 10000); // and teach nothing
    do_steps(&watch, 1, 1, 100);
    assert_int_equal(limit_ms(&watch, 1, 0), 2000);
}

static void somebody_says_how_long(void **state)
{
    (void)state;
    step_watch_init(&watch, 2.5);
    assert_int_equal(limit_ms(&watch, 1, 0), 2500);
    do_steps(&watch, 40, 1, 1000);
    assert_int_equal(limit_ms(&watch, 1, 0), 2500);
    step_watch_begin(&watch, NULL);
    assert_int_equal(step_watch_limit_ns(&watch) / MS, 2500);
    step_watch_init(&watch, 0);
    step_watch_begin(&watch, NULL); // a canary
    assert_int_equal(step_watch_limit_ns(&watch) / MS, 5000);
}

static void only_time_that_was_looked_at_counts(void **state)
{
    (void)state;
    step_watch_init(&watch, 0);
    do_steps(&watch, 40, 1, 10);
    begin(&watch, 1, 0);
    int64_t now = clock_ns();
    assert_false(step_watch_look(&watch, now + 3600000LL * MS)); // an hour of suspension
    now += 3600000LL * MS;
    assert_false(step_watch_look(&watch, now += 100 * MS));
    int looks = 0;
    while (!step_watch_look(&watch, now += 100 * MS))
        assert_true(++looks < 20);
    assert_in_range(looks, 5, 8); // 300 ms for the hour, then ten a second
    // the step ends: that it took an hour is not believed
    step_watch_end(&watch, 3600000LL * MS);
    assert_int_equal(limit_ms(&watch, 1, 0), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_steps_have_no_limit),
        cmocka_unit_test(sizes_are_judged_by_their_own),
        cmocka_unit_test(one_outlier_in_a_hundred_counts_for_nothing),
        cmocka_unit_test(new_ranks_begin_slowly),
        cmocka_unit_test(somebody_says_how_long),
        cmocka_unit_test(only_time_that_was_looked_at_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
