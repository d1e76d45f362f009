#include "testing.h"

#include "base/memory.h"
#include "engine/step_plan.h"

static const struct step_limits limits = {
    .rows_max = 8,
    .sequences_max = 3,
    .logit_rows_max = 4,
    .page_entries_max = 6,
    .kv_pages = 10,
    .positions_max = 256,
    .vocab_size = 100,
};

static const int32_t tokens[] = {1, 2, 3, 99, 5}, pages[] = {7, 9}, other_pages[] = {0, 1, 2, 3};
static const int32_t logit_rows[] = {0, 3, 4};
static const uint8_t logit_full[] = {1, 0, 1};

struct example {
    struct step_sequence sequences[2];
    struct step step;
};

static void example_init(struct example *e)
{
    e->sequences[0] = (struct step_sequence){0, 4, 63, pages, 2};
    e->sequences[1] = (struct step_sequence){4, 1, 255, other_pages, 4};
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
    step_plan_write(area, &limits, &e.step);
    assert_int_equal(step_plan_read(area, &limits, sequences, &step), OK);
    assert_int_equal(step.number, 77);
    assert_true(step.capture);
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
    free(area);
}

// One number out of range at a time; the front-end's own checks are not asked.
static void numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    const int32_t low_token[] = {1, 2, -1, 99, 5}, high_token[] = {1, 2, 100, 99, 5};
    const int32_t low_page[] = {-1, 9}, high_page[] = {7, 10};
    const int32_t descending[] = {0, 3, 3}, row_too_high[] = {0, 3, 5};
    for (int c = 0; c < 11; c++) {
        size_t bytes;
        void *area = area_new(&bytes);
        struct example e;
        example_init(&e);
        switch (c) {
        case 0:
            e.step.tokens = low_token;
            break;
        case 1:
            e.step.tokens = high_token;
            break;
        case 2:
            e.sequences[0].pages = low_page;
            break;
        case 3:
            e.sequences[0].pages = high_page;
            break;
        case 4:
            e.step.logit_rows = descending;
            break;
        case 5:
            e.step.logit_rows = row_too_high;
            break;
        case 6:
            e.sequences[1].position = 256;
            break;
        case 7:
            e.sequences[1].position = -1;
            break;
        case 8:
            e.sequences[0].n_pages = 1;
            break;
        case 9:
            e.sequences[1].first_row = 3;
            break;
        case 10:
            e.sequences[0].n_tokens = 5;
            break;
        }
        step_plan_write(area, &limits, &e.step);
        struct step_sequence sequences[3];
        struct step step;
        assert_int_equal(step_plan_read(area, &limits, sequences, &step), ERR_INTERNAL);
        assert_non_null(strstr(status_message(), "step plan: "));
        free(area);
    }
}

// Whatever lies in the area, reading it stays inside.
static void noise_is_refused(void **state)
{
    (void)state;
    size_t bytes;
    unsigned char *area = area_new(&bytes);
    uint32_t random = 7;
    for (int round = 0; round < 20000; round++) {
        struct example e;
        example_init(&e);
        step_plan_write(area, &limits, &e.step);
        for (int i = 0; i < 3; i++) {
            random = random * 1664525u + 1013904223u;
            area[(random >> 8) % bytes] = (unsigned char)(random >> 3);
        }
        struct step_sequence sequences[3];
        struct step step;
        if (step_plan_read(area, &limits, sequences, &step) == OK) {
            assert_in_range(step.n_sequences, 1, 3);
            for (int i = 0; i < step.n_sequences; i++)
                for (int p = 0; p < step.sequences[i].n_pages; p++)
                    assert_in_range(step.sequences[i].pages[p], 0, 9);
        }
    }
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
        cmocka_unit_test(numbers_out_of_range_are_refused),
        cmocka_unit_test(noise_is_refused),
        cmocka_unit_test(impossible_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
