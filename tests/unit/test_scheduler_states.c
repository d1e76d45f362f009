// Layers with a state: it follows every token once, whatever is preempted, shared or paused, and
// where the prefix cache knows one a sequence goes on from there.
#include "scheduler_model.h"

static struct kv_layout layout_of(int groups, int64_t window, int32_t state_pages, int32_t interval)
{
    return (struct kv_layout){.n_groups = groups,
                              .windows = {0, window},
                              .state_pages = state_pages,
                              .state_interval = interval};
}

static void a_sequence_holds_what_is_promised(void **state)
{
    (void)state;
    enum { TOKENS = 3000, ROWS = 100 };
    for (int interval = 64; interval <= 256; interval += 64) {
        const struct kv_layout kv = layout_of(1, 0, 3, interval);
        int64_t most = kv_pages_of_sequence(&kv, TOKENS, ROWS);
        assert_int_equal(most, 47 + 3 * ((ROWS + interval - 1) / interval + 1));
        struct fixture f;
        fixture_init(&f, (int)most, (struct scheduler_limits){4, ROWS, 4, 1});
        fixture_group(&f, &kv);
        add(&f, 2900, 100, false);
        run(&f);
        assert_int_equal(f.scheduler.preemptions, 0);
        assert_int_equal(f.n_rows, 2999);
        fixture_fini(&f);
    }
}

static void pressure_gives_the_same_tokens(void **state)
{
    (void)state;
    uint64_t hits = 0, preemptions = 0, loads = 0;
    for (int states = 1; states <= 3; states++)
        for (int interval = 64; interval <= 128; interval += 64)
            for (int n_pages = 24; n_pages < 60; n_pages += 6)
                for (int common = 60; common <= 260; common += 100)
                    for (int way = 0; way <= 3; way++) {
                        const struct kv_layout kv =
                            layout_of(1 + n_pages / 6 % 2, 100, states, interval);
                        struct fixture f;
                        fixture_init(&f, n_pages, (struct scheduler_limits){4, 90, 8, 1});
                        f.n_host = way == 3 ? 20 : 0;
                        if (way > 0)
                            fixture_share(&f, way > 1, common);
                        else
                            f.n_common = common;
                        fixture_group(&f, &kv);
                        add_prompts(&f, false);
                        run(&f);
                        add_prompts(&f, true);
                        run(&f);
                        hits += f.scheduler.prefix_hits;
                        preemptions += f.scheduler.preemptions;
                        loads += f.scheduler.host_loads;
                        fixture_fini(&f);
                    }
    print_message("%d tokens found, %d preemptions, %d pages back from host memory\n", (int)hits,
                  (int)preemptions, (int)loads);
    assert_true(hits > 10000 && preemptions > 50 && loads > 100);
}

// Of a known prefix so much is of use as lies before a state that is known; decoding leaves states
// as prompts do.
static void a_second_turn_goes_on_from_a_state(void **state)
{
    (void)state;
    const struct kv_layout kv = layout_of(1, 0, 2, 256);
    struct fixture f;
    fixture_init(&f, 100, (struct scheduler_limits){1, 64, 1, 1});
    fixture_share(&f, true, 0);
    fixture_group(&f, &kv);
    struct sequence *first = add(&f, 700, 100, false);
    run(&f);
    struct sequence *second = add(&f, 900, 10, false), *third;
    memcpy(second->tokens, first->tokens, 800 * sizeof *first->tokens);
    run(&f);
    assert_int_equal(second->n_cached, 768);
    third = add(&f, 600, 10, false);
    memcpy(third->tokens, first->tokens, 600 * sizeof *first->tokens);
    run(&f);
    assert_int_equal(third->n_cached, 512);
    fixture_fini(&f);
}

// Several steps under way: chunks of a prompt follow each other through its states.
static void stages_change_no_token(void **state)
{
    (void)state;
    for (int n_pages = 30; n_pages < 60; n_pages += 7) {
        const struct kv_layout kv = layout_of(1, 0, 2, 128);
        struct fixture f;
        fixture_init(&f, n_pages, (struct scheduler_limits){4, 90, 8, 3});
        fixture_share(&f, true, 150);
        fixture_group(&f, &kv);
        for (int i = 0; i < 12; i++)
            add(&f, 20 + 40 * i, 60, i % 5 == 4);
        while (f.n_over < f.n_sequences) {
            while (scheduler_has_room(&f.scheduler) && scheduler_plan(&f.scheduler) > 0)
                post_step(&f);
            assert_true(f.scheduler.n_under_way > 0);
            take_step(&f);
        }
        fixture_fini(&f);
    }
}

static void pausing_changes_no_token(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 40; seed++) {
        const struct kv_layout kv = layout_of(1, 0, 1 + (int32_t)seed % 3, 128);
        struct fixture f;
        fixture_init(&f, 30, (struct scheduler_limits){3, 90, 8, 1});
        fixture_share(&f, seed % 2, 150);
        fixture_group(&f, &kv);
        for (int i = 0; i < 8; i++)
            add(&f, 30 + 25 * i, 90, false);
        run_with_pauses(&f, seed);
        fixture_fini(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sequence_holds_what_is_promised),
        cmocka_unit_test(pressure_gives_the_same_tokens),
        cmocka_unit_test(a_second_turn_goes_on_from_a_state),
        cmocka_unit_test(stages_change_no_token),
        cmocka_unit_test(pausing_changes_no_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
