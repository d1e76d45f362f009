#include "testing.h"

#include "base/memory.h"
#include "engine/step_plan.h"

static const struct step_limits limits = {
    .rows_max = 8,
    .sequences_max = 3,
    .logit_rows_max = 4,
    .page_entries_max = 8,
    .state_pages = 1,
    .copies_max = 2,
};

static const int32_t tokens[] = {1, 2, 3, 99, 5}, pages[] = {7, 9}, other_pages[] = {0, 1, 2, 3};
static const int32_t states[] = {11, 12};
static const int32_t logit_rows[] = {0, 3, 4};
static const uint8_t logit_full[] = {1, 0, 1};
static const struct step_copy copies[] = {{3, 17}, {18, 3}};

struct example {
    struct step_sequence sequences[2];
    struct step step;
};

static void example_init(struct example *e)
{
    e->sequences[0] = (struct step_sequence){.n_tokens = 4,
                                             .position = 63,
                                             .pages = pages,
                                             .n_pages = 2,
                                             .pages_stride = 2,
                                             .states = states,
                                             .n_states = 2,
                                             .is_long = true};
    e->sequences[1] = (struct step_sequence){.first_row = 4,
                                             .n_tokens = 1,
                                             .position = 255,
                                             .pages = other_pages,
                                             .n_pages = 4,
                                             .pages_stride = 4};
    e->step = (struct step){
        .number = 77,
        .n_rows = 5,
        .tokens = tokens,
        .n_sequences = 2,
        .sequences = e->sequences,
        .n_logits = 3,
        .logit_rows = logit_rows,
        .logit_full = logit_full,
        .capture = true,
        .n_copies = 2,
        .copies = copies,
    };
}

static void *area_new(size_t *bytes)
{
    assert_int_equal(step_plan_bytes(&limits, bytes), OK);
    assert_int_equal(*bytes % 64, 0);
    void *area = aligned_alloc(64, *bytes);
    memset(area, 0xee, *bytes);
    return area;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    size_t bytes;
    void *area = area_new(&bytes);
    struct example e;
    struct step_sequence sequences[3];
    struct step step;
    example_init(&e);
    step_plan_write(area, &limits, 3, &e.step);
    assert_int_equal(step_plan_read(area, &limits, 3, 77, sequences, &step), OK);
    assert_int_equal(step.number, 77);
    assert_true(step.capture);
    assert_int_equal(step.n_copies, 2);
    assert_memory_equal(step.copies, copies, sizeof copies);
    assert_int_equal(step.n_rows, 5);
    assert_memory_equal(step.tokens, tokens, sizeof tokens);
    assert_int_equal(step.n_logits, 3);
    assert_memory_equal(step.logit_rows, logit_rows, sizeof logit_rows);
    assert_memory_equal(step.logit_full, logit_full, sizeof logit_full);
    assert_int_equal(step.n_sequences, 2);
    assert_int_equal(step.sequences[0].position, 63);
    assert_int_equal(step.sequences[1].first_row, 4);
    assert_memory_equal(step.sequences[0].pages, pages, sizeof pages);
    assert_memory_equal(step.sequences[1].pages, other_pages, sizeof other_pages);
    assert_int_equal(step.sequences[0].n_states, 2);
    assert_memory_equal(step.sequences[0].states, states, sizeof states);
    assert_int_equal(step.sequences[1].n_states, 0);
    free(area);
}

// Of ranks that were replaced, or out of turn: keys and values would be wrong.
static void a_stale_plan_is_refused(void **state)
{
    (void)state;
    size_t bytes;
    void *area = area_new(&bytes);
    struct example e;
    struct step_sequence sequences[3];
    struct step step;
    example_init(&e);
    step_plan_write(area, &limits, 3, &e.step);
    assert_int_equal(step_plan_read(area, &limits, 4, 77, sequences, &step), ERR_INTERNAL);
    assert_string_equal(status_message(), "step plan: it is step 77 of generation 3; expected step "
                                          "77 of generation 4");
    assert_int_equal(step_plan_read(area, &limits, 3, 78, sequences, &step), ERR_INTERNAL);
    assert_int_equal(step_plan_read(area, &limits, 3, 77, sequences, &step), OK);
    free(area);
}

// Whatever lies in the area, what is read leads nowhere else.
static void noise_leads_nowhere_else(void **state)
{
    (void)state;
    size_t bytes;
    unsigned char *area = area_new(&bytes);
    uint32_t random = 7;
    int n_good = 0, n_refused = 0;
    for (int round = 0; round < 20000; round++) {
        struct example e;
        example_init(&e);
        step_plan_write(area, &limits, 3, &e.step);
        for (int i = 0; i < 3; i++) {
            random = random * 1664525u + 1013904223u;
            area[(random >> 8) % 256] = (unsigned char)(random >> 3); // the head and the sequences
        }
        struct step_sequence sequences[3];
        struct step step;
        if (step_plan_read(area, &limits, 3, 77, sequences, &step) != OK) {
            assert_non_null(strstr(status_message(), "step plan: "));
            n_refused++;
            continue;
        }
        n_good++;
        assert_in_range(step.n_rows, 1, 8);
        assert_in_range(step.n_sequences, 1, 3);
        assert_in_range(step.n_logits, 0, 4);
        for (int i = 0; i < step.n_sequences; i++) {
            const unsigned char *pages_of = (const unsigned char *)step.sequences[i].pages;
            assert_true(pages_of >= area && step.sequences[i].n_pages >= 1);
            assert_true(pages_of + 4 * (size_t)step.sequences[i].n_pages <= area + bytes);
        }
    }
    assert_true(n_good > 100 && n_refused > 100);
    free(area);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    struct step_limits huge = limits;
    huge.page_entries_max = INT64_MAX;
    size_t bytes;
    assert_int_equal(step_plan_bytes(&huge, &bytes), ERR_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_stale_plan_is_refused),
        cmocka_unit_test(noise_leads_nowhere_else),
        cmocka_unit_test(impossible_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
