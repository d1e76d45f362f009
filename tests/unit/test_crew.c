// Ranks that start without anybody waiting, do steps, die, and start again.
#include "crew_client.h"
#include "processes.h"

#include <poll.h>
#include <signal.h>
#include <time.h>

#include "base/clock.h"
#include "engine/crew.h"
#include "model/plan.h"

static struct crew *start(int n_ranks, const char *program)
{
    struct crew_options options = crew_client_options(n_ranks, program);
    options.board.confinement = 1;
    struct crew *crew = NULL;
    assert_int_equal(crew_new(&options, &crew), OK);
    return crew;
}

// As an event loop does: nothing but the file descriptor says when to look.
static enum crew_state sleep_and_poll(struct crew *crew)
{
    struct pollfd event = {.fd = crew_fd(crew), .events = POLLIN};
    assert_int_equal(poll(&event, 1, 20000), 1);
    return crew_poll(crew);
}

static enum crew_state wait_while(struct crew *crew, enum crew_state state)
{
    enum crew_state now;
    do
        now = sleep_and_poll(crew);
    while (now == state);
    return now;
}

// Runs a step and gives its logits.
static void run_prompt(struct crew *crew, float *logits)
{
    crew_client_post(crew);
    crew_listen(crew);
    while (!crew_take(crew))
        assert_int_equal(sleep_and_poll(crew), CREW_READY);
    memcpy(logits, crew_results(crew)->logits, TOY_VOCAB * sizeof *logits);
}

static void assert_broken(struct crew *crew, const char *sentence)
{
    assert_int_equal(crew_fail(crew), ERR_GROUP);
    if (!strstr(status_message(), sentence))
        print_error("expected \"%s\" in: %s\n", sentence, status_message());
    assert_non_null(strstr(status_message(), sentence));
}

static void a_crew_does_steps(void **state)
{
    (void)state;
    int files = open_files();
    static float first[TOY_VOCAB], again[TOY_VOCAB];
    for (int n_ranks = 1; n_ranks <= 3; n_ranks++) {
        struct crew *crew = start(n_ranks, COLROW_BINARY);
        assert_int_equal(crew_state(crew), CREW_LOADING);
        assert_int_equal(wait_while(crew, CREW_LOADING), CREW_READY);
        assert_true(crew_bytes_read(crew) > 0);
        run_prompt(crew, n_ranks == 1 ? first : again);
        if (n_ranks > 1)
            assert_memory_equal(again, first, sizeof first);
        crew_client_post(crew); // and with waiting
        assert_int_equal(crew_await_step(crew), OK);
        assert_memory_equal(crew_results(crew)->logits, first, sizeof first);
        run_prompt(crew, again);
        assert_memory_equal(again, first, sizeof first);
        crew_stop(crew);
        assert_no_children();
    }
    assert_int_equal(open_files(), files);
    crew_stop(NULL);
}

// Idle, and with a step under way.
static void a_dead_rank_is_replaced(void **state)
{
    (void)state;
    int files = open_files();
    static float first[TOY_VOCAB], again[TOY_VOCAB];
    struct crew *crew = start(2, COLROW_BINARY);
    assert_int_equal(crew_await_ready(crew, NULL, NULL), OK);
    run_prompt(crew, first);
    for (int round = 0; round < 6; round++) {
        int victim = round % 2;
        if (round >= 3)
            crew_client_post(crew);
        pid_t pid = crew_pid(crew, victim);
        assert_int_equal(kill(pid, round % 3 ? SIGKILL : CRASH_SIGNAL), 0);
        assert_int_equal(wait_while(crew, CREW_READY), CREW_BROKEN);
        char sentence[64];
        snprintf(sentence, sizeof sentence, "rank %d (pid %d) was killed by signal", victim,
                 (int)pid);
        assert_broken(crew, sentence);
        assert_int_equal(crew_poll(crew), CREW_BROKEN); // stays so until told
        crew_restart(crew, 0);
        if (round % 2)
            assert_int_equal(crew_await_ready(crew, NULL, NULL), OK);
        else
            assert_int_equal(wait_while(crew, CREW_LOADING), CREW_READY);
        assert_int_equal(crew_generation(crew), round + 2);
        assert_int_not_equal(crew_pid(crew, victim), pid);
        run_prompt(crew, again);
        assert_memory_equal(again, first, sizeof first);
    }
    crew_stop(crew);
    assert_no_children();
    assert_int_equal(open_files(), files);
}

static void a_rank_may_die_while_loading(void **state)
{
    (void)state;
    struct crew *crew = start(2, COLROW_BINARY);
    kill(crew_pid(crew, 1), SIGKILL);
    assert_int_equal(wait_while(crew, CREW_LOADING), CREW_BROKEN);
    assert_broken(crew, "rank 1 (pid");
    crew_restart(crew, 0);
    assert_int_equal(wait_while(crew, CREW_LOADING), CREW_READY);
    static float logits[TOY_VOCAB];
    run_prompt(crew, logits);
    crew_stop(crew);
    assert_no_children();
}

static void a_stopped_rank_is_found(void **state)
{
    (void)state;
    struct crew *crew = start(2, COLROW_BINARY);
    assert_int_equal(crew_await_ready(crew, NULL, NULL), OK);
    kill(crew_pid(crew, 0), SIGSTOP);
    crew_client_post(crew);
    crew_listen(crew);
    assert_int_equal(wait_while(crew, CREW_READY), CREW_BROKEN);
    assert_broken(crew, "stopped");
    crew_stop(crew);
    assert_no_children();
}

// Of a rank that works: the process that has its weights.
static pid_t keeper_of(pid_t rank)
{
    char path[64], text[512] = "";
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)rank);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    assert_int_equal(sscanf(strrchr(text, ')') + 1, " %*c %d", &parent), 1);
    assert_int_not_equal(parent, getpid());
    return (pid_t)parent;
}

// The rank ends with it, and the next loads again; one that is stopped is missed when its rank is
// gone. The others' keepers stay.
static void a_keeper_may_die(void **state)
{
    (void)state;
    int files = open_files();
    static float first[TOY_VOCAB], again[TOY_VOCAB];
    struct crew *crew = start(2, COLROW_BINARY);
    assert_int_equal(crew_await_ready(crew, NULL, NULL), OK);
    run_prompt(crew, first);
    for (int stop = 0; stop < 2; stop++) {
        pid_t ranks[] = {crew_pid(crew, 0), crew_pid(crew, 1)};
        pid_t keepers[] = {keeper_of(ranks[0]), keeper_of(ranks[1])};
        kill(keepers[1], stop ? SIGSTOP : SIGKILL);
        if (stop)
            kill(ranks[0], SIGKILL);
        assert_int_equal(wait_while(crew, CREW_READY), CREW_BROKEN);
        char sentence[64];
        snprintf(sentence, sizeof sentence, "%srank %d (pid %d) was killed by signal",
                 stop ? "" : "the keeper of ", stop ? 0 : 1, (int)(stop ? ranks[0] : keepers[1]));
        assert_broken(crew, sentence);
        crew_restart(crew, 0);
        assert_int_equal(wait_while(crew, CREW_LOADING), CREW_READY);
        assert_int_equal(keeper_of(crew_pid(crew, 0)), keepers[0]);
        assert_int_not_equal(keeper_of(crew_pid(crew, 1)), keepers[1]);
        run_prompt(crew, again);
        assert_memory_equal(again, first, sizeof first);
    }
    crew_stop(crew);
    assert_no_children();
    assert_int_equal(open_files(), files);
}

// A rank that starts again finds that its weights are no longer what was loaded.
static void spoilt_weights_are_loaded_again(void **state)
{
    (void)state;
    static float first[TOY_VOCAB], again[TOY_VOCAB];
    setenv("COLROW_SPOIL_WEIGHTS", "1", 1);
    struct crew *crew = start(2, COLROW_BINARY);
    unsetenv("COLROW_SPOIL_WEIGHTS");
    assert_int_equal(crew_await_ready(crew, NULL, NULL), OK);
    run_prompt(crew, first);
    struct timespec moment = {0, 300000000}; // for the sums: nothing tells that they are there
    nanosleep(&moment, NULL);
    kill(crew_pid(crew, 0), SIGKILL);
    assert_int_equal(wait_while(crew, CREW_READY), CREW_BROKEN);
    crew_restart(crew, 0);
    enum crew_state now;
    do
        now = sleep_and_poll(crew);
    while (now != CREW_BROKEN);
    assert_broken(crew, "of its weights in memory are not what was loaded");
    assert_broken(crew, "rank 1 (pid");
    crew_restart(crew, 0);
    assert_int_equal(wait_while(crew, CREW_LOADING), CREW_READY);
    run_prompt(crew, again);
    assert_memory_equal(again, first, sizeof first);
    crew_stop(crew);
    assert_no_children();
}

static void no_ranks_at_all(void **state)
{
    (void)state;
    int files = open_files();
    const char *programs[] = {"/bin/true", "/bin/false"};
    for (int i = 0; i < 2; i++) {
        struct crew *crew = start(2, programs[i]);
        assert_int_equal(wait_while(crew, CREW_LOADING), CREW_BROKEN);
        assert_broken(crew, "rank");
        crew_restart(crew, 0); // which does not help
        assert_int_equal(crew_await_ready(crew, NULL, NULL), ERR_GROUP);
        assert_int_equal(crew_state(crew), CREW_BROKEN);
        crew_stop(crew);
    }
    assert_no_children();
    assert_int_equal(open_files(), files);
}

// Nothing in the file descriptor keeps an event loop awake that has nothing to do.
static void an_idle_crew_is_quiet(void **state)
{
    (void)state;
    struct crew *crew = start(2, COLROW_BINARY);
    assert_int_equal(crew_await_ready(crew, NULL, NULL), OK);
    static float logits[TOY_VOCAB];
    run_prompt(crew, logits);
    struct pollfd event = {.fd = crew_fd(crew), .events = POLLIN};
    int n_wakes = 0;
    while (poll(&event, 1, 300) > 0) {
        crew_poll(crew);
        assert_true(++n_wakes < 10);
    }
    crew_ring(crew);
    assert_int_equal(poll(&event, 1, 0), 1);
    crew_poll(crew);
    assert_int_equal(poll(&event, 1, 0), 0);
    crew_stop(crew);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crew_does_steps),
        cmocka_unit_test(a_dead_rank_is_replaced),
        cmocka_unit_test(a_rank_may_die_while_loading),
        cmocka_unit_test(a_stopped_rank_is_found),
        cmocka_unit_test(a_keeper_may_die),
        cmocka_unit_test(spoilt_weights_are_loaded_again),
        cmocka_unit_test(no_ranks_at_all),
        cmocka_unit_test(an_idle_crew_is_quiet),
    };
    return cmocka_run_group_tests(tests, toy_set_up, toy_tear_down);
}
