// How long steps take, and whether the one under way takes too long: longer than 1 s and than 20
// times what recent steps of its size took at most (the 99th of a hundred).
//
// Size: steps of up to twice the work (rows, each with what it attends to) are alike. A size of
// which nothing is known yet is judged by the nearest one that is; before any is, nobody is late,
// and the deadline of collectives alone governs.
//
// Only time in which the owner looked counts: a suspended program, a virtual machine that was put
// aside and a debugger that stopped everything have not been slow.
#ifndef COLROW_ENGINE_STEP_WATCH_H
#define COLROW_ENGINE_STEP_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "model/step.h"

enum { STEP_SIZES = 40, STEP_SAMPLES = 128 };

struct step_times { // of the last steps of one size
    uint32_t n;     // ever taken
    int64_t ns[STEP_SAMPLES];
};

struct step_watch {
    int64_t timeout_ns; // what somebody asked for; 0: found by itself
    int n_done;         // by these ranks
    int64_t done_ns;    // clock_ns() when the last one was done, or these ranks were ready
    // of the step under way
    int size; // -1: a canary
    int64_t seen_ns, looked_ns;
    struct step_times times[STEP_SIZES];
};

// timeout_seconds 0: found by itself.
void step_watch_init(struct step_watch *watch, double timeout_seconds);
// Other ranks do the next step: their first ones find nothing in caches.
void step_watch_renew(struct step_watch *watch);
// A step begins; NULL: a canary.
void step_watch_begin(struct step_watch *watch, const struct step *step);
// The same of one that was posted while others were under way, now that it is the next to be done.
int step_watch_size(const struct step *step);
void step_watch_begin_size(struct step_watch *watch, int size);
// It is done; `step_ns`: what the slowest rank needed.
void step_watch_end(struct step_watch *watch, int64_t step_ns);
// A look at a step that is not done. True: it is late.
bool step_watch_look(struct step_watch *watch, int64_t now_ns);
// For other waits than steps: begins to count what was looked at, and tells how much that is.
void step_watch_begin_wait(struct step_watch *watch);
int64_t step_watch_waited_ns(struct step_watch *watch);
// Of the step under way: when it is late; INT64_MAX: not known yet.
int64_t step_watch_limit_ns(const struct step_watch *watch);
// What steps of its size take at most, as far as known; 0: nothing is.
int64_t step_watch_usual_ns(const struct step_watch *watch);

#endif
