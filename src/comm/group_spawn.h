// Starting one rank process. Part of group.c.
#ifndef COLROW_COMM_GROUP_SPAWN_H
#define COLROW_COMM_GROUP_SPAWN_H

#include "comm/group.h"

// What a rank inherits, and where: nothing else is open in it but 0, 1 and 2.
enum { RANK_SEGMENT_FD = 3, RANK_LIFE_FD = 4 };

// Both file descriptors must lie above the two numbers: raises them there, close-on-exec. On
// failure `*fd` is closed.
enum status spawn_raise_fd(int *fd) STATUS_MUST_USE;

enum status spawn_rank(const struct group_options *options, int rank, int segment_fd, int life_fd,
                       pid_t *out) STATUS_MUST_USE;

#endif
