// The rank's side of "no orphans": a thread that leaves, with the whole process, as soon as the
// owner of the group is gone.
#ifndef COLROW_COMM_RANK_WATCHER_H
#define COLROW_COMM_RANK_WATCHER_H

#include "base/status.h"
#include "comm/segment.h"

struct rank_watcher;

// `life_fd` is the reading end of a pipe whose writing end only the owner holds; from now on the
// watcher's. `segment` is borrowed until rank_watcher_stop(). `local_rank`: as the node counts.
enum status rank_watcher_start(struct segment *segment, int local_rank, int life_fd,
                               struct rank_watcher **out) STATUS_MUST_USE;
void rank_watcher_stop(struct rank_watcher *watcher); // accepts NULL

#endif
