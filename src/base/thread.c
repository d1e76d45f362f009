#include "base/thread.h"

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum status quiet_thread_start(pthread_t *thread, void *(*run)(void *), void *context,
                               const char *purpose)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(thread, NULL, run, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error ? fail(ERR_MEMORY, "cannot start the thread that %s: %s", purpose, strerror(error))
                 : OK;
}

// What sched_getattr(2) and sched_setattr(2) take, which glibc does not declare.
struct scheduling {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice_ns; // of a thread without a deadline
    uint64_t deadline_ns, period_ns;
};

void thread_take_short_slices(void)
{
    struct scheduling scheduling = {0};
    if (syscall(SYS_sched_getattr, 0, &scheduling, sizeof scheduling, 0) != 0 ||
        scheduling.policy != SCHED_OTHER)
        return;
    scheduling.slice_ns = 100000; // the least there is
    (void)syscall(SYS_sched_setattr, 0, &scheduling, 0);
}
