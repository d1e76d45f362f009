// A launcher: a process that starts ranks for an owner that has forbidden itself to start any
// (base/confinement.h). It reads nothing but the number of a rank and its descriptors, and what it
// starts is the owner's child, as if the owner had started it.
//
//   owner ──socket──▶ launcher ──clone(CLONE_PARENT), exec──▶ a rank, or its keeper
//
// It ends with its owner.
#ifndef COLROW_COMM_LAUNCHER_H
#define COLROW_COMM_LAUNCHER_H

#include <sys/types.h>

#include "base/status.h"
#include "comm/group_spawn.h"

struct launcher;

// `colrow launcher program arguments...`: a process that will start `program` with these arguments
// (argv, NULL-terminated). `colrow`: the path of that program. Its environment, and that of what it
// starts, is ours as it is now, and `more` ("NAME=value" of names that are not set,
// NULL-terminated; may be NULL).
enum status launcher_start(const char *colrow, const char *program, const char *const *arguments,
                           const char *const *more, struct launcher **out) STATUS_MUST_USE;
void launcher_stop(struct launcher *launcher); // accepts NULL

// As spawn_rank().
enum status launcher_spawn(struct launcher *launcher, const struct group_options *options, int rank,
                           const struct rank_fds *fds, pid_t *out) STATUS_MUST_USE;

// The process itself: argv is "launcher", the program, its arguments. Returns the exit status.
int launcher_main(int argc, char **argv);

#endif
