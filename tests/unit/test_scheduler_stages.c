// Several steps under way: who is in them, and what their results change.
#include "scheduler_model.h"

static struct scheduler_limits limits_of(int steps, int rows)
{
    return (struct scheduler_limits){.sequences_max = 8,
                                     .rows_max = rows,
                                     .logit_rows_max = rows > 8 ? rows : 8,
                                     .steps_max = steps};
}

// Plans and posts a step; false: there is nothing to do now.
static bool post_next(struct fixture *f)
{
    if (!scheduler_has_room(&f->scheduler) || scheduler_plan(&f->scheduler) == 0)
        return false;
    check_plan(f);
    post_step(f);
    return true;
}

static bool is_member(const struct step_under_way *step, const struct sequence *sequence)
{
    for (int i = 0; i < step->n_members; i++)
        if (step->members[i].sequence == sequence)
            return true;
    return false;
}

static const struct step_under_way *under_way(const struct fixture *f, int i)
{
    const struct scheduler *s = &f->scheduler;
    return &s->ring[(s->oldest + i) % scheduler_steps_max(s)];
}

// Who decodes is in one step alone, and of those that run each step has its share.
static void check_dealing(const struct fixture *f)
{
    for (int n = 0; n < f->n_sequences; n++) {
        const struct sequence *s = &f->sequences[n];
        int steps = 0;
        for (int i = 0; i < f->scheduler.n_under_way; i++)
            steps += is_member(under_way(f, i), s);
        assert_int_equal(steps > 0, s->step_tokens > 0);
        if (s->n_computed >= s->n_prompt)
            assert_in_range(steps, 0, 1);
    }
}

// Answers are those of one step at a time, whatever is scarce.
static void all_answers(void **state)
{
    (void)state;
    for (int steps = 1; steps <= 4; steps++)
        for (int n_pages = 6; n_pages <= 60; n_pages += 18)
            for (int caching = 0; caching < 2; caching++) {
                struct fixture f;
                fixture_init(&f, n_pages, limits_of(steps, caching ? 64 : 40));
                f.n_host = caching && n_pages < 30 ? 8 : 0;
                if (caching)
                    fixture_share(&f, true, 130);
                for (int i = 0; i < 16; i++)
                    add(&f, 3 + i * 37 % 200, 1 + i * 29 % 120, i % 3 == 0);
                for (int n = 0; f.n_over < f.n_sequences; n++) {
                    while (post_next(&f))
                        check_dealing(&f);
                    assert_true(f.scheduler.n_under_way > 0 && n < 100000);
                    take_step(&f);
                    check_dealing(&f);
                }
                fixture_fini(&f);
            }
}

static void decoding_is_dealt_evenly(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 64, limits_of(2, 64));
    for (int i = 0; i < 7; i++)
        add(&f, 4, 100, false);
    assert_true(post_next(&f)); // all prompts at once
    assert_int_equal(under_way(&f, 0)->n_members, 7);
    assert_false(post_next(&f));
    take_step(&f);
    for (int round = 0; round < 20; round++) {
        while (post_next(&f))
            ;
        assert_int_equal(f.scheduler.n_under_way, 2);
        assert_int_equal(under_way(&f, 0)->n_members + under_way(&f, 1)->n_members, 7);
        assert_in_range(under_way(&f, 0)->n_members, 3, 4);
        take_step(&f);
    }
    while (f.scheduler.n_under_way > 0)
        take_step(&f);
    run(&f);
    fixture_fini(&f);
}

static void chunks_follow_each_other(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 64, limits_of(3, 16));
    struct sequence *s = add(&f, 70, 3, true);
    for (int i = 0; i < 3; i++) {
        assert_true(post_next(&f));
        assert_int_equal(f.scheduler.step.sequences[0].position, 16 * i);
        assert_int_equal(s->step_tokens, 16 * (i + 1));
    }
    assert_false(post_next(&f));
    take_step(&f);
    assert_int_equal(s->n_computed, 16);
    assert_int_equal(s->n_prompt_logits, 16);
    assert_true(post_next(&f));
    assert_int_equal(f.scheduler.step.sequences[0].position, 48);
    take_step(&f);
    assert_true(post_next(&f)); // the last 6, and with them the first token of the answer
    assert_int_equal(f.scheduler.step.n_rows, 6);
    take_step(&f);
    assert_false(post_next(&f)); // which is not there yet
    take_step(&f);
    take_step(&f);
    assert_true(post_next(&f));
    assert_int_equal(f.scheduler.step.n_rows, 1);
    take_step(&f);
    run(&f);
    fixture_fini(&f);
}

// A window's pages go back while later chunks of the prompt are under way.
static void windows_move_on(void **state)
{
    (void)state;
    struct kv_layout kv = {.n_groups = 1, .windows = {100}};
    for (int steps = 1; steps <= 4; steps++) {
        struct fixture f;
        fixture_init(&f, 12, limits_of(steps, 48));
        f.sees = 100;
        fixture_group(&f, &kv);
        for (int i = 0; i < 4; i++)
            add(&f, 300 + i, 200, false);
        while (f.n_over < f.n_sequences) {
            while (post_next(&f))
                ;
            assert_true(f.scheduler.n_under_way > 0);
            take_step(&f);
        }
        fixture_fini(&f);
    }
}

// Who is paused takes part in no further step, and parks when none has it.
static void pauses(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct fixture f;
        unsigned random = seed * 2654435761u + 1;
        fixture_init(&f, 14, limits_of(1 + seed % 4, 32));
        for (int i = 0; i < 12; i++)
            add(&f, 5 + i * 31 % 150, 20 + i * 7, i % 4 == 0);
        for (int n = 0; n < 4000 && f.n_over < 12; n++) {
            random = random * 1664525u + 1013904223u;
            struct sequence *s = &f.sequences[(random >> 24) % 12];
            (random & (1u << 20) ? scheduler_pause : scheduler_resume)(&f.scheduler, s);
            int32_t before = s->step_tokens;
            post_next(&f);
            if (s->paused)
                assert_int_equal(s->step_tokens, before);
            if (f.scheduler.n_under_way > 0 && random & (1u << 21))
                take_step(&f);
        }
        for (int i = 0; i < 12; i++)
            scheduler_resume(&f.scheduler, &f.sequences[i]);
        while (f.n_over < f.n_sequences) {
            while (post_next(&f))
                ;
            take_step(&f);
        }
        fixture_fini(&f);
    }
}

// All that is under way is forgotten, and computed once more.
static void losses(void **state)
{
    (void)state;
    for (int lose_after = 1; lose_after < 40; lose_after += 3) {
        struct fixture f;
        fixture_init(&f, 30, limits_of(3, 32));
        for (int i = 0; i < 9; i++)
            add(&f, 10 + i * 23 % 120, 30, i % 3 == 0);
        for (int n = 0; f.n_over < f.n_sequences; n++) {
            while (post_next(&f))
                ;
            if (n % lose_after != lose_after - 1) {
                take_step(&f);
                continue;
            }
            if (n > 400 && f.n_over == 0)
                lose_after = 1000; // it would never get further
            while (f.scheduler.n_under_way > 0) {
                struct step_under_way *step = scheduler_oldest(&f.scheduler);
                for (int i = 0; i < step->n_members; i++)
                    scheduler_member_lost(&step->members[i]);
                free(f.says[f.scheduler.oldest]);
                scheduler_step_over(&f.scheduler);
            }
            scheduler_start_over(&f.scheduler);
            assert_int_equal(f.scheduler.running.n, 0);
        }
        fixture_fini(&f);
    }
}

// A suspect runs alone: others leave their steps first, and it has one step at a time.
static void alone(void **state)
{
    (void)state;
    struct fixture f;
    struct request *suspect = (struct request *)&f, *others = (struct request *)&f.scheduler;
    fixture_init(&f, 64, limits_of(3, 64));
    for (int i = 0; i < 6; i++)
        add(&f, 10, 50, false)->request = i == 5 ? suspect : others;
    while (post_next(&f))
        ;
    take_step(&f);
    while (post_next(&f))
        ;
    scheduler_isolate(&f.scheduler, suspect);
    while (f.scheduler.n_under_way > 0) {
        assert_false(post_next(&f));
        take_step(&f);
    }
    for (int i = 0; i < 20; i++) {
        assert_true(post_next(&f));
        assert_false(post_next(&f));
        assert_ptr_equal(under_way(&f, 0)->members[0].sequence, &f.sequences[5]);
        assert_int_equal(under_way(&f, 0)->n_members, 1);
        take_step(&f);
    }
    scheduler_isolate(&f.scheduler, NULL);
    while (f.n_over < f.n_sequences) {
        while (post_next(&f))
            ;
        take_step(&f);
    }
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_answers),
        cmocka_unit_test(decoding_is_dealt_evenly),
        cmocka_unit_test(chunks_follow_each_other),
        cmocka_unit_test(windows_move_on),
        cmocka_unit_test(pauses),
        cmocka_unit_test(losses),
        cmocka_unit_test(alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
