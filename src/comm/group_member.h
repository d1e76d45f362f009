// One rank of a group in its owner's eyes: a process of its own, or one that its keeper has forked.
// Part of group.c.
#ifndef COLROW_COMM_GROUP_MEMBER_H
#define COLROW_COMM_GROUP_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "comm/group_keepers.h"
#include "comm/process_handle.h"
#include "comm/segment.h"

struct member {
    struct process_handle process; // pid 0: none yet, as its keeper loads
    struct keeper_handle *keeper;  // NULL: `process` is our child
    struct rank_record *record;
    bool left;          // has exited; a child of ours is collected in member_collect(), so that the
                        // pid stays its own
    bool keeper_gone;   // ... or only its keeper has
    int code, status;   // si_code, si_status of what left, or stopped
    int64_t stopped_ns; // seen stopped since; 0: runs
    bool keeper_stopped;
    bool doomed; // is to end: also when it has yet to start
};

// What has happened to it: fills all of the above from the kernel, and from the keeper.
void member_look(struct member *member);
bool member_failed(const struct member *member);
int member_exit_status(const struct member *member);
// Of the process that can be named: the rank's, or its keeper's.
pid_t member_pid(const struct member *member);
// Becomes readable with news; -1: nothing does.
int member_fd(const struct member *member);
void member_kill(struct member *member, int signal);
// Once it has left: nothing of it is left after this, but its keeper.
void member_collect(struct member *member);

#endif
