// Tests that run as a group of processes: the test program starts itself again as the ranks. main()
// is
//
//     if (ranks_is_rank(argc, argv)) return ranks_run(argc, argv, cases);
//     ... cmocka ...
//
// and a test calls ranks_group(n, "case", ...), or ranks_pass() when all ranks shall return 0.
#ifndef COLROW_TESTS_RANKS_H
#define COLROW_TESTS_RANKS_H

#include "testing.h"

#include "comm/comm.h"
#include "comm/group.h"

struct ranks_case {
    const char *name;
    int (*run)(struct comm *comm, const char *argument); // returns the exit status
};

static inline int ranks_is_rank(int argc, char **argv)
{
    return argc >= 4 && strcmp(argv[1], "--rank") == 0;
}

// Whether this transport can be had here: 77 when not.
static inline int ranks_only_open(void)
{
    struct comm *comm;
    enum status status = comm_open(&comm);
    if (status != OK)
        return status == ERR_UNSUPPORTED ? 77 : 100;
    comm_close(comm);
    return 0;
}

static inline int ranks_run(int argc, char **argv, const struct ranks_case *cases)
{
    (void)argc;
    if (strcmp(argv[2], "none") == 0)
        return ranks_only_open();
    for (; cases->name; cases++) {
        if (strcmp(cases->name, argv[2]) != 0)
            continue;
        struct comm *comm;
        if (comm_open(&comm) != OK) {
            fprintf(stderr, "%s\n", status_message());
            return 100;
        }
        int result = cases->run(comm, argv[3]);
        comm_close(comm);
        return result;
    }
    return 101;
}

static inline enum status ranks_start(int n_ranks, const char *name, const char *argument,
                                      double deadline, struct group **out)
{
    const char *arguments[] = {"ranks", "--rank", name, argument, NULL};
    const struct group_options options = {.program = "/proc/self/exe",
                                          .arguments = arguments,
                                          .n_ranks = n_ranks,
                                          .board_bytes = 1 << 16,
                                          .deadline_seconds = deadline};
    return group_spawn(&options, out);
}

// Runs a case to its end; all ranks shall return 0.
static inline void ranks_pass(int n_ranks, const char *name, const char *argument)
{
    struct group *group;
    int exit_status = -1;
    assert_int_equal(ranks_start(n_ranks, name, argument, 60, &group), OK);
    if (group_wait(group, &exit_status) != OK)
        fprintf(stderr, "%s at %d ranks: %s\n", name, n_ranks, status_message());
    assert_int_equal(exit_status, 0);
    group_close(group, 0);
}

// In a rank: leaves with the line's number when something does not hold.
#define RANK_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "rank %s: %s:%d: %s: %s\n", getenv("RANK"), __FILE__, __LINE__,        \
                    #condition, status_message());                                                 \
            return 99;                                                                             \
        }                                                                                          \
    } while (0)

#endif
