// A group whose ranks are killed, stopped, late, leave too early; whose owner is killed. Always:
// one sentence that names the rank, everything ended within a second, nothing left.
#include "processes.h"
#include "ranks.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"
#include "comm/shm_pair.h"
#include "comm/transport.h"

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

// ---- what ranks do

static int run_work(struct comm *comm, const char *argument)
{
    static float data[20000];
    size_t n = strtoull(argument, NULL, 10), bytes;
    volatile int *board = comm_board(comm, &bytes);
    for (int64_t step = 0;; step++) {
        for (int layer = 0; layer < 4; layer++) {
            comm_mark(comm, step, layer, "down_proj");
            if (comm_all_reduce(comm, NULL, data, data, n) != OK) {
                fprintf(stderr, "%s\n", status_message());
                return 55;
            }
        }
        board[comm_rank(comm)] = (int)step;
    }
}

// Rank 1 misbehaves after ten all-reduces, as `argument` says.
static int run_misbehave(struct comm *comm, const char *argument)
{
    float x = 1;
    for (int i = 0; i < 10; i++) {
        comm_mark(comm, 12, i, "o_proj");
        RANK_CHECK(comm_all_reduce(comm, NULL, &x, &x, 1) == OK);
    }
    comm_mark(comm, 12, 3, "down_proj");
    if (comm_rank(comm) == 1) {
        switch (argument[0]) {
        case 'k':
            raise(SIGKILL);
            break;
        case 's':
            raise(SIGSTOP);
            break;
        case 'e':
            _exit(41);
        case '0':
            _exit(0); // without comm_close()
        case 'c':
            return 0; // with it
        case 'a':
            comm_abort(comm, "the disk is full");
            return 42;
        case 'l':
            sleep_ms(10000);
            break;
        case 'r': // waits for a message that nobody sends
            (void)!comm_recv(comm, &x, sizeof x, 0);
            return 55;
        case 'w': { // says that its message lies where no buffer is
            struct pair_line *pair = segment_pair(&comm->membership->segment, 1, 0);
            for (int i = 0; i < SEND_PIECES; i++)
                atomic_store(&pair->where[i], 77);
            signal_raise(&pair->sent, 1);
            break;
        }
        default:
            break;
        }
    }
    if (strchr("rw", argument[0]) && comm_rank(comm) == 0) {
        (void)!comm_recv(comm, &x, sizeof x, 1);
        return 55;
    }
    RANK_CHECK(comm_all_reduce(comm, NULL, &x, &x, 1) == OK);
    return 55;
}

static int run_busy(struct comm *comm, const char *argument)
{
    (void)argument;
    comm_mark(comm, 7, -1, "lm_head");
    sleep_ms(10000);
    return 0;
}

// Idle, however long, is not late: after a mark that says so, or while waiting with comm_check().
static int run_idle(struct comm *comm, const char *argument)
{
    comm_mark(comm, 7, -1, "lm_head");
    if (*argument == 'm')
        comm_mark(comm, 7, -1, NULL);
    for (double end = clock_seconds() + 1.2; clock_seconds() < end; sleep_ms(50))
        if (*argument != 'm')
            RANK_CHECK(comm_check(comm) == OK);
    return 0;
}

static int run_exit(struct comm *comm, const char *argument)
{
    return comm_rank(comm) == 1 ? atoi(argument) : 0;
}

// ---- helpers of the tests

static void assert_sentence(const char *text)
{
    if (!strstr(status_message(), text))
        fprintf(stderr, "expected \"%s\" in \"%s\"\n", text, status_message());
    assert_non_null(strstr(status_message(), text));
    assert_non_null(strstr(status_message(), "; the group was ended"));
}

// Rank 1 of 3 misbehaves; returns how long it took to find out.
static double misbehave(const char *how, double deadline, int *exit_status)
{
    struct group *group;
    assert_int_equal(ranks_start(3, "misbehave", how, deadline, &group), OK);
    double begun = clock_seconds();
    assert_int_equal(group_wait(group, exit_status), ERR_GROUP);
    double seconds = clock_seconds() - begun;
    for (int r = 0; r < 3; r++) // collected: not even a zombie
        assert_int_equal(waitpid(group_pid(group, r), NULL, WNOHANG), -1);
    char first[STATUS_MESSAGE_MAX];
    snprintf(first, sizeof first, "%s", status_message());
    assert_int_equal(group_check(group), ERR_GROUP);
    assert_string_equal(first, status_message());
    group_close(group, 0);
    return seconds;
}

// ---- tests

static void a_killed_rank(void **state)
{
    (void)state;
    int exit_status;
    assert_true(misbehave("kill", 60, &exit_status) < patience(1));
    assert_sentence("rank 1 (pid ");
    assert_sentence("was killed by signal 9 (Killed) in step 12, layer 3, down_proj");
    assert_int_equal(exit_status, 137);
}

static void a_stopped_rank(void **state)
{
    (void)state;
    int exit_status;
    assert_true(misbehave("stop", 60, &exit_status) < patience(1));
    assert_sentence("was stopped by signal 19 (Stopped (signal)) in step 12, layer 3, down_proj");
    assert_int_not_equal(exit_status, 0);
}

static void a_rank_that_exits(void **state)
{
    (void)state;
    int exit_status;
    assert_true(misbehave("exit", 60, &exit_status) < patience(1));
    assert_sentence("left with exit status 41 in step 12, layer 3, down_proj");
    assert_int_equal(exit_status, 41);
}

static void a_rank_that_leaves_in_peace_too_early(void **state)
{
    (void)state;
    int exit_status;
    assert_true(misbehave("0", 60, &exit_status) < patience(1));
    assert_sentence("rank 1 (pid ");
    assert_sentence("waits for it in step 12, layer 3, all-reduce of down_proj");
    assert_int_not_equal(exit_status, 0);
    assert_true(misbehave("close", 60, &exit_status) < patience(1));
    assert_sentence("has left the group");
    assert_int_not_equal(exit_status, 0);
}

static void a_rank_that_gives_up(void **state)
{
    (void)state;
    int exit_status;
    assert_true(misbehave("abort", 60, &exit_status) < patience(1));
    assert_sentence("gave up in step 12, layer 3, down_proj: the disk is full");
    assert_int_not_equal(exit_status, 0);
}

static void a_late_rank(void **state)
{
    (void)state;
    int exit_status;
    double seconds = misbehave("late", 0.5, &exit_status);
    assert_true(seconds > 0.5 && seconds < 0.5 + patience(1));
    assert_sentence("rank 1 (pid ");
    assert_sentence("is late, still in step 12, layer 3, down_proj: rank ");
    assert_sentence("in step 12, layer 3, all-reduce of down_proj");
}

static void ranks_that_wait_for_each_other(void **state)
{
    (void)state;
    int exit_status;
    double seconds = misbehave("recv", 0.5, &exit_status);
    assert_true(seconds > 0.5 && seconds < 0.5 + patience(1));
    assert_sentence("ranks wait for each other: rank ");
    assert_sentence("receive of down_proj");
}

static void a_peer_with_a_wrong_number(void **state)
{
    (void)state;
    int exit_status;
    assert_true(misbehave("wrong", 60, &exit_status) < patience(1));
    assert_sentence("rank 1 says that a piece for rank 0 lies in buffer 77; expected 0 to 3");
    assert_int_not_equal(exit_status, 0);
}

static void a_busy_rank_is_late_and_an_idle_one_not(void **state)
{
    (void)state;
    struct group *group;
    int exit_status = -1;
    assert_int_equal(ranks_start(1, "busy", "", 0.5, &group), OK);
    assert_int_equal(group_wait(group, &exit_status), ERR_GROUP);
    assert_sentence("is late: it has been busy for");
    assert_sentence("in step 7, lm_head");
    group_close(group, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ranks_start(2, "idle", i ? "mark" : "check", 0.5, &group), OK);
        assert_int_equal(group_wait(group, &exit_status), OK);
        group_close(group, 0);
    }
}

static void exit_statuses(void **state)
{
    (void)state;
    struct group *group;
    int exit_status = -1;
    assert_int_equal(ranks_start(2, "exit", "0", 60, &group), OK);
    assert_int_equal(group_wait(group, &exit_status), OK);
    assert_int_equal(exit_status, 0);
    assert_int_equal(group_check(group), OK);
    group_close(group, 1);
    assert_int_equal(ranks_start(2, "exit", "3", 60, &group), OK);
    assert_int_equal(group_wait(group, &exit_status), ERR_GROUP);
    assert_int_equal(exit_status, 3);
    group_close(group, 1);
}

static void what_cannot_start_is_an_error(void **state)
{
    (void)state;
    const char *arguments[] = {"nothing", NULL};
    struct group_options options = {
        .program = "/nonexistent/program", .arguments = arguments, .n_ranks = 2};
    struct group *group;
    int before = open_files();
    assert_int_equal(group_spawn(&options, &group), ERR_INPUT);
    assert_non_null(strstr(status_message(), "/nonexistent/program: No such file"));
    options.n_ranks = COMM_RANKS_MAX + 1;
    assert_int_equal(group_spawn(&options, &group), ERR_INPUT);
    options.n_ranks = 0;
    assert_int_equal(group_spawn(&options, &group), ERR_INPUT);
    assert_int_equal(open_files(), before);
}

// The n-th reservation fails, for each n, until the group starts.
static void a_start_without_memory_leaves_nothing(void **state)
{
    (void)state;
    int before = open_files();
    enum status status = ERR_MEMORY;
    long n = 1;
    for (; status == ERR_MEMORY; n++) {
        struct group *group;
        memory_fail_after(n);
        status = ranks_start(3, "work", "1", 60, &group);
        memory_fail_after(0);
        if (status == OK)
            group_close(group, 0);
        assert_int_equal(open_files(), before);
    }
    assert_int_equal(status, OK);
    assert_true(n > 10);
}

static void a_rank_has_only_what_it_needs(void **state)
{
    (void)state;
    int extra = dup(1); // not close-on-exec
    const char *script = "ls /proc/self/fd | wc -l; echo $RANK.$LOCAL_RANK.$WORLD_SIZE."
                         "$LOCAL_WORLD_SIZE.$EXTRA.$MASTER_ADDR; readlink /proc/self/fd/0";
    char file[] = "/tmp/colrow-test-group-XXXXXX", command[512], text[256];
    close(mkstemp(file));
    snprintf(command, sizeof command, "(%s) >%s", script, file);
    const char *arguments[] = {"sh", "-c", command, NULL},
               *variables[] = {"EXTRA=1", "RANK=x", NULL};
    const struct group_options options = {
        .program = "sh", .arguments = arguments, .environment = variables, .n_ranks = 1};
    struct group *group;
    int exit_status = -1;
    assert_int_equal(group_spawn(&options, &group), OK);
    assert_int_equal(group_wait(group, &exit_status), OK);
    assert_int_equal(exit_status, 0);
    group_close(group, 0);
    FILE *stream = fopen(file, "r");
    assert_non_null(stream);
    text[fread(text, 1, sizeof text - 1, stream)] = '\0';
    fclose(stream);
    unlink(file);
    close(extra);
    // 0, 1, 2, the two of the group, and the folder that ls reads
    assert_string_equal(text, "6\n0.0.1.1.1.127.0.0.1\n/dev/null\n");
}

// The whole group and its owner are suspended and resumed, as by Ctrl-Z and fg: nobody is blamed.
static int run_owner(int n_ranks, const char *argument, int report_fd);
static void suspension_is_forgiven(void **state)
{
    (void)state;
    pid_t owner = fork();
    if (owner == 0)
        _exit(run_owner(2, "100", -1));
    sleep_ms(200);
    // The ranks are in process groups of their own: find them as the owner's children.
    char path[64], text[128] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)owner, (int)owner);
    FILE *file = fopen(path, "r");
    if (file) {
        assert_non_null(fgets(text, sizeof text, file));
        fclose(file);
    }
    int a = 0, b = 0;
    if (sscanf(text, "%d %d", &a, &b) == 2) {
        kill(owner, SIGSTOP);
        kill(a, SIGSTOP);
        kill(b, SIGSTOP);
        sleep_ms(1500); // longer than the deadline of run_owner()
        kill(owner, SIGCONT);
        sleep_ms(30); // the owner looks first
        kill(a, SIGCONT);
        kill(b, SIGCONT);
        sleep_ms(600);
        assert_int_equal(waitpid(owner, NULL, WNOHANG), 0);
    }
    kill(owner, SIGKILL);
    waitpid(owner, NULL, 0);
}

static void files_and_memory_do_not_grow(void **state)
{
    (void)state;
    int before = open_files();
    for (int i = 0; i < 10; i++) {
        struct group *group;
        assert_int_equal(ranks_start(3, "work", "10", 60, &group), OK);
        if (i % 2)
            sleep_ms(i * 3);
        kill(group_pid(group, i % 3), SIGKILL);
        int exit_status;
        assert_int_equal(group_wait(group, &exit_status), ERR_GROUP);
        group_close(group, 0);
        assert_int_equal(open_files(), before);
    }
    struct group *group;
    assert_int_equal(ranks_start(3, "work", "10", 60, &group), OK);
    group_close(group, 0.5);
    assert_int_equal(ranks_start(3, "work", "10", 60, &group), OK);
    group_close(group, 0);
    assert_int_equal(open_files(), before);
    // No child is left; but the leak checker of a killed rank may have left one of its own.
    while (waitpid(-1, NULL, WNOHANG) > 0)
        assert_true(SANITIZED);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    for (char line[512]; fgets(line, sizeof line, maps);)
        assert_null(strstr(line, "colrow-group"));
    fclose(maps);
}

// ---- the owner's death, and random ones

// A process that owns a group of working ranks; their pids go to `report_fd`.
static int run_owner(int n_ranks, const char *argument, int report_fd)
{
    struct group *group;
    if (ranks_start(n_ranks, "work", argument, 1, &group) != OK)
        return 98;
    pid_t pids[8];
    for (int r = 0; r < n_ranks; r++)
        pids[r] = group_pid(group, r);
    if (report_fd >= 0)
        (void)!write(report_fd, pids, (size_t)n_ranks * sizeof pids[0]);
    int exit_status = 0;
    enum status status = group_wait(group, &exit_status);
    if (status != OK)
        fprintf(stderr, "owner: %s\n", status_message());
    group_close(group, 0);
    return status == OK ? 0 : 1;
}

struct owner {
    pid_t pid, ranks[8];
    int n_ranks, errors; // errors: reading end of everybody's stderr
};

static struct owner start_owner(int n_ranks, const char *argument)
{
    struct owner owner = {.n_ranks = n_ranks};
    int pids[2], errors[2];
    assert_int_equal(pipe(pids), 0);
    assert_int_equal(pipe(errors), 0);
    owner.pid = fork();
    if (owner.pid == 0) {
        dup2(errors[1], 2);
        _exit(run_owner(n_ranks, argument, pids[1]));
    }
    close(pids[1]);
    close(errors[1]);
    size_t wanted = (size_t)n_ranks * sizeof(pid_t);
    assert_int_equal(read(pids[0], owner.ranks, wanted), wanted);
    close(pids[0]);
    owner.errors = errors[0];
    return owner;
}

// Reads what was said until everybody is gone, which must be within the limit; then nobody of the
// family may be left.
static void assert_all_gone(struct owner *owner, char *said, size_t bytes, int *owner_status)
{
    double begun = clock_seconds();
    size_t length = 0;
    for (ssize_t n = 1; n > 0 && length<bytes - 1; length += n> 0 ? (size_t)n : 0) {
        struct pollfd ready = {.fd = owner->errors, .events = POLLIN};
        if (poll(&ready, 1, 5000) <= 0)
            break; // somebody still holds it open
        n = read(owner->errors, said + length, bytes - 1 - length);
    }
    said[length] = '\0';
    close(owner->errors);
    // Orphans are ours (PR_SET_CHILD_SUBREAPER): when there is no child, there is no process.
    *owner_status = -1;
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == owner->pid)
            *owner_status = status;
        if (pid < 0)
            break;
        if (pid == 0)
            sleep_ms(1);
        if (clock_seconds() - begun > 10)
            break;
    }
    double seconds = clock_seconds() - begun;
    if (seconds > patience(1))
        fprintf(stderr, "it took %.2f s: %s\n", seconds, said);
    assert_true(seconds <= patience(1));
}

// Until all ranks work: the last thing that they do at their start has been done.
static void the_owner_is_killed(void **state)
{
    (void)state;
    for (int n_stopped = 0; n_stopped <= 3; n_stopped++) {
        struct owner owner = start_owner(3, "10");
        sleep_ms(200);
        // Just before: the owner itself would end a group with a stopped rank.
        for (int r = 0; r < n_stopped; r++)
            kill(owner.ranks[2 - r], SIGSTOP);
        sleep_ms(5);
        kill(owner.pid, SIGKILL);
        char said[4096], expected[128];
        int status;
        assert_all_gone(&owner, said, sizeof said, &status);
        snprintf(expected, sizeof expected,
                 ": the process that owns the group (pid %d) is gone; leaving\n", (int)owner.pid);
        if (!strstr(said, expected))
            fprintf(stderr, "said: %s\n", said);
        assert_non_null(strstr(said, expected));
        assert_non_null(strstr(said, "colrow rank "));
    }
}

static uint64_t seed = 11;
static uint32_t random_number(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

// Any process, at any time, from their very start; by SIGKILL, or a rank by SIGSTOP.
static void random_deaths_leave_nothing(void **state)
{
    (void)state;
    static const char *const sizes[] = {"1", "5000", "20000"};
    int before = open_files();
    for (int i = 0; i < 60; i++) {
        int n = 1 + (int)(random_number() % 5);
        struct owner owner = start_owner(n, sizes[random_number() % 3]);
        nanosleep(&(struct timespec){.tv_nsec = random_number() % 60000000}, NULL);
        int victim = (int)(random_number() % (uint32_t)(n + 1)) - 1;
        bool stop = victim >= 0 && random_number() % 4 == 0;
        kill(victim < 0 ? owner.pid : owner.ranks[victim], stop ? SIGSTOP : SIGKILL);
        char said[8192], expected[64];
        int status;
        assert_all_gone(&owner, said, sizeof said, &status);
        assert_int_not_equal(status, 0);
        snprintf(expected, sizeof expected, "owner: rank %d (pid %d) was %s by signal", victim,
                 victim < 0 ? 0 : (int)owner.ranks[victim], stop ? "stopped" : "killed");
        if (victim >= 0 && !strstr(said, expected))
            fprintf(stderr, "expected %s, said: %s\n", expected, said);
        if (victim >= 0)
            assert_non_null(strstr(said, expected));
        else
            assert_non_null(strstr(said, "is gone; leaving"));
        assert_int_equal(open_files(), before);
    }
}

static const struct ranks_case cases[] = {{"work", run_work}, {"misbehave", run_misbehave},
                                          {"busy", run_busy}, {"idle", run_idle},
                                          {"exit", run_exit}, {NULL, NULL}};

int main(int argc, char **argv)
{
    if (ranks_is_rank(argc, argv))
        return ranks_run(argc, argv, cases);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_rank),
        cmocka_unit_test(a_stopped_rank),
        cmocka_unit_test(a_rank_that_exits),
        cmocka_unit_test(a_rank_that_leaves_in_peace_too_early),
        cmocka_unit_test(a_rank_that_gives_up),
        cmocka_unit_test(a_late_rank),
        cmocka_unit_test(ranks_that_wait_for_each_other),
        cmocka_unit_test(a_peer_with_a_wrong_number),
        cmocka_unit_test(a_busy_rank_is_late_and_an_idle_one_not),
        cmocka_unit_test(exit_statuses),
        cmocka_unit_test(what_cannot_start_is_an_error),
        cmocka_unit_test(a_start_without_memory_leaves_nothing),
        cmocka_unit_test(a_rank_has_only_what_it_needs),
        cmocka_unit_test(files_and_memory_do_not_grow),
        cmocka_unit_test(the_owner_is_killed),
        cmocka_unit_test(suspension_is_forgiven),
        cmocka_unit_test(random_deaths_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
