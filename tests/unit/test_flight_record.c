// Who is said to keep a step from its end, from what the ranks' records show.
#include "testing.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "comm/flight_record.h"

enum { RANKS = 2, STEP = 9 };

struct scene {
    struct segment segment;
    struct signal_word *word[RANKS]; // raised by that rank
    char text[512];
};

static int set_up(void **state)
{
    static struct scene scene;
    const struct world_part whole = {.n_ranks = RANKS, .world_size = RANKS};
    int fd = -1;
    memset(&scene, 0, sizeof scene);
    if (segment_new(&whole, 0, 1.0, &scene.segment, &fd) != OK)
        return -1;
    close(fd);
    for (int r = 0; r < RANKS; r++) {
        scene.word[r] = &segment_line(&scene.segment, 0, r)->published;
        flight_mark(&scene.segment.ranks[r].flight, STEP, 0, "o_proj");
    }
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    segment_unmap(&scene->segment);
    return 0;
}

static struct flight_record *record(struct scene *scene, int rank)
{
    return &scene->segment.ranks[rank].flight;
}

// `rank` sleeps until the other one raises its word to `value`.
static void wait_for_other(struct scene *scene, int rank, uint32_t value, int64_t since_ns)
{
    flight_begin(record(scene, rank), OPERATION_ALL_REDUCE);
    flight_wait(&scene->segment, record(scene, rank), 1 - rank, scene->word[1 - rank], value,
                since_ns);
}

static const char *say(struct scene *scene)
{
    flight_say_step(&scene->segment, STEP, scene->text, sizeof scene->text);
    return scene->text;
}

static void who_works_is_waited_for(void **state)
{
    struct scene *scene = *state;
    wait_for_other(scene, 0, 1, clock_ns());
    assert_int_equal(flight_waits_for(&scene->segment, record(scene, 0)), 1);
    assert_int_equal(flight_waits_for(&scene->segment, record(scene, 1)), -1);
    assert_ptr_equal(strstr(say(scene), "rank 1 (pid 0) has been in step 9, layer 0, o_proj for"),
                     scene->text);
    assert_non_null(strstr(scene->text, "rank 0 waits for it in step 9, layer 0, all-reduce"));
}

// What it waits for came while it hung, and the other one went on to its next collective.
static void who_sleeps_over_what_has_come_is_the_one(void **state)
{
    struct scene *scene = *state;
    int64_t now = clock_ns();
    wait_for_other(scene, 1, 1, now - 3000000000);
    wait_for_other(scene, 0, 1, now - 2900000000);
    atomic_store(&scene->word[0]->value, 1); // rank 0 has published; rank 1 has not
    assert_int_equal(flight_waits_for(&scene->segment, record(scene, 1)), -1);
    assert_int_equal(flight_waits_for(&scene->segment, record(scene, 0)), 1);
    assert_ptr_equal(strstr(say(scene), "rank 1 (pid 0) has been in step 9, layer 0, all-reduce"),
                     scene->text);
    struct lateness late;
    assert_true(flight_find_late(&scene->segment, now, &late));
    assert_int_equal(late.rank, 1);
    assert_int_equal(late.waiter, 0);
    assert_false(late.circle);
}

static void who_waits_for_each_other_is_said_so(void **state)
{
    struct scene *scene = *state;
    for (int r = 0; r < RANKS; r++)
        wait_for_other(scene, r, 1, clock_ns() - 2000000000);
    assert_ptr_equal(strstr(say(scene), "step 9 does not end, and rank 0 waits for rank 1"),
                     scene->text);
    struct lateness late;
    assert_true(flight_find_late(&scene->segment, clock_ns(), &late));
    assert_true(late.circle);
}

// Sequence numbers wrap around; a word behind the wanted one has not come.
static void words_are_compared_as_sequence_numbers(void **state)
{
    struct scene *scene = *state;
    wait_for_other(scene, 0, 1, clock_ns());
    atomic_store(&scene->word[1]->value, UINT32_MAX);
    assert_int_equal(flight_waits_for(&scene->segment, record(scene, 0)), 1);
    flight_wait(&scene->segment, record(scene, 0), 1, scene->word[1], UINT32_MAX - 1, 1);
    assert_int_equal(flight_waits_for(&scene->segment, record(scene, 0)), -1);
    flight_wait_end(record(scene, 0));
    assert_int_equal(flight_waits_for(&scene->segment, record(scene, 0)), -1);
}

// What lies outside the segment cannot be looked at: it has not come, whatever the record says.
static void words_outside_are_not_read(void **state)
{
    struct scene *scene = *state;
    struct signal_word own = {0};
    flight_wait(&scene->segment, record(scene, 0), 1, &own, 0, 1);
    assert_int_equal(atomic_load(&record(scene, 0)->waits_word), 0);
    assert_int_equal(flight_waits_for(&scene->segment, record(scene, 0)), 1);
    const uint64_t offsets[] = {2, scene->segment.bytes, scene->segment.bytes + 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        atomic_store(&record(scene, 0)->waits_word, offsets[i]);
        assert_int_equal(flight_waits_for(&scene->segment, record(scene, 0)), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_works_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_sleeps_over_what_has_come_is_the_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_waits_for_each_other_is_said_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(words_are_compared_as_sequence_numbers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(words_outside_are_not_read, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
