// Collectives that cannot succeed: an error on every rank, with one sentence, and nobody hangs.
#include "worlds.h"

#include <time.h>

#include "base/clock.h"

static int run_mismatch(struct comm *comm, const char *argument)
{
    float data[8] = {0};
    enum status status;
    if (comm_rank(comm) == 0)
        status = comm_all_reduce(comm, NULL, data, data, 3);
    else if (*argument == 'n')
        status = comm_all_reduce(comm, NULL, data, data, 4);
    else
        status = comm_broadcast(comm, data, 3, 0);
    RANK_CHECK(status == ERR_GROUP);
    RANK_CHECK(strstr(status_message(), "ranks call different collectives"));
    RANK_CHECK(comm_barrier(comm) == ERR_GROUP); // and stays so
    return 7;
}

static void different_calls_are_an_error_on_all(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world world;
        int exit_status = -1;
        assert_int_equal(world_start(2, "mismatch", i ? "n" : "b", 60, &world), OK);
        assert_int_equal(world_wait(&world, &exit_status), ERR_GROUP);
        assert_non_null(strstr(status_message(), "ranks call different collectives"));
        world_close(&world);
    }
}

// The same call of the same size, but not the same work: another step, another part of a layer,
// another cut; or a rank that thinks the step is over.
static int run_diverge(struct comm *comm, const char *argument)
{
    int rank = comm_rank(comm);
    float data[8] = {0};
    unsigned char all[24] = {0};
    const size_t cuts[2][2] = {{8, 16}, {16, 8}};
    comm_mark(comm, 12, 2, "down_proj");
    RANK_CHECK(comm_all_reduce(comm, NULL, data, data, 8) == OK);
    enum status status = OK;
    switch (*argument) {
    case 's':
        comm_mark(comm, rank ? 13 : 12, rank ? 0 : 3, "o_proj");
        status = comm_all_reduce(comm, NULL, data, data, 8);
        break;
    case 'p':
        comm_mark(comm, 12, 3, rank ? "o_proj" : "down_proj");
        status = comm_all_reduce(comm, NULL, data, data, 8);
        break;
    case 'c':
        comm_mark(comm, 12, 3, "q,k,v");
        status = comm_all_gather(comm, all, cuts[rank][rank], cuts[rank], all);
        break;
    default:
        comm_mark(comm, 12, 3, "o_proj");
        if (rank == 0) {
            status = comm_all_reduce(comm, NULL, data, data, 8);
            break;
        }
        comm_finish_step(comm, 12);
        for (int i = 0; i < 1000 && status == OK; i++) {
            nanosleep(&(struct timespec){0, 10000000}, NULL);
            status = comm_check(comm);
        }
    }
    RANK_CHECK(status == ERR_GROUP);
    return 7;
}

static void ranks_that_do_other_work_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *how, *sentences[3];
    } cases[] = {
        {"step",
         {"ranks call different collectives: rank ",
          "in all-reduce 2 of step 12 (layer 3, o_proj), of 8 numbers",
          "in all-reduce 1 of step 13 (layer 0, o_proj), of 8 numbers"}},
        {"part",
         {"ranks call different collectives: rank ",
          "in all-reduce 2 of step 12 (layer 3, o_proj), of 8 numbers",
          "in all-reduce 2 of step 12 (layer 3, down_proj), of 8 numbers"}},
        {"cut",
         {"ranks call different collectives: rank ",
          "in all-gather 2 of step 12 (layer 3, q,k,v), of 24 bytes",
          ", cut among ranks in another way"}},
        {"left",
         {"ranks diverge: rank 0 waits for rank 1 in all-reduce 2 of step 12 (layer 3, o_proj), "
          "but "
          "rank 1 (pid ",
          ") has finished the step; its last was all-reduce 1 of step 12 (layer 2, down_proj)",
          ""}},
    };
    // What a peer has finished is seen in memory alone.
    size_t n = sizeof cases / sizeof *cases - !world_is_shm();
    for (size_t i = 0; i < n; i++) {
        struct world world;
        int exit_status = -1;
        double begun = clock_seconds();
        assert_int_equal(world_start(2, "diverge", cases[i].how, 60, &world), OK);
        assert_int_equal(world_wait(&world, &exit_status), ERR_GROUP);
        for (int s = 0; s < 3; s++) {
            if (!strstr(status_message(), cases[i].sentences[s]))
                print_error("expected \"%s\" in: %s\n", cases[i].sentences[s], status_message());
            assert_non_null(strstr(status_message(), cases[i].sentences[s]));
        }
        assert_true(clock_seconds() - begun < patience(1)); // long before any deadline
        world_close(&world);
    }
}

// The n-th collective fails, for each n: an error on every rank, the same sentence, nobody hangs.
static int run_small_program(struct comm *comm, const char *argument)
{
    if (comm_rank(comm) == comm_size(comm) - 1 && atol(argument) > 0)
        comm_fail_after(comm, atol(argument));
    static float data[70000];
    unsigned char bytes[64] = {0}, all[64 * 8];
    enum status status = comm_barrier(comm);
    for (int i = 0; i < 2 && status == OK; i++) {
        status = comm_all_reduce(comm, NULL, data, data, i ? 70000 : 100);
        if (status == OK)
            status = comm_all_gather(comm, bytes, sizeof bytes, NULL, all);
        if (status == OK)
            status = comm_broadcast(comm, bytes, sizeof bytes, 0);
    }
    if (status == OK)
        status = comm_barrier(comm); // a broadcast's root need not notice
    if (status == OK)
        return 0;
    RANK_CHECK(status == ERR_GROUP);
    RANK_CHECK(strstr(status_message(), "made to fail by a test"));
    return 7;
}

static void the_nth_collective_fails(void **state)
{
    (void)state;
    for (int n = 1; n <= 9; n++) {
        struct world world;
        int exit_status = -1;
        char text[16];
        snprintf(text, sizeof text, "%d", n);
        assert_int_equal(world_start(3, "small", text, 60, &world), OK);
        enum status status = world_wait(&world, &exit_status);
        if (n <= 8) {
            assert_int_equal(status, ERR_GROUP);
            assert_non_null(strstr(status_message(), "rank 2 (pid "));
            assert_non_null(strstr(status_message(), "made to fail by a test"));
            assert_int_not_equal(exit_status, 0);
        } else {
            assert_int_equal(status, OK);
            assert_int_equal(exit_status, 0);
        }
        world_close(&world);
    }
}

// Whole programs are made to fail from outside.
static void a_collective_fails_by_the_environment(void **state)
{
    (void)state;
    struct world world;
    int exit_status = -1;
    setenv("COLROW_FAIL_COLLECTIVE", "1:5", 1);
    assert_int_equal(world_start(2, "small", "0", 60, &world), OK);
    unsetenv("COLROW_FAIL_COLLECTIVE");
    assert_int_equal(world_wait(&world, &exit_status), ERR_GROUP);
    assert_non_null(strstr(status_message(), "rank 1 (pid "));
    assert_non_null(strstr(status_message(), "made to fail by a test"));
    world_close(&world);
}

static const struct ranks_case cases[] = {
    {"mismatch", run_mismatch},
    {"small", run_small_program},
    {"diverge", run_diverge},
    {NULL, NULL},
};

int main(int argc, char **argv)
{
    if (ranks_is_rank(argc, argv))
        return ranks_run(argc, argv, cases);
    if (world_is_missing())
        return 77;
    if (argc > 1) // a pattern: only these
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(different_calls_are_an_error_on_all),
        cmocka_unit_test(ranks_that_do_other_work_are_found),
        cmocka_unit_test(the_nth_collective_fails),
        cmocka_unit_test(a_collective_fails_by_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
