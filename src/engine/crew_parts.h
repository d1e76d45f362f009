// Inside the crew: its fields. Callers of crew.h do not see this.
#ifndef COLROW_ENGINE_CREW_PARTS_H
#define COLROW_ENGINE_CREW_PARTS_H

#include "comm/group.h"
#include "engine/crew.h"
#include "engine/crew_events.h"
#include "engine/step_watch.h"

struct crew {
    struct crew_options options;
    struct crew_events events;
    enum crew_state state;
    struct keepers *keepers;
    struct launcher *launcher; // NULL: we start ranks
    struct group *group;       // NULL: none now
    struct board board;
    uint64_t generation;
    uint64_t next_step;             // number of the next to be posted
    int n_posted;                   // so many of those before it are under way
    int size[STEPS_UNDER_WAY_MAX];  // of these (step_watch_size()), by slot
    bool canary;                    // the only one is a canary
    int taken_slot;                 // of the step taken last
    int64_t taken_ns, taken_end_ns; // its times
    bool canary_told;               // what the board says
    bool seeking;                   // lost nodes are looked for
    bool hopeless;                  // ... and do not come
    bool restarting;                // new ranks start as soon as the old ones are gone ...
    int64_t restart_ns;             // ... and clock_ns() has come here
    int exit_status;                // of the rank that broke it
    bool was_idle;                  // then
    bool blind;                     // ranks without pidfds: only looking tells
    struct step_watch watch;
    uint64_t progress; // of loading, as last seen
    char reason[STATUS_MESSAGE_MAX];
};

// crew_start.c
// Of a crew that restarts: its ranks, once nothing is left of the old ones, whose memory must be
// free before new ones reserve theirs, the delay is over and all nodes are there. Until then it
// does nothing.
enum status crew_start_again(struct crew *crew) STATUS_MUST_USE;
// Nobody else looks at the group or its board any more.
void crew_close_group(struct crew *crew);

#endif
