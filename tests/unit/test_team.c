#include "testing.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"
#include "device/device.h"
#include "device/team.h"

enum { ROUNDS = 2000 };

struct relay { // each round every thread adds up what all wrote in the round before
    struct team *team;
    long values[2][TEAM_THREADS_MAX];
    atomic_int wrong;
};

static void relay_work(void *context, int thread, int n_threads)
{
    struct relay *relay = context;
    for (int round = 0; round < ROUNDS; round++) {
        relay->values[round % 2][thread] = round + thread;
        team_barrier(relay->team);
        long sum = 0, expected = (long)n_threads * round + (long)n_threads * (n_threads - 1) / 2;
        for (int i = 0; i < n_threads; i++)
            sum += relay->values[round % 2][i];
        if (sum != expected)
            atomic_fetch_add(&relay->wrong, 1);
    }
}

static void barriers_order_the_work(void **state)
{
    (void)state;
    for (int n_threads = 1; n_threads <= 9; n_threads += 2) {
        struct relay relay = {0};
        assert_int_equal(team_new(n_threads, NULL, &relay.team), OK);
        assert_int_equal(team_size(relay.team), n_threads);
        int64_t begin = clock_ns();
        for (int i = 0; i < 3; i++)
            team_run(relay.team, relay_work, &relay);
        printf("%d threads: %.2f us a barrier\n", n_threads,
               (double)(clock_ns() - begin) / (3e3 * ROUNDS));
        assert_int_equal(relay.wrong, 0);
        team_free(relay.team);
    }
}

static void count_work(void *context, int thread, int n_threads)
{
    (void)n_threads;
    ((int *)context)[thread]++;
}

static void runs_follow_each_other(void **state)
{
    (void)state;
    struct team *team;
    int counts[4] = {0};
    assert_int_equal(team_new(4, NULL, &team), OK);
    for (int i = 0; i < 5000; i++)
        team_run(team, count_work, counts);
    for (int i = 0; i < 4; i++)
        assert_int_equal(counts[i], 5000);
    team_free(team);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void idle_threads_sleep_and_wake(void **state)
{
    (void)state;
    struct team *team;
    int counts[4] = {0};
    assert_int_equal(team_new(4, NULL, &team), OK);
    team_run(team, count_work, counts);
    double before = cpu_seconds();
    for (int i = 0; i < 5; i++) {
        usleep(50000);
        team_run(team, count_work, counts);
    }
    assert_true(cpu_seconds() - before < 0.05);
    assert_int_equal(counts[3], 6);
    team_free(team);
}

static void mode_work(void *context, int thread, int n_threads)
{
    (void)n_threads;
    volatile float smallest = 0x1p-126f, half = 0.5f;
    ((float *)context)[thread] = smallest * half;
}

static void every_thread_flushes_denormals(void **state)
{
    (void)state;
    struct team *team;
    float values[3] = {1, 1, 1};
    assert_int_equal(team_new(3, NULL, &team), OK);
    team_run(team, mode_work, values);
    team_free(team);
    for (int i = 0; i < 3; i++)
        assert_int_equal(bits_of_float(values[i]), 0);
}

static void where_work(void *context, int thread, int n_threads)
{
    (void)n_threads;
    ((int *)context)[thread] = sched_getcpu();
}

static void threads_are_bound(void **state)
{
    (void)state;
    cpu_set_t before, after;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    int cpus[2] = {-1, -1}, n = 0, where[2] = {-1, -1};
    for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
        if (CPU_ISSET((size_t)i, &before))
            cpus[n++] = i;
    if (n < 2)
        cpus[1] = cpus[0];
    struct team *team;
    assert_int_equal(team_new(2, cpus, &team), OK);
    team_run(team, where_work, where);
    team_free(team);
    assert_int_equal(where[0], cpus[0]);
    assert_int_equal(where[1], cpus[1]);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    struct team *team;
    assert_int_equal(team_new(0, NULL, &team), ERR_INPUT);
    assert_int_equal(team_new(TEAM_THREADS_MAX + 1, NULL, &team), ERR_INPUT);
    assert_int_equal(team_new(2, (int[]){0, 1023}, &team), ERR_INPUT);
    assert_non_null(strstr(status_message(), "CPU 1023"));
    assert_int_equal(team_new(2, (int[]){0, -1}, &team), ERR_INPUT);
    assert_null(team);
    for (long n = 1; n <= 4; n++) { // every reservation fails once
        memory_fail_after(n);
        enum status status = team_new(4, NULL, &team);
        memory_fail_after(0);
        assert_int_equal(status, ERR_MEMORY);
        assert_null(team);
    }
    team_free(NULL);
}

static void parts_cover_everything_once(void **state)
{
    (void)state;
    for (int count = 0; count < 40; count++)
        for (int n = 1; n < 9; n++) {
            int next = 0;
            for (int i = 0; i < n; i++) {
                int begin, end;
                team_part(count, i, n, &begin, &end);
                assert_int_equal(begin, next);
                assert_in_range(end - begin, count / n, (count + n - 1) / n);
                next = end;
            }
            assert_int_equal(next, count);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(barriers_order_the_work),
        cmocka_unit_test(runs_follow_each_other),
        cmocka_unit_test(idle_threads_sleep_and_wake),
        cmocka_unit_test(every_thread_flushes_denormals),
        cmocka_unit_test(threads_are_bound),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(parts_cover_everything_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
