#include "engine/crew_events.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { TICK_NS = 100000000 };

enum status crew_events_init(struct crew_events *events)
{
    *events = (struct crew_events){-1, -1, -1, false, 0};
    enum status status = OK;
    events->all_fd = epoll_create1(EPOLL_CLOEXEC);
    events->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    events->clock_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (events->all_fd < 0 || events->bell_fd < 0 || events->clock_fd < 0)
        status = fail_errno("create", "the events of a group");
    if (status == OK)
        status = crew_events_add(events, events->bell_fd);
    if (status == OK)
        status = crew_events_add(events, events->clock_fd);
    if (status != OK)
        crew_events_fini(events);
    return status;
}

void crew_events_fini(struct crew_events *events)
{
    const int fds[] = {events->all_fd, events->bell_fd, events->clock_fd};
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    *events = (struct crew_events){-1, -1, -1, false, 0};
}

enum status crew_events_add(struct crew_events *events, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    // EEXIST: a keeper's, from the generation before
    if (fd >= 0 && epoll_ctl(events->all_fd, EPOLL_CTL_ADD, fd, &event) && errno != EEXIST)
        return fail_errno("watch", "a file descriptor of a group");
    return OK;
}

void crew_events_ring(struct crew_events *events)
{
    uint64_t one = 1;
    ssize_t written = write(events->bell_fd, &one, sizeof one); // full: readable already
    (void)written;
}

void crew_events_tick(struct crew_events *events, bool on)
{
    if (events->ticking == on && !events->alarm_ns)
        return;
    struct timespec every = {0, on ? TICK_NS : 0};
    timerfd_settime(events->clock_fd, 0, &(struct itimerspec){every, every}, NULL);
    events->ticking = on;
    events->alarm_ns = 0;
}

void crew_events_alarm(struct crew_events *events, int64_t at_ns)
{
    assert(at_ns > 0);
    if (events->alarm_ns == at_ns)
        return;
    struct itimerspec once = {.it_value = {at_ns / 1000000000, at_ns % 1000000000}};
    timerfd_settime(events->clock_fd, TFD_TIMER_ABSTIME, &once, NULL);
    events->ticking = false;
    events->alarm_ns = at_ns;
}

void crew_events_clear(struct crew_events *events)
{
    uint64_t count;
    ssize_t n = read(events->bell_fd, &count, sizeof count); // neither blocks
    if (events->ticking || events->alarm_ns)
        n = read(events->clock_fd, &count, sizeof count);
    (void)n;
}
