// What wakes an event loop for its crew: the bell that ranks ring, their pidfds, and a clock while
// there is something to watch, all behind one file descriptor.
#ifndef COLROW_ENGINE_CREW_EVENTS_H
#define COLROW_ENGINE_CREW_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct crew_events {
    int all_fd;   // epoll of the others and of what is added
    int bell_fd;  // eventfd
    int clock_fd; // timerfd
    bool ticking;
    int64_t alarm_ns; // when the clock rings once; 0: it does not
};

enum status crew_events_init(struct crew_events *events) STATUS_MUST_USE;
void crew_events_fini(struct crew_events *events);
// Readable from now on when `fd` is, until that is closed. -1 is ignored.
enum status crew_events_add(struct crew_events *events, int fd) STATUS_MUST_USE;
void crew_events_ring(struct crew_events *events);
// A tick every 100 ms, or none.
void crew_events_tick(struct crew_events *events, bool on);
// No ticks, but one ring of the clock when clock_ns() is `at_ns`.
void crew_events_alarm(struct crew_events *events, int64_t at_ns);
// Quiet until the next ring or tick.
void crew_events_clear(struct crew_events *events);

#endif
