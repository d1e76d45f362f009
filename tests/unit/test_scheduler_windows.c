// Layers in groups: those with a window give back what it has left behind, and what sequences then
// find of each other is still right.
#include "scheduler_model.h"

static struct kv_layout layout_of(int64_t a, int64_t b, int64_t c)
{
    return (struct kv_layout){.n_groups = 3, .windows = {a, b, c}};
}

static void long_sequences_hold_their_windows(void **state)
{
    (void)state;
    enum { TOKENS = 3000, ROWS = 100, WINDOW = 200 };
    const struct kv_layout kv = layout_of(0, WINDOW, WINDOW);
    int64_t most = kv_pages_of_sequence(&kv, TOKENS, ROWS);
    assert_int_equal(most, 47 + 2 * (5 + 1));
    struct fixture f;
    fixture_init(&f, (int)most, (struct scheduler_limits){4, ROWS, 4, 1});
    fixture_group(&f, &kv);
    add(&f, 2900, 100, false);
    run(&f);
    assert_int_equal(f.scheduler.preemptions, 0);
    assert_int_equal(f.n_rows, 2999);
    fixture_fini(&f);
}

static void tokens_of_pages_is_the_inverse(void **state)
{
    (void)state;
    for (int64_t window = 0; window <= 300; window += 75) {
        const struct kv_layout kv = layout_of(0, window, window);
        for (int64_t n_pages = 0; n_pages < 200; n_pages++) {
            int64_t n = kv_tokens_of_pages(&kv, n_pages, 70);
            assert_true(kv_pages_of_sequence(&kv, n, 70) <= n_pages);
            assert_true(kv_pages_of_sequence(&kv, n + 1, 70) > n_pages);
        }
    }
}

// The model of the fixture sees every group's pages: one that is given back too early, shared
// wrongly or written while shared, changes answers.
static void pressure_gives_the_same_tokens(void **state)
{
    (void)state;
    static const int64_t windows[][3] = {
        {0, 64, 64}, {0, 100, 100}, {0, 0, 130}, {0, 33, 260}, {0, 1, 1}};
    uint64_t hits = 0, preemptions = 0, loads = 0;
    for (size_t w = 0; w < sizeof windows / sizeof windows[0]; w++)
        for (int n_pages = 21; n_pages < 60; n_pages += 6)
            for (int common = 60; common <= 260; common += 100)
                for (int way = 0; way <= 3; way++) {
                    const struct kv_layout kv =
                        layout_of(windows[w][0], windows[w][1], windows[w][2]);
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
    assert_true(hits > 10000 && preemptions > 100 && loads > 100);
}

// What goes on from an earlier answer needs of a windowed group the last window's pages alone.
static void a_second_turn_finds_its_window(void **state)
{
    (void)state;
    const struct kv_layout kv = layout_of(0, 100, 100);
    struct fixture f;
    fixture_init(&f, 100, (struct scheduler_limits){1, 64, 1, 1});
    fixture_share(&f, true, 0);
    fixture_group(&f, &kv);
    struct sequence *first = add(&f, 700, 100, false);
    run(&f);
    struct sequence *second = add(&f, 900, 10, false);
    memcpy(second->tokens, first->tokens, 800 * sizeof *first->tokens);
    run(&f);
    assert_int_equal(second->n_cached, 768);
    fixture_fini(&f);
}

// All layers with windows: pages of the first group are lost, too.
static void windows_alone(void **state)
{
    (void)state;
    for (int n_pages = 12; n_pages < 40; n_pages += 4) {
        const struct kv_layout kv = {.n_groups = 1, .windows = {150}};
        struct fixture f;
        fixture_init(&f, n_pages, (struct scheduler_limits){4, 90, 8, 1});
        fixture_share(&f, true, 100);
        f.sees = 150;
        fixture_group(&f, &kv);
        for (int i = 0; i < 12; i++)
            add(&f, 20 + 40 * i, 100, i % 5 == 4);
        run(&f);
        fixture_fini(&f);
    }
}

static void pausing_changes_no_token(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 40; seed++) {
        const struct kv_layout kv = layout_of(0, 64 + (int64_t)seed * 5, 100);
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
        cmocka_unit_test(long_sequences_hold_their_windows),
        cmocka_unit_test(tokens_of_pages_is_the_inverse),
        cmocka_unit_test(pressure_gives_the_same_tokens),
        cmocka_unit_test(a_second_turn_finds_its_window),
        cmocka_unit_test(windows_alone),
        cmocka_unit_test(pausing_changes_no_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
