// The keepers of a group's ranks (keeper.h), as the owner sees them. They outlive groups: each
// generation of ranks is a group of its own, whose ranks the same keepers fork.
#ifndef COLROW_COMM_GROUP_KEEPERS_H
#define COLROW_COMM_GROUP_KEEPERS_H

#include <stdbool.h>

#include "base/status.h"
#include "comm/group_spawn.h"
#include "comm/keeper.h"
#include "comm/process_handle.h"

struct keeper_handle {
    struct process_handle process; // our child; pid 0: none
    int socket;                    // -1: none
    bool loaded;
};

struct keepers;
enum status keepers_new(int n, struct keepers **out) STATUS_MUST_USE;
// Lets them go, with their ranks, and waits until they are gone. Accepts NULL.
void keepers_free(struct keepers *keepers);
struct keeper_handle *keepers_at(struct keepers *keepers, int rank);

// Starts a rank of the next generation: by the keeper that there is, or by a new one, which loads
// first. Not while the generation before has a process.
enum status keeper_start_rank(struct keeper_handle *keeper, const struct group_options *options,
                              int rank, const struct rank_fds *fds) STATUS_MUST_USE;
// The next message; never waits. False: there is none now. At the end of all, as it goes, its
// socket stays readable, so that nobody misses it: then it is to be hung up.
bool keeper_hear(struct keeper_handle *keeper, struct keeper_message *message);
void keeper_hang_up(struct keeper_handle *keeper);

#endif
