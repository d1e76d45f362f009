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

// `files` says what is open in the process: 0 or an errno value, as this function returns them,
// too. No signal is blocked or ignored in it, and the terminal's reach its owner alone.
typedef int (*spawn_files)(posix_spawn_file_actions_t *actions, const void *context);
int spawn_process(const char *program, const char *const *arguments, const char **environment,
                  spawn_files files, const void *context, pid_t *out);

enum status spawn_rank(const struct group_options *options, int rank, const struct rank_fds *fds,
                       pid_t *out) STATUS_MUST_USE;

#endif
