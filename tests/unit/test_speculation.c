#include "testing.h"

#include "engine/speculation.h"

static struct speculation_config config_of(const char *json)
{
    struct speculation_config config;
    assert_int_equal(speculation_config_read(json, &config), OK);
    return config;
}

static void keys_are_vllms(void **state)
{
    (void)state;
    assert_int_equal(config_of(NULL).n_tokens, 0);
    assert_int_equal(config_of("").n_tokens, 0);
    struct speculation_config c =
        config_of("{\"method\": \"ngram\", \"num_speculative_tokens\": 4}");
    assert_int_equal(c.n_tokens, 4);
    assert_int_equal(c.lookup_min, 5); // vLLM's defaults
    assert_int_equal(c.lookup_max, 5);
    c = config_of("{\"method\":\"ngram\",\"num_speculative_tokens\":4,\"prompt_lookup_max\":3}");
    assert_int_equal(c.lookup_min, 3);
    c = config_of("{\"model\":\"[ngram]\",\"num_speculative_tokens\":1,\"prompt_lookup_min\":2,"
                  "\"prompt_lookup_max\":4,\"disable_by_batch_size\":8,\"method\":null}");
    assert_int_equal(c.lookup_min, 2);
    assert_int_equal(c.lookup_max, 4);
    assert_int_equal(c.disable_by_batch_size, 8);
}

static void bad_configs_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json, *words;
    } cases[] = {
        {"{", "speculative_config"},
        {"[]", "an array"},
        {"4", "an integer"},
        {"{}", "\"method\" is missing"},
        {"{\"num_speculative_tokens\":4}", "\"method\" is missing"},
        {"{\"method\":\"ngram\"}", "\"num_speculative_tokens\" is missing"},
        {"{\"method\":\"eagle3\",\"num_speculative_tokens\":4}", "eagle3"},
        {"{\"method\":5,\"num_speculative_tokens\":4}", "method"},
        {"{\"model\":\"org/small\",\"num_speculative_tokens\":4}", "second model"},
        {"{\"method\":\"ngram\",\"num_speculative_tokens\":0}", "num_speculative_tokens"},
        {"{\"method\":\"ngram\",\"num_speculative_tokens\":17}", "17"},
        {"{\"method\":\"ngram\",\"num_speculative_tokens\":1e99}", "num_speculative_tokens"},
        {"{\"method\":\"ngram\",\"num_speculative_tokens\":2,\"prompt_lookup_min\":0}",
         "lookup_min"},
        {"{\"method\":\"ngram\",\"num_speculative_tokens\":2,\"prompt_lookup_max\":-1}",
         "lookup_max"},
        {"{\"method\":\"ngram\",\"num_speculative_tokens\":2,\"prompt_lookup_max\":2,"
         "\"prompt_lookup_min\":3}",
         "more than"},
        {"{\"method\":\"ngram\",\"num_speculative_tokens\":2,\"prompt_lookup_maximum\":2}",
         "prompt_lookup_maximum"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct speculation_config config;
        assert_int_equal(speculation_config_read(cases[i].json, &config), ERR_USAGE);
        assert_non_null(strstr(status_message(), cases[i].words));
    }
}

static void expect_draft(const struct speculation_config *config, const int32_t *tokens, int32_t n,
                         const int32_t *wanted, int32_t n_wanted)
{
    int32_t draft[8];
    assert_int_equal(speculation_look_up(config, tokens, n, 4, draft), n_wanted);
    if (n_wanted > 0)
        assert_memory_equal(draft, wanted, (size_t)n_wanted * sizeof *wanted);
}

static void what_followed_is_drafted(void **state)
{
    (void)state;
    const struct speculation_config c = {.n_tokens = 4, .lookup_min = 2, .lookup_max = 3};
    // 1 2 3 stood before, and 4 5 6 7 came then
    expect_draft(&c, (int32_t[]){9, 1, 2, 3, 4, 5, 6, 7, 1, 2, 3}, 11, (int32_t[]){4, 5, 6, 7}, 4);
    // three tokens that agree go before two, wherever they stand
    expect_draft(&c, (int32_t[]){1, 2, 3, 4, 4, 4, 4, 8, 2, 3, 5, 1, 2, 3}, 14,
                 (int32_t[]){4, 4, 4, 4}, 4);
    // of equals the latest
    expect_draft(&c, (int32_t[]){1, 2, 3, 4, 1, 2, 3, 5, 6, 7, 8, 1, 2, 3}, 14,
                 (int32_t[]){5, 6, 7, 8}, 4);
    // what repeats goes on repeating
    expect_draft(&c, (int32_t[]){1, 2, 1, 2, 1, 2}, 6, (int32_t[]){1, 2, 1, 2}, 4);
    expect_draft(&c, (int32_t[]){7, 7, 7}, 3, (int32_t[]){7, 7, 7, 7}, 4);
    // one token that agrees is too few; so is a text too short
    expect_draft(&c, (int32_t[]){1, 3, 2, 3}, 4, NULL, 0);
    expect_draft(&c, (int32_t[]){7, 7}, 2, NULL, 0);
    expect_draft(&c, (int32_t[]){7}, 1, NULL, 0);
    int32_t none = -5;
    assert_int_equal(speculation_look_up(&c, (int32_t[]){7, 7, 7}, 3, 0, &none), 0);
    assert_int_equal(none, -5);
}

static void drafts_get_shorter_and_pause(void **state)
{
    (void)state;
    const struct speculation_config c = {.n_tokens = 8, .lookup_min = 2, .lookup_max = 3};
    struct draft_history h = {0};
    assert_int_equal(draft_length(&c, &h), 8);
    draft_judged(&c, &h, 8, 2);
    assert_int_equal(draft_length(&c, &h), 3);
    draft_judged(&c, &h, 3, 3);
    assert_int_equal(draft_length(&c, &h), 6);
    draft_judged(&c, &h, 6, 6);
    assert_int_equal(draft_length(&c, &h), 8);
    for (int misses = 1; misses < 12; misses++) {
        draft_judged(&c, &h, 8, 0);
        int pause = 0;
        while (draft_length(&c, &h) == 0)
            pause++;
        assert_int_equal(pause, misses < 5 ? (1 << misses) - 1 : 31);
    }
    draft_judged(&c, &h, 1, 1);
    assert_int_equal(draft_length(&c, &h), 2);
    assert_int_equal(h.misses, 0);
}

static void drafts_are_as_many_as_pay(void **state)
{
    (void)state;
    struct speculation s;
    const struct speculation_config c = {.n_tokens = 4, .lookup_min = 2, .lookup_max = 3};
    speculation_init(&s, &c);
    assert_int_equal(speculation_rows(&s, 1), 4); // nothing is known: tried
    assert_int_equal(speculation_rows(&s, 0), 0);
    assert_int_equal(speculation_rows(&s, DRAFT_ROWS_MAX - 1), 1);
    assert_int_equal(speculation_rows(&s, 1000), 0);
    for (int i = 0; i < 40; i++) // memory binds up to 8 rows, arithmetic from there on
        for (int rows = 1; rows <= DRAFT_ROWS_MAX; rows++)
            speculation_note_step(&s, rows, rows <= 8 ? 0.05 : 0.05 * rows / 8);
    assert_int_equal(speculation_rows(&s, 1), 4);
    assert_int_equal(speculation_rows(&s, 6), 2);
    assert_int_equal(speculation_rows(&s, 16), 0); // half of a draft is wrong: rows for nothing
    for (int i = 0; i < 200; i++)
        speculation_note_draft(&s, 4, 0);
    assert_int_equal(s.n_accepted, 0);
    for (int rows = 2; rows <= 5; rows++)
        for (int i = 0; i < 40; i++)
            speculation_note_step(&s, rows, 0.06);
    assert_int_equal(speculation_rows(&s, 1), 0);
    speculation_note_draft(&s, 4, 3);
    assert_int_equal(s.n_drafts, 201);
    assert_int_equal(s.n_accepted_at[2], 1);
    assert_int_equal(s.n_accepted_at[3], 0);
    s.config.disable_by_batch_size = 2;
    s.accepted = 1;
    assert_int_equal(speculation_rows(&s, 2), 0);
    assert_true(speculation_rows(&s, 1) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_vllms),
        cmocka_unit_test(bad_configs_are_refused),
        cmocka_unit_test(what_followed_is_drafted),
        cmocka_unit_test(drafts_get_shorter_and_pause),
        cmocka_unit_test(drafts_are_as_many_as_pay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
