#include "device/team.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "device/device.h"
#include "device/number.h"

// How long a wait spins, then yields, before it sleeps. A layer's operations take tens of
// microseconds, so that a thread that is done early usually sees the others within the spin. With
// more threads than CPUs spinning only keeps the late ones from running.
enum { SPIN_NS = 50000, SPIN_CROWDED_NS = 500, YIELD_NS = 250000, PAUSES = 16 };

struct turn {
    alignas(64) _Atomic uint32_t number; // one higher each time; wraps around
    _Atomic uint32_t sleepers;           // threads in the kernel, or on the way there
};

// What all threads write lies in lines of its own: the padding is wanted.
struct team { // NOLINT(clang-analyzer-optin.performance.Padding)
    int n_threads;
    bool crowded;               // more threads than CPUs
    bool bound;                 // the caller's CPUs were changed; `cpus_before` gives them back
    bool stop;                  // written before `job` is raised, read after it was seen
    pthread_t caller, *threads; // [n_threads - 1]
    cpu_set_t cpus_before;
    void (*work)(void *context, int thread, int n_threads);
    void *context;
    struct turn job;     // raised when there is work
    struct turn barrier; // raised by the last to arrive
    alignas(64) _Atomic int arrived;
};

struct worker { // handed to a thread at its start
    struct team *team;
    int thread;
};

static void pause_team(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void turn_raise(struct turn *turn)
{
    // Only the raiser writes, so it may read without order. seq_cst on the store and on the load of
    // sleepers: either this thread sees a sleeper's increment, or the sleeper sees the new number.
    // Release comes with it: what was written before is seen by those who wake.
    uint32_t number = atomic_load_explicit(&turn->number, memory_order_relaxed) + 1;
    atomic_store_explicit(&turn->number, number, memory_order_seq_cst);
    if (atomic_load_explicit(&turn->sleepers, memory_order_seq_cst) > 0)
        syscall(SYS_futex, &turn->number, FUTEX_WAKE_PRIVATE, TEAM_THREADS_MAX, NULL, NULL, 0);
}

static bool turn_is(struct turn *turn, uint32_t number)
{
    // Acquire: pairs with turn_raise(), so that the work and all results before it are visible.
    return atomic_load_explicit(&turn->number, memory_order_acquire) == number;
}

// Not longer than this: a wake-up that the kernel refuses costs half a second then, and no hang.
static const struct timespec sleep_max = {0, 500000000};

// Until the number is no longer `number`.
static void turn_await(struct turn *turn, uint32_t number, int64_t spin_ns)
{
    int64_t begin = clock_ns(), now = begin;
    while (now - begin < spin_ns) {
        for (int i = 0; i < PAUSES; i++) {
            if (!turn_is(turn, number))
                return;
            pause_team();
        }
        now = clock_ns();
    }
    while (now - begin < spin_ns + YIELD_NS) {
        if (!turn_is(turn, number))
            return;
        sched_yield();
        now = clock_ns();
    }
    atomic_fetch_add_explicit(&turn->sleepers, 1, memory_order_seq_cst); // see turn_raise()
    while (
        turn_is(turn, number)) // the kernel compares once more and returns at once when it differs
        syscall(SYS_futex, &turn->number, FUTEX_WAIT_PRIVATE, number, &sleep_max, NULL, 0);
    atomic_fetch_sub_explicit(&turn->sleepers, 1,
                              memory_order_relaxed); // a count too high costs one system call
}

static int64_t spin_ns(const struct team *team)
{
    return team->crowded ? SPIN_CROWDED_NS : SPIN_NS;
}

void team_barrier(struct team *team)
{
    if (team->n_threads == 1)
        return;
    // Relaxed: nobody raises it before this thread has arrived, and it has seen the last raise when
    // it left.
    uint32_t number = atomic_load_explicit(&team->barrier.number, memory_order_relaxed);
    // Release: what this thread wrote goes to the last one to arrive; acquire: the last one has it
    // all and passes it on with turn_raise().
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) + 1 < team->n_threads) {
        turn_await(&team->barrier, number, spin_ns(team));
        return;
    }
    atomic_store_explicit(
        &team->arrived, 0,
        memory_order_relaxed); // seen with the raise below, before any next arrival
    turn_raise(&team->barrier);
}

static void *worker_main(void *argument)
{
    struct worker worker = *(struct worker *)argument;
    free(argument);
    struct team *team = worker.team;
    char name[16];
    snprintf(name, sizeof name, "team-%d", worker.thread);
    pthread_setname_np(pthread_self(), name);
    number_mode_set();
    for (uint32_t seen = 0;; seen++) {
        turn_await(&team->job, seen, spin_ns(team));
        if (team->stop)
            return NULL;
        team->work(team->context, worker.thread, team->n_threads);
        team_barrier(team);
    }
}

static enum status thread_start(struct team *team, int thread, const int *cpus)
{
    struct worker *worker;
    TRY(memory_new(1, sizeof *worker, "a thread's start", &worker));
    *worker = (struct worker){.team = team, .thread = thread};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (cpus) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)cpus[thread], &set);
        pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
    }
    // Signals are the caller's business: its own threads shall get them. A fault is the business of
    // the thread that makes it: were its signal blocked, no handler would see it.
    static const int faults[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL};
    sigset_t most, before;
    sigfillset(&most);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&most, faults[i]);
    pthread_sigmask(SIG_SETMASK, &most, &before);
    int error = pthread_create(&team->threads[thread - 1], &attributes, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (!error)
        return OK;
    free(worker);
    if (cpus && error == EINVAL)
        return fail(ERR_INPUT,
                    "thread %d cannot be bound to CPU %d: it is not among this process's CPUs",
                    thread, cpus[thread]);
    return fail(ERR_MEMORY, "cannot start thread %d: %s", thread, strerror(error));
}

static enum status bind_caller(struct team *team, int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    team->bound =
        pthread_getaffinity_np(team->caller, sizeof team->cpus_before, &team->cpus_before) == 0;
    if (pthread_setaffinity_np(team->caller, sizeof set, &set) == 0)
        return OK;
    team->bound = false;
    return fail(ERR_INPUT,
                "thread 0 cannot be bound to CPU %d: it is not among this process's CPUs", cpu);
}

// Ends the `n_started` threads beside the caller.
static void threads_stop(struct team *team, int n_started)
{
    team->stop = true;
    turn_raise(&team->job);
    for (int i = 0; i < n_started; i++)
        pthread_join(team->threads[i], NULL);
}

static enum status check_cpus(int n_threads, const int *cpus)
{
    for (int i = 0; cpus && i < n_threads; i++)
        if (cpus[i] < 0 || cpus[i] >= CPU_SETSIZE)
            return fail(ERR_INPUT, "thread %d: CPU %d is not between 0 and %d", i, cpus[i],
                        CPU_SETSIZE - 1);
    return OK;
}

enum status team_new(int n_threads, const int *cpus, struct team **out)
{
    *out = NULL;
    if (n_threads < 1 || n_threads > TEAM_THREADS_MAX)
        return fail(ERR_INPUT, "%d threads: expected 1 to %d", n_threads, TEAM_THREADS_MAX);
    TRY(check_cpus(n_threads, cpus));
    void *memory;
    TRY(device_memory_new(sizeof(struct team), "a team", &memory)); // aligned
    struct team *team = memory;
    team->n_threads = n_threads;
    team->crowded = n_threads > device_cpu_count();
    team->caller = pthread_self();
    int n_started = 0;
    enum status status;
    TRY_DONE(
        memory_new((size_t)n_threads, sizeof *team->threads, "a team's threads", &team->threads));
    for (; n_started < n_threads - 1; n_started++)
        TRY_DONE(thread_start(team, n_started + 1, cpus));
    if (cpus)
        TRY_DONE(bind_caller(team, cpus[0]));
done:
    if (status != OK) {
        threads_stop(team, n_started);
        free(team->threads);
        device_memory_free(team, sizeof *team);
        return status;
    }
    *out = team;
    return OK;
}

void team_free(struct team *team)
{
    if (!team)
        return;
    threads_stop(team, team->n_threads - 1);
    if (team->bound)
        pthread_setaffinity_np(team->caller, sizeof team->cpus_before, &team->cpus_before);
    free(team->threads);
    device_memory_free(team, sizeof *team);
}

int team_size(const struct team *team)
{
    return team->n_threads;
}

void team_run(struct team *team, void (*work)(void *context, int thread, int n_threads),
              void *context)
{
    number_mode_set(); // a few cycles; another thread may have made the team
    if (team->n_threads == 1) {
        work(context, 0, 1);
        return;
    }
    team->work = work;
    team->context = context;
    turn_raise(&team->job);
    work(context, 0, team->n_threads);
    team_barrier(team);
}
