// What sequences share through the prefix cache, and how much is computed.
#include "scheduler_model.h"

static void a_common_prefix_is_computed_once(void **state)
{
    (void)state;
    enum { N = 6, COMMON = 200, OWN = 21, ANSWER = 5 }; // three whole pages in common
    for (int retains = 0; retains <= 1; retains++) {
        struct fixture f;
        fixture_init(&f, 100, (struct scheduler_limits){8, 64, 8, 1});
        fixture_share(&f, retains, COMMON);
        for (int i = 0; i < N; i++)
            add(&f, COMMON + OWN, ANSWER, false);
        run(&f);
        int64_t own = N * (COMMON + OWN - 192 + ANSWER - 1);
        assert_int_equal(f.n_rows, 192 + own);
        for (int i = 0; i < N; i++)
            assert_int_equal(f.sequences[i].n_cached, i ? 192 : 0);
        assert_int_equal(f.scheduler.prefix_hits, retains ? (N - 1) * 192 : 0);
        assert_int_equal(f.scheduler.prefix_queries, retains ? N * (COMMON + OWN) : 0);
        // nobody runs any more: only what is retained is still known
        struct sequence *late = add(&f, COMMON + OWN, ANSWER, false);
        run(&f);
        assert_int_equal(late->n_cached, retains ? 192 : 0);
        fixture_fini(&f);
    }
}

static void other_scopes_share_nothing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 100, (struct scheduler_limits){8, 64, 8, 1});
    fixture_share(&f, true, 300);
    for (int i = 0; i < 8; i++)
        add(&f, 300, 3, false)->scope = prefix_scope(PREFIX_SCOPE_REQUEST, (uint64_t)i / 2);
    run(&f);
    for (int i = 0; i < 8; i++)
        assert_int_equal(f.sequences[i].n_cached, i % 2 ? 256 : 0);
    fixture_fini(&f);
}

static void prompts_whose_logits_are_wanted_are_computed(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 100, (struct scheduler_limits){8, 64, 8, 1});
    fixture_share(&f, true, 130);
    for (int i = 0; i < 4; i++)
        add(&f, 130, 3, i % 2);
    run(&f);
    assert_int_equal(f.sequences[1].n_cached, 0);
    assert_int_equal(f.sequences[1].n_prompt_logits, 130);
    assert_int_equal(f.sequences[2].n_cached, 128);
    fixture_fini(&f);
}

// The last token's logits are needed: a prompt that ends with a page has that page computed.
static void one_token_is_always_computed(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 100, (struct scheduler_limits){8, 512, 8, 1});
    fixture_share(&f, true, 1000);
    for (int n = 126; n <= 131; n++) {
        add(&f, n, 1, false);
        run(&f);
        assert_int_equal(f.sequences[f.n_sequences - 1].n_cached, n == 126   ? 0
                                                                  : n <= 128 ? 64
                                                                             : 128);
    }
    fixture_fini(&f);
}

// The model in this test sees the tokens that lie in the pages: a page that is shared wrongly, or
// written while shared, changes answers.
static void sharing_under_pressure_gives_the_same_tokens(void **state)
{
    (void)state;
    for (int n_pages = 6; n_pages < 40; n_pages += 3)
        for (int common = 60; common <= 260; common += 50)
            for (int retains = 0; retains <= 1; retains++) {
                struct fixture f;
                fixture_init(&f, n_pages, (struct scheduler_limits){4, 90, 8, 1});
                fixture_share(&f, retains, common);
                for (int i = 0; i < 12; i++)
                    add(&f, 20 + 17 * i, 100, i % 5 == 4);
                run(&f);
                fixture_fini(&f);
            }
}

static void starting_over_finds_its_own_pages(void **state)
{
    (void)state;
    int64_t rows[2];
    for (int shared = 0; shared <= 1; shared++) {
        struct fixture f;
        fixture_init(&f, 9, (struct scheduler_limits){4, 512, 4, 1});
        if (shared)
            fixture_share(&f, true, 0);
        add(&f, 250, 140, false);
        add(&f, 250, 140, false);
        run(&f);
        assert_true(f.scheduler.preemptions > 0);
        rows[shared] = f.n_rows;
        fixture_fini(&f);
    }
    assert_true(rows[1] < rows[0]);
}

// What goes on from an earlier prompt and its answer finds both.
static void a_second_turn_finds_the_first(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 40, (struct scheduler_limits){4, 512, 4, 1});
    fixture_share(&f, true, 1000);
    struct sequence *first = add(&f, 100, 100, false);
    run(&f);
    struct sequence *second = &f.sequences[f.n_sequences++];
    *second = (struct sequence){.arrival = 9, .n_prompt = 230, .n_tokens = 230, .tokens_max = 240};
    second->pages_max = (int32_t)kv_pages_for(240);
    second->tokens = calloc(240, sizeof *second->tokens);
    second->pages = calloc((size_t)second->pages_max, sizeof *second->pages);
    memcpy(second->tokens, first->tokens, 200 * sizeof *second->tokens);
    scheduler_add(&f.scheduler, second);
    run(&f);
    assert_int_equal(second->n_cached, 192);
    fixture_fini(&f);
}

// Pages of paused sequences are taken from them while others share these.
static void pausing_while_sharing_changes_no_token(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 60; seed++) {
        struct fixture f;
        fixture_init(&f, 6 + (int)seed % 5, (struct scheduler_limits){3, 40, 3, 1});
        fixture_share(&f, seed % 2, 40 + (int)(seed % 7) * 20);
        for (int i = 0; i < 8; i++)
            add(&f, 10 + 23 * i, 60, i % 3 == 0);
        run_with_pauses(&f, seed);
        fixture_fini(&f);
    }
}

// A sequence that outgrows long_length computes all its keys anew, and shares pages with long ones
// alone: fixture's model() looks at each key.
static void long_sequences_have_pages_of_their_own(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 60; seed++) {
        struct fixture f;
        int64_t length = 60 + 23 * (int64_t)(seed % 5);
        fixture_init(&f, 6 + (int)seed % 5, (struct scheduler_limits){3, 40, 3, 1});
        f.scheduler.long_length = length;
        fixture_share(&f, seed % 2, 40 + (int)(seed % 7) * 20);
        for (int i = 0; i < 8; i++)
            add(&f, 10 + 23 * i, 60, i % 3 == 0);
        run_with_pauses(&f, seed);
        for (int i = 0; i < 8; i++)
            assert_int_equal(f.sequences[i].is_long, 10 + 23 * i + 60 - 1 > length);
        fixture_fini(&f);
    }
}

// Pages that were taken from the cache come back from host pages, also those of sequences that
// start over.
static void host_pages_give_the_same_tokens(void **state)
{
    (void)state;
    uint64_t n_stores = 0, n_loads = 0;
    for (int n_host = 1; n_host < 60; n_host += 7)
        for (int n_pages = 6; n_pages < 20; n_pages += 4)
            for (int common = 60; common <= 260; common += 100) {
                struct fixture f;
                fixture_init(&f, n_pages, (struct scheduler_limits){4, 90, 8, 1});
                f.n_host = n_host;
                fixture_share(&f, true, common);
                for (int i = 0; i < 12; i++)
                    add(&f, 20 + 17 * i, 100, i % 5 == 4);
                run(&f);
                // the same prompts once more
                for (int i = 0; i < 12; i++) {
                    struct sequence *again = add(&f, 20 + 17 * i, 100, false);
                    memcpy(again->tokens, f.sequences[i].tokens,
                           (size_t)again->n_prompt * sizeof *again->tokens);
                }
                run(&f);
                n_stores += f.scheduler.host_stores;
                n_loads += f.scheduler.host_loads;
                fixture_fini(&f);
            }
    print_message("%d pages copied to host pages, %d back\n", (int)n_stores, (int)n_loads);
    assert_true(n_loads > 300 && n_stores > n_loads);
}

// A pool of five pages, and prompts of four that come in turn: without host pages each is computed
// whole, with them none is.
static void what_was_pushed_out_comes_back(void **state)
{
    (void)state;
    for (int n_host = 0; n_host <= 20; n_host += 20) {
        struct fixture f;
        fixture_init(&f, 5, (struct scheduler_limits){1, 512, 1, 1});
        f.n_host = n_host;
        fixture_share(&f, true, 0);
        for (int i = 0; i < 12; i++) {
            struct sequence *s = add(&f, 250, 3, false);
            if (i >= 3)
                memcpy(s->tokens, f.sequences[i % 3].tokens, 250 * sizeof *s->tokens);
            run(&f);
            assert_int_equal(s->n_cached, n_host && i >= 3 ? 192 : 0);
        }
        fixture_fini(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_common_prefix_is_computed_once),
        cmocka_unit_test(other_scopes_share_nothing),
        cmocka_unit_test(prompts_whose_logits_are_wanted_are_computed),
        cmocka_unit_test(one_token_is_always_computed),
        cmocka_unit_test(sharing_under_pressure_gives_the_same_tokens),
        cmocka_unit_test(pausing_while_sharing_changes_no_token),
        cmocka_unit_test(host_pages_give_the_same_tokens),
        cmocka_unit_test(what_was_pushed_out_comes_back),
        cmocka_unit_test(starting_over_finds_its_own_pages),
        cmocka_unit_test(a_second_turn_finds_the_first),
        cmocka_unit_test(long_sequences_have_pages_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
