#include "scheduler_model.h"

#include "base/memory.h"

static void every_budget_gives_the_same_tokens(void **state)
{
    (void)state;
    const int32_t rows[] = {1, 7, 64, 512};
    for (int r = 0; r < 4; r++)
        for (int32_t sequences = 1; sequences <= 16; sequences *= 4) {
            struct fixture f;
            fixture_init(&f, 200, (struct scheduler_limits){sequences, rows[r], sequences, 1});
            for (int i = 0; i < 12; i++)
                add(&f, 1 + i * 13, 1 + i * 5 % 17, i % 3 == 0);
            run(&f);
            for (int i = 0; i < 12; i += 3)
                assert_int_equal(f.sequences[i].n_prompt_logits, f.sequences[i].n_prompt);
            fixture_fini(&f);
        }
}

static void newest_gives_way_and_starts_over(void **state)
{
    (void)state;
    for (int n_pages = 5; n_pages < 14; n_pages++) {
        struct fixture f;
        fixture_init(&f, n_pages, (struct scheduler_limits){8, 100, 8, 1});
        for (int i = 0; i < 8; i++)
            add(&f, 20 + 11 * i, 200, i % 2);
        run(&f);
        assert_true(f.scheduler.preemptions > 0);
        fixture_fini(&f);
    }
}

static void decoding_goes_first_and_prompts_get_a_part(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 100, (struct scheduler_limits){4, 32, 4, 1});
    struct sequence *first = add(&f, 10, 50, false);
    assert_int_equal(scheduler_plan(&f.scheduler), 10);
    assert_int_equal(scheduler_oldest(&f.scheduler)->n_prefill_rows, 10);
    execute(&f);
    struct sequence *second = add(&f, 100, 5, false), *third = add(&f, 5, 5, false);
    assert_int_equal(scheduler_plan(&f.scheduler), 9); // a quarter of the budget for prompts
    assert_int_equal(first->step_tokens, 1);
    assert_int_equal(second->step_tokens, 8);
    assert_int_equal(third->step_tokens, 0);
    assert_int_equal(scheduler_oldest(&f.scheduler)->n_prefill_rows, 8);
    assert_int_equal(f.scheduler.step.n_logits, 1);
    execute(&f);
    scheduler_remove(&f.scheduler, first);
    assert_int_equal(scheduler_plan(&f.scheduler), 32); // nobody decodes: all of it
    assert_int_equal(second->step_tokens, 32);
    execute(&f);
    f.n_over++;
    run(&f);
    fixture_fini(&f);
}

static void many_that_decode_leave_more_to_prompts(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 100, (struct scheduler_limits){10, 32, 10, 1});
    for (int i = 0; i < 6; i++)
        add(&f, 5, 50, false);
    assert_int_equal(scheduler_plan(&f.scheduler), 30);
    execute(&f);
    struct sequence *prompt = add(&f, 100, 5, false);
    assert_int_equal(scheduler_plan(&f.scheduler), 6 + 12); // two for each instead of 8
    assert_int_equal(prompt->step_tokens, 12);
    execute(&f);
    run(&f);
    fixture_fini(&f);
}

static void first_come_first_served(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 100, (struct scheduler_limits){1, 32, 1, 1});
    add(&f, 3, 3, false);
    add(&f, 1, 1, false);
    while (scheduler_plan(&f.scheduler) > 0) {
        execute(&f);
        assert_true(f.sequences[0].state == SEQUENCE_OVER ||
                    f.sequences[1].state == SEQUENCE_WAITING);
    }
    assert_int_equal(f.n_over, 2);
    fixture_fini(&f);
}

static void rows_of_logits_limit_the_chunk(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 100, (struct scheduler_limits){2, 64, 5, 1});
    add(&f, 23, 4, true);
    assert_int_equal(scheduler_plan(&f.scheduler), 5);
    check_plan(&f);
    execute(&f);
    add(&f, 17, 4, true);
    run(&f);
    assert_int_equal(f.sequences[0].n_prompt_logits, 23);
    assert_int_equal(f.sequences[1].n_prompt_logits, 17);
    fixture_fini(&f);
}

static void a_sequence_may_leave_at_any_time(void **state)
{
    (void)state;
    for (int leave_after = 0; leave_after < 30; leave_after++) {
        struct fixture f;
        fixture_init(&f, 9, (struct scheduler_limits){4, 16, 4, 1});
        for (int i = 0; i < 5; i++)
            add(&f, 30, 60, false);
        for (int step = 0; step < leave_after && scheduler_plan(&f.scheduler) > 0; step++)
            execute(&f);
        for (int i = 0; i < 5; i += 2)
            if (f.sequences[i].state != SEQUENCE_OVER) {
                scheduler_remove(&f.scheduler, &f.sequences[i]);
                f.n_over++;
            }
        run(&f);
        fixture_fini(&f);
    }
}

static void paused_sequences_take_no_part(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 100, (struct scheduler_limits){2, 32, 2, 1});
    struct sequence *slow = add(&f, 10, 50, false), *other = add(&f, 10, 20, false);
    assert_int_equal(scheduler_plan(&f.scheduler), 20);
    scheduler_pause(&f.scheduler, slow); // while a step with it is under way
    scheduler_pause(&f.scheduler, slow);
    assert_int_equal(slow->state, SEQUENCE_RUNNING);
    execute(&f);
    int32_t had = slow->n_tokens, n_pages = slow->spans[0].end;
    struct sequence *third = add(&f, 5, 5, false); // gets its place in the batch
    while (scheduler_plan(&f.scheduler) > 0) {
        check_plan(&f);
        assert_int_equal(slow->step_tokens, 0);
        execute(&f);
    }
    assert_int_equal(f.n_over, 2);
    assert_true(other->state == SEQUENCE_OVER && third->state == SEQUENCE_OVER);
    assert_int_equal(slow->state, SEQUENCE_PARKED);
    assert_int_equal(slow->n_tokens, had);
    assert_true(slow->spans[0].end == n_pages && n_pages > 0 && f.scheduler.preemptions == 0);
    scheduler_resume(&f.scheduler, slow);
    scheduler_resume(&f.scheduler, slow);
    assert_int_equal(scheduler_plan(&f.scheduler), 1); // nothing is computed again
    execute(&f);
    run(&f);
    // one that waits can be paused, too, and one that is over
    struct sequence *early = add(&f, 5, 5, false);
    scheduler_pause(&f.scheduler, early);
    assert_int_equal(scheduler_plan(&f.scheduler), 0);
    scheduler_pause(&f.scheduler, slow);
    scheduler_resume(&f.scheduler, slow);
    scheduler_resume(&f.scheduler, early);
    run(&f);
    fixture_fini(&f);
}

// Whoever takes no part has no right to keep pages that another needs, or to a full batch.
static void paused_sequences_give_way(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 5, (struct scheduler_limits){2, 200, 2, 1});
    struct sequence *slow = add(&f, 100, 100, false), *gone = add(&f, 10, 10, false);
    assert_true(scheduler_plan(&f.scheduler) > 0);
    execute(&f);
    scheduler_pause(&f.scheduler, slow);
    scheduler_pause(&f.scheduler, gone);
    scheduler_remove(&f.scheduler, gone); // cancelled while paused
    f.n_over++;
    struct sequence *long_one = add(&f, 200, 100, false);
    assert_true(scheduler_plan(&f.scheduler) > 0);
    assert_int_equal(long_one->state, SEQUENCE_RUNNING);
    execute(&f);
    while (long_one->state != SEQUENCE_OVER && scheduler_plan(&f.scheduler) > 0)
        execute(&f);
    assert_true(slow->spans[0].end == 0 && slow->state == SEQUENCE_PARKED);
    assert_true(f.scheduler.preemptions > 0);
    struct sequence *a = add(&f, 5, 5, false), *b = add(&f, 5, 5, false);
    assert_true(scheduler_plan(&f.scheduler) > 0);
    execute(&f);
    scheduler_resume(&f.scheduler, slow); // the batch is full
    assert_int_equal(slow->state, SEQUENCE_WAITING);
    scheduler_pause(&f.scheduler, a);
    scheduler_resume(&f.scheduler, a);
    run(&f);
    assert_true(a->state == SEQUENCE_OVER && b->state == SEQUENCE_OVER);
    fixture_fini(&f);
}

// Paused and resumed at random, with too few pages: the tokens are the same (execute() looks).
static void pausing_changes_no_token(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 40; seed++) {
        struct fixture f;
        fixture_init(&f, 6 + (int)seed % 5, (struct scheduler_limits){3, 40, 3, 1});
        for (int i = 0; i < 8; i++)
            add(&f, 10 + 13 * i, 60, i % 3 == 0);
        run_with_pauses(&f, seed);
        fixture_fini(&f);
    }
}

static struct sequence *add_urgent(struct fixture *f, int n_prompt, int n_generate,
                                   int64_t priority)
{
    struct sequence *sequence = add(f, n_prompt, n_generate, false);
    sequence_queue_remove(&f->scheduler.waiting, sequence);
    sequence->priority = priority;
    sequence_queue_insert(&f->scheduler.waiting, sequence);
    return sequence;
}

static void the_most_urgent_goes_first(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 100, (struct scheduler_limits){1, 32, 1, 1});
    const int64_t priorities[] = {3, INT64_MAX, -5, 3, INT64_MIN, 0};
    const int order[] = {4, 2, 5, 0, 3, 1};
    for (int i = 0; i < 6; i++)
        add_urgent(&f, 40, 3, priorities[i]);
    int n_over = 0;
    while (scheduler_plan(&f.scheduler) > 0) {
        check_plan(&f);
        assert_ptr_equal(f.scheduler.members[0].sequence, &f.sequences[order[n_over]]);
        execute(&f);
        n_over = f.n_over;
    }
    assert_int_equal(n_over, 6);
    fixture_fini(&f);
}

// Where pages run short, the least urgent starts over, though it came first.
static void the_least_urgent_gives_way(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 5, (struct scheduler_limits){4, 200, 4, 1});
    struct sequence *patient = add_urgent(&f, 60, 150, 7), *urgent = add_urgent(&f, 60, 150, -7);
    run(&f);
    assert_true(f.scheduler.preemptions > 0);
    assert_int_equal(urgent->preemptions, 0);
    assert_true(patient->preemptions > 0);
    fixture_fini(&f);
}

static void failed_reservations_leave_nothing(void **state)
{
    (void)state;
    struct scheduler scheduler;
    for (long n = 1; n <= 5; n++) {
        memory_fail_after(n);
        assert_int_equal(
            scheduler_init(&scheduler, &(struct scheduler_limits){4, 16, 4, 1}, NULL, NULL, NULL),
            ERR_MEMORY);
        memory_fail_after(0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_budget_gives_the_same_tokens),
        cmocka_unit_test(newest_gives_way_and_starts_over),
        cmocka_unit_test(decoding_goes_first_and_prompts_get_a_part),
        cmocka_unit_test(many_that_decode_leave_more_to_prompts),
        cmocka_unit_test(first_come_first_served),
        cmocka_unit_test(rows_of_logits_limit_the_chunk),
        cmocka_unit_test(a_sequence_may_leave_at_any_time),
        cmocka_unit_test(paused_sequences_take_no_part),
        cmocka_unit_test(paused_sequences_give_way),
        cmocka_unit_test(pausing_changes_no_token),
        cmocka_unit_test(the_most_urgent_goes_first),
        cmocka_unit_test(the_least_urgent_gives_way),
        cmocka_unit_test(failed_reservations_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
