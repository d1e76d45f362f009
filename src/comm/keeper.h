// A keeper: the process that the owner of a group starts for a rank. It loads what is large and
// never written again, then forks the rank that works, once for each generation of the group. The
// memory outlives the rank: nothing is read or packed again when that dies, and until somebody
// writes to it, it is there once.
//
//   owner ──spawn──▶ keeper ──fork──▶ rank of generation 1, 2, …
//     └────socket─────┘  owner: START, with the descriptors of the generation's memory
//                        keeper: LOADED; then of each rank STARTED, STOPPED, CONTINUED, LEFT
//
// After it has loaded, a keeper has one thread, opens nothing and reads nothing but these messages.
// It ends with its owner, and ends its rank then.
#ifndef COLROW_COMM_KEEPER_H
#define COLROW_COMM_KEEPER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define KEEPER_FD_VARIABLE "COLROW_KEEPER_FD"

// ---- the messages: fixed in size, one datagram each ----

enum keeper_event {
    KEEPER_START, // with descriptors: segment, life, bell (struct rank_fds)
    KEEPER_LOADED,
    KEEPER_STARTED, // pid
    KEEPER_STOPPED, // status: the signal
    KEEPER_CONTINUED,
    KEEPER_LEFT, // code, status: as waitid() has them; or code 0: no process could be made, errno
};
struct keeper_message {
    int32_t event; // enum keeper_event
    int32_t pid, code, status;
};

// ---- in the process itself ----

struct keeper;

// Joins the group whose owner started this process, for the time of loading: its end ends us.
enum status keeper_open(struct keeper **out) STATUS_MUST_USE;
int keeper_rank(const struct keeper *keeper);
int keeper_group_size(const struct keeper *keeper);
// Likewise, as its node counts.
int keeper_local_rank(const struct keeper *keeper);
int keeper_local_size(const struct keeper *keeper);
// Of the first generation, until keeper_serve(); NULL without.
void *keeper_board(const struct keeper *keeper, size_t *bytes);
void keeper_mark(struct keeper *keeper, const char *what); // for the flight record
// Loading has failed: the owner says so.
void keeper_abort(struct keeper *keeper, const char *sentence);

// Once its rank has left and `*spoilt` is true, the keeper ends, too: what it holds is no longer
// what was loaded, and the next loads again. Shared with those it forks, and outlives the keeper.
void keeper_end_when(struct keeper *keeper, const _Atomic bool *spoilt);
// From here on no thread may be left but the caller. True in a process that was made for a
// generation: it goes on with comm_open(), and `keeper` is gone there. False in the keeper, at its
// end: the owner has let go of it, and the rank is gone.
bool keeper_serve(struct keeper *keeper, uint64_t *generation);
void keeper_close(struct keeper *keeper); // accepts NULL

#endif
