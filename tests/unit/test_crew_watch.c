// Ranks that hang, idle or at work, in any of their threads, and the canary that finds them. What
// hangs is a thread that gets SIGILL (tests/faults/inject_faults.c).
#include "crew_client.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "engine/crew.h"

enum { STEPS_TO_LEARN = 16 };

// What tests/faults/inject_faults.c maps.
struct faults {
    int64_t collectives[64];
    int32_t call, rank;
    volatile int64_t countdown;
    int32_t error, fired_pid;
    uint64_t seen[64];
    char names[64][16];
};
static struct faults *faults;

static void map_faults(char *path)
{
    snprintf(path, 128, "%s/faults", toy.folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 4096), 0);
    faults = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(faults != MAP_FAILED);
    close(fd);
}

// The next call of this name by this rank never returns.
static void hang_call(int rank, const char *name)
{
    faults->rank = rank;
    faults->error = -1;
    for (int i = 0; i < 64; i++)
        if (strcmp(faults->names[i], name) == 0)
            faults->call = i;
    assert_true(faults->call > 0);
    faults->countdown = 1;
}

static struct crew *start_within(double deadline, int n_ranks, double step_timeout, double canary)
{
    struct crew_options options = crew_client_options(n_ranks, COLROW_BINARY);
    options.board.threads_per_rank = 2;
    options.deadline_seconds = deadline;
    options.step_timeout_seconds = step_timeout;
    options.canary_seconds = canary;
    options.crowded = true;
    char page[128];
    map_faults(page);
    setenv("FAULTS", page, 1);
    setenv("LD_PRELOAD", FAULTS_LIBRARY, 1);
    struct crew *crew = NULL;
    assert_int_equal(crew_new(&options, &crew), OK);
    assert_int_equal(crew_await_ready(crew, NULL, NULL), OK);
    unsetenv("LD_PRELOAD");
    unlink(page);
    return crew;
}

static struct crew *start(int n_ranks, double step_timeout, double canary)
{
    return start_within(60, n_ranks, step_timeout, canary);
}

static void run_prompt(struct crew *crew, float *logits)
{
    assert_int_equal(crew_await_free(crew), OK);
    crew_client_post(crew);
    assert_int_equal(crew_await_step(crew), OK);
    memcpy(logits, crew_results(crew)->logits, TOY_VOCAB * sizeof *logits);
}

// As an event loop does. `n_wakes` counts.
static enum crew_state sleep_and_poll(struct crew *crew, int *n_wakes)
{
    struct pollfd event = {.fd = crew_fd(crew), .events = POLLIN};
    *n_wakes += poll(&event, 1, 100) > 0;
    return crew_poll(crew);
}

static void run_for(struct crew *crew, double seconds, int *n_wakes)
{
    *n_wakes = 0;
    for (double end = clock_seconds() + seconds; clock_seconds() < end;)
        assert_int_equal(sleep_and_poll(crew, n_wakes), CREW_READY);
}

static int64_t steps_done(struct crew *crew, int rank)
{
    struct flight_report report;
    crew_report(crew, rank, &report);
    return report.steps_done;
}

// The thread of a rank that has a name, or its first one.
static void hang_thread(pid_t pid, const char *name)
{
    char path[300], text[32] = "";
    int tid = name ? 0 : (int)pid;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; !tid && (entry = readdir(folder));) {
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/comm", (int)pid, entry->d_name);
        FILE *file = fopen(path, "re");
        if (file && fgets(text, sizeof text, file) && strncmp(text, name, strlen(name)) == 0)
            tid = atoi(entry->d_name);
        if (file)
            fclose(file);
    }
    closedir(folder);
    assert_true(tid > 0);
    assert_int_equal(syscall(SYS_tgkill, pid, tid, SIGILL), 0);
}

static void assert_broken(struct crew *crew, const char *sentence)
{
    assert_int_equal(crew_fail(crew), ERR_GROUP);
    if (!strstr(status_message(), sentence))
        print_error("expected \"%s\" in: %s\n", sentence, status_message());
    assert_non_null(strstr(status_message(), sentence));
}

static void stop(struct crew *crew)
{
    crew_stop(crew);
    munmap(faults, sizeof *faults);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void an_idle_crew_meets_now_and_then(void **state)
{
    (void)state;
    for (int n_ranks = 1; n_ranks <= 2; n_ranks++) {
        float first[TOY_VOCAB], again[TOY_VOCAB];
        struct crew *crew = start(n_ranks, 0, 0.3);
        run_prompt(crew, first);
        assert_int_equal(steps_done(crew, n_ranks - 1), 1);
        int n_wakes;
        run_for(crew, 2.0, &n_wakes);
        for (int r = 0; r < n_ranks; r++)
            assert_in_range(steps_done(crew, r), 2, 8);
        assert_true(n_wakes < 3 * 8); // the clock, the bell, a tick
        assert_false(crew_step_overdue(crew));
        assert_true(clock_ns() - crew_done_ns(crew) < 1000000000);
        run_prompt(crew, again); // steps are numbered after it
        assert_memory_equal(first, again, sizeof first);
        stop(crew);
    }
}

static void nothing_happens_without_an_interval(void **state)
{
    (void)state;
    float logits[TOY_VOCAB];
    struct crew *crew = start(2, 0, 0);
    run_prompt(crew, logits);
    int n_wakes;
    run_for(crew, 0.5, &n_wakes);
    assert_int_equal(steps_done(crew, 0), 1);
    assert_true(n_wakes < 3);
    stop(crew);
}

// The first thread, or another one, of each rank.
static void an_idle_rank_that_hangs_is_found(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        int n_ranks = 1 + i / 2, rank = n_ranks - 1, n_wakes = 0;
        struct crew *crew = start(n_ranks, 1, 0.2);
        float logits[TOY_VOCAB];
        run_prompt(crew, logits);
        pid_t pid = crew_pid(crew, rank);
        hang_thread(pid, i % 2 ? "team-1" : NULL);
        double begun = clock_seconds();
        bool overdue = false;
        while (sleep_and_poll(crew, &n_wakes) == CREW_READY)
            overdue |= crew_step_overdue(crew);
        double took = clock_seconds() - begun;
        assert_true(overdue); // seen before
        assert_true(took > 1 && took < 1.3 + patience(1.2));
        char sentence[64];
        snprintf(sentence, sizeof sentence, "rank %d (pid %d) has ", rank, (int)pid);
        assert_broken(crew, sentence);
        assert_broken(crew, i % 2 ? "canary for 1." : "not begun step ");
        assert_broken(crew, "; the canary step has taken 1.");
        crew_restart(crew, 0);
        assert_int_equal(crew_await_ready(crew, NULL, NULL), OK);
        run_prompt(crew, logits);
        stop(crew);
    }
}

static void a_step_that_does_not_end_is_found(void **state)
{
    (void)state;
    for (int n_ranks = 1; n_ranks <= 3; n_ranks++) {
        struct crew *crew = start(n_ranks, 0, 0);
        float logits[TOY_VOCAB];
        for (int i = 0; i < STEPS_TO_LEARN; i++)
            run_prompt(crew, logits);
        hang_thread(crew_pid(crew, 0), "team-1");
        double begun = clock_seconds();
        crew_client_post(crew);
        assert_int_equal(crew_await_step(crew), ERR_GROUP);
        double took = clock_seconds() - begun;
        assert_broken(crew, "rank 0 (pid ");
        assert_broken(crew, "has been in step 17, ");
        assert_broken(crew, "; the step has taken ");
        assert_broken(crew, "; steps of its size take up to ");
        const char *usual = strstr(status_message(), "take up to ") + strlen("take up to ");
        double limit =
            strtod(usual, NULL) * 1.05 * 20; // two digits; more than 50 ms on a busy machine
        assert_true(took > 1 && took < (limit > 1 ? limit : 1) + patience(1.2));
        if (n_ranks > 1)
            assert_broken(crew, ", and rank 1 waits for it in step 17, ");
        stop(crew);
    }
}

static void a_start_that_does_not_end_is_found(void **state)
{
    (void)state;
    const char *calls[] = {"pthread_create", "memalign"};
    for (int i = 0; i < 4; i++) {
        int rank = i / 2;
        struct crew *crew = start_within(1, 1 + rank, 0, 0);
        float first[TOY_VOCAB], again[TOY_VOCAB];
        int unused = 0;
        run_prompt(crew, first);
        kill(crew_pid(crew, rank), SIGKILL);
        while (sleep_and_poll(crew, &unused) == CREW_READY)
            ;
        hang_call(rank, calls[i % 2]);
        crew_restart(crew, 0);
        double begun = clock_seconds();
        while (sleep_and_poll(crew, &unused) == CREW_LOADING)
            assert_true(clock_seconds() - begun < 20);
        assert_int_equal(faults->countdown, 0);
        double took = clock_seconds() - begun;
        assert_true(took > 1 && took < 1 + patience(1.5));
        // with a peer, that says it first
        assert_broken(crew, rank ? "rank 1 (pid " : "rank 0 (pid ");
        assert_broken(crew, rank ? "for 1." : "makes no progress in starting for 1.");
        crew_restart(crew, 0);
        assert_int_equal(crew_await_ready(crew, NULL, NULL), OK);
        run_prompt(crew, again);
        assert_memory_equal(first, again, sizeof first);
        stop(crew);
    }
}

// Everything is stopped for longer than a step may take, its owner too, and goes on.
static void a_suspension_is_no_delay(void **state)
{
    (void)state;
    struct crew *crew = start(2, 1, 0);
    float logits[TOY_VOCAB];
    run_prompt(crew, logits);
    pid_t child = fork();
    if (child == 0) {
        const pid_t all[] = {getppid(), crew_pid(crew, 0), crew_pid(crew, 1)};
        usleep(50000);
        for (int i = 0; i < 3; i++)
            kill(all[i], SIGSTOP);
        usleep(2500000);
        for (int i = 2; i >= 0; i--)
            kill(all[i], SIGCONT);
        _exit(0);
    }
    int64_t longest = 0, before = clock_ns();
    for (double end = clock_seconds() + 3.5; clock_seconds() < end;) {
        run_prompt(crew, logits);
        int64_t now = clock_ns();
        longest = now - before > longest ? now - before : longest;
        before = now;
    }
    assert_true(longest > 2000000000);
    waitpid(child, NULL, 0);
    stop(crew);
}

int main(void)
{
    if (access(FAULTS_LIBRARY, R_OK) != 0) {
        printf("skipped: %s is not built (sanitizers)\n", FAULTS_LIBRARY);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_crew_meets_now_and_then),
        cmocka_unit_test(nothing_happens_without_an_interval),
        cmocka_unit_test(an_idle_rank_that_hangs_is_found),
        cmocka_unit_test(a_step_that_does_not_end_is_found),
        cmocka_unit_test(a_start_that_does_not_end_is_found),
        cmocka_unit_test(a_suspension_is_no_delay),
    };
    return cmocka_run_group_tests(tests, toy_set_up, toy_tear_down);
}
