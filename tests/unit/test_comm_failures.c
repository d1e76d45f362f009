// Collectives that cannot succeed: an error on every rank, with one sentence, and nobody hangs.
#include "ranks.h"

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
        struct group *group;
        int exit_status = -1;
        assert_int_equal(ranks_start(2, "mismatch", i ? "n" : "b", 60, &group), OK);
        assert_int_equal(group_wait(group, &exit_status), ERR_GROUP);
        assert_non_null(strstr(status_message(), "ranks call different collectives"));
        group_close(group, 0);
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
        struct group *group;
        int exit_status = -1;
        char text[16];
        snprintf(text, sizeof text, "%d", n);
        assert_int_equal(ranks_start(3, "small", text, 60, &group), OK);
        enum status status = group_wait(group, &exit_status);
        if (n <= 8) {
            assert_int_equal(status, ERR_GROUP);
            assert_non_null(strstr(status_message(), "rank 2 (pid "));
            assert_non_null(strstr(status_message(), "made to fail by a test"));
            assert_int_not_equal(exit_status, 0);
        } else {
            assert_int_equal(status, OK);
            assert_int_equal(exit_status, 0);
        }
        group_close(group, 0);
    }
}

// Whole programs are made to fail from outside.
static void a_collective_fails_by_the_environment(void **state)
{
    (void)state;
    struct group *group;
    int exit_status = -1;
    setenv("COLROW_FAIL_COLLECTIVE", "1:5", 1);
    assert_int_equal(ranks_start(2, "small", "0", 60, &group), OK);
    unsetenv("COLROW_FAIL_COLLECTIVE");
    assert_int_equal(group_wait(group, &exit_status), ERR_GROUP);
    assert_non_null(strstr(status_message(), "rank 1 (pid "));
    assert_non_null(strstr(status_message(), "made to fail by a test"));
    group_close(group, 0);
}

static const struct ranks_case cases[] = {
    {"mismatch", run_mismatch}, {"small", run_small_program}, {NULL, NULL}};

int main(int argc, char **argv)
{
    if (ranks_is_rank(argc, argv))
        return ranks_run(argc, argv, cases);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(different_calls_are_an_error_on_all),
        cmocka_unit_test(the_nth_collective_fails),
        cmocka_unit_test(a_collective_fails_by_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
