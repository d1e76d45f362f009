#include "comm/rank_watcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/thread.h"
#include "comm/process_handle.h"
#include "comm/reduction_tree.h"

struct rank_watcher {
    struct segment *segment;
    int local_rank, life_fd, stop_fd;
    struct process_handle owner;
    pthread_t thread;
};

// stderr may be a full pipe that nobody reads: the line is lost then, not the second in which we
// promised to leave.
static void say_owner_gone(const char *line)
{
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&ready, 1, 100) > 0 && (ready.revents & POLLOUT)) {
        ssize_t written = write(STDERR_FILENO, line, strlen(line));
        (void)written;
    }
}

static _Noreturn void leave(struct rank_watcher *watcher)
{
    struct segment_header *header = watcher->segment->header;
    // relaxed: one winner is all that is asked for
    bool first = !atomic_exchange_explicit(&header->owner_missed, 1, memory_order_relaxed);
    if (first && !atomic_load_explicit(&header->closing, memory_order_relaxed)) {
        char line[128];
        snprintf(line, sizeof line,
                 "colrow rank %d: the process that owns the group (pid %d) is gone; leaving\n",
                 watcher->segment->first_rank + watcher->local_rank, (int)header->owner_pid);
        say_owner_gone(line);
    }
    _exit(EXIT_FAILURE);
}

// True once the owner is gone, false when told to stop.
static bool watch_owner(struct rank_watcher *watcher)
{
    struct pollfd fds[3] = {
        {.fd = watcher->stop_fd, .events = POLLIN},
        {.fd = watcher->life_fd, .events = POLLIN},
        // A child that the owner forked may hold the pipe open: then this tells. -1 is ignored by
        // poll().
        {.fd = watcher->owner.fd, .events = POLLIN},
    };
    for (;;) {
        int n = poll(fds, 3, watcher->owner.fd < 0 ? 250 : -1);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return true; // cannot watch: the promise comes first
        if (n > 0 && fds[0].revents)
            return false;
        if (n > 0 && (fds[1].revents || fds[2].revents))
            return true;
        if (n == 0 && process_is_gone(&watcher->owner))
            return true;
    }
}

static void *run_watcher(void *context)
{
    struct rank_watcher *watcher = context;
    // Once more: the kernel keeps it with the thread that asked, and the one that did may end
    // before the process.
    prctl(PR_SET_PDEATHSIG, SIGCONT);
    if (watch_owner(watcher))
        leave(watcher);
    return NULL;
}

static bool owner_gone_already(const struct rank_watcher *watcher)
{
    pid_t owner = watcher->segment->header->owner_pid;
    struct pollfd life = {.fd = watcher->life_fd, .events = POLLIN};
    if (poll(&life, 1, 0) > 0 && life.revents)
        return true;
    // Not a child of a wrapper, but of the owner itself, or of our keeper: then it must still be
    // our parent.
    const struct rank_record *record = &watcher->segment->ranks[watcher->local_rank];
    bool child = atomic_load_explicit(&record->pid, memory_order_relaxed) == (int32_t)getpid();
    pid_t keeper = (pid_t)atomic_load_explicit(&record->keeper_pid, memory_order_relaxed);
    pid_t parent = keeper && keeper != getpid() ? keeper : owner;
    return (child && getppid() != parent) || process_is_gone(&watcher->owner) ||
           (watcher->owner.fd < 0 && kill(owner, 0) && errno == ESRCH);
}

enum status rank_watcher_start(struct segment *segment, int local_rank, int life_fd,
                               struct rank_watcher **out)
{
    // SIGCONT, not SIGKILL: it reaches a stopped process just as well, and then the watcher can say
    // why it leaves. It also does no harm when only the thread that started us ends, for which the
    // kernel sends it too.
    if (prctl(PR_SET_PDEATHSIG, SIGCONT))
        return fail_errno("ask for the death signal of", "the parent process");
    struct rank_watcher *watcher;
    TRY(memory_new(1, sizeof *watcher, "the watcher of the group's owner", &watcher));
    watcher->segment = segment;
    watcher->local_rank = local_rank;
    watcher->life_fd = life_fd;
    watcher->owner = process_handle_open(segment->header->owner_pid);
    if (owner_gone_already(watcher)) // between its spawn() and our prctl()
        leave(watcher);
    enum status status = OK;
    watcher->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (watcher->stop_fd < 0)
        status = fail_errno("create", "an event to stop the watcher with");
    if (status == OK)
        status =
            quiet_thread_start(&watcher->thread, run_watcher, watcher, "watches the group's owner");
    if (status == OK) {
        *out = watcher;
        return OK;
    }
    if (watcher->stop_fd >= 0)
        close(watcher->stop_fd);
    process_handle_close(&watcher->owner);
    free(watcher);
    return status;
}

void rank_watcher_stop(struct rank_watcher *watcher)
{
    if (!watcher)
        return;
    uint64_t one = 1;
    // an eventfd takes it, but for a fault; then the thread is in poll(), where it can be cancelled
    if (write(watcher->stop_fd, &one, sizeof one) != sizeof one)
        pthread_cancel(watcher->thread);
    pthread_join(watcher->thread, NULL);
    close(watcher->stop_fd);
    close(watcher->life_fd);
    process_handle_close(&watcher->owner);
    free(watcher);
}
