// Starting one rank process. Part of group.c.
#ifndef COLROW_COMM_GROUP_SPAWN_H
#define COLROW_COMM_GROUP_SPAWN_H

#include <spawn.h>

#include "comm/group.h"

// What a rank inherits, and where: nothing else is open in it but 0, 1 and 2.
enum {
    RANK_SEGMENT_FD = 3,
    RANK_LIFE_FD = 4,
    RANK_BELL_FD = 5,
    RANK_KEEPER_FD = 6,
    RANK_FDS_END = 7
};

// The same in the owner, before a rank starts; -1: none.
struct rank_fds {
    int segment, life, bell, keeper;
};
void rank_fds_close(struct rank_fds *fds);

// Each must lie above the numbers that ranks have them under: raises it there, close-on-exec. On
// failure `*fd` is closed.
enum status spawn_raise_fd(int *fd) STATUS_MUST_USE;
// The same with a copy of `fd`.
enum status spawn_copy_fd(int fd, int *out) STATUS_MUST_USE;

// No signal is blocked or ignored in the process, and the terminal's reach its owner alone. 0 or an
// errno value.
int spawn_set_attributes(posix_spawnattr_t *attributes);

enum status spawn_rank(const struct group_options *options, int rank, const struct rank_fds *fds,
                       pid_t *out) STATUS_MUST_USE;

#endif
