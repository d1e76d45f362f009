#include "testing.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "comm/signal_word.h"

static struct signal_word *shared_words(void)
{
    void *words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(words != MAP_FAILED);
    return words;
}

static void values_behind_and_at_the_word_are_reached(void **state)
{
    (void)state;
    struct signal_word word = {.value = 5};
    assert_int_equal(signal_await(&word, 5, WAIT_BUSY, NULL, NULL), OK);
    assert_int_equal(signal_await(&word, 3, WAIT_IDLE, NULL, NULL), OK);
    signal_raise(&word, 0xfffffff0u);
    signal_raise(&word, 4); // past the wrap
    assert_int_equal(signal_await(&word, 0xfffffff8u, WAIT_BUSY, NULL, NULL), OK);
}

static enum status third_time_fails(void *context)
{
    int *n_calls = context;
    return ++*n_calls == 3 ? fail(ERR_CANCELLED, "enough") : OK;
}

static void a_check_ends_the_wait(void **state)
{
    (void)state;
    for (int way = WAIT_BUSY; way <= WAIT_ASLEEP; way++) {
        struct signal_word word = {0};
        int n_calls = 0;
        double begun = clock_seconds();
        assert_int_equal(
            signal_await(&word, 1, (enum signal_patience)way, third_time_fails, &n_calls),
            ERR_CANCELLED);
        assert_true(clock_seconds() - begun < patience(1));
        assert_int_equal(n_calls, 3);
    }
}

// Two processes count together, through all phases of waiting.
static void processes_meet(void **state)
{
    (void)state;
    enum { ROUNDS = 3000 };
    struct signal_word *words = shared_words();
    pid_t child = fork();
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        int self = child == 0;
        if (i % 997 == 0 && self) // long enough that the other one sleeps
            nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        signal_raise(&words[self * 8], i);
        if (signal_await(&words[!self * 8], i, (enum signal_patience)(i % 3), NULL, NULL) != OK)
            _exit(1);
    }
    if (child == 0)
        _exit(0);
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    munmap(words, 4096);
}

static void *raise_late(void *context)
{
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    signal_raise(context, 1);
    return NULL;
}

static double cpu_seconds(void) // of this thread
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void assert_wait_costs_nothing(enum signal_patience patience)
{
    struct signal_word word = {0};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, raise_late, &word), 0);
    double cpu = cpu_seconds(), begun = clock_seconds();
    assert_int_equal(signal_await(&word, 1, patience, NULL, NULL), OK);
    assert_true(clock_seconds() - begun > 0.25);
    assert_true(cpu_seconds() - cpu < 0.003); // 1 % of 300 ms
    pthread_join(thread, NULL);
}

static void an_idle_wait_costs_nothing(void **state)
{
    (void)state;
    assert_wait_costs_nothing(WAIT_IDLE);
    assert_wait_costs_nothing(WAIT_ASLEEP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_behind_and_at_the_word_are_reached),
        cmocka_unit_test(a_check_ends_the_wait),
        cmocka_unit_test(processes_meet),
        cmocka_unit_test(an_idle_wait_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
