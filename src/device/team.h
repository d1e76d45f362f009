// A team: the threads of one rank. All run the same program (SPMD): team_run() calls `work` on each
// thread, which splits its operations by thread number and meets the others at team_barrier(). The
// caller is thread 0.
#ifndef COLROW_DEVICE_TEAM_H
#define COLROW_DEVICE_TEAM_H

#include "base/status.h"

enum { TEAM_THREADS_MAX = 256 };
struct team;

// Starts n_threads - 1 threads, bound to the CPUs given (`cpus` [n_threads], or NULL for no
// binding; the caller is bound too). Each sets number_mode_set(). They park when idle.
enum status team_new(int n_threads, const int *cpus, struct team **out) STATUS_MUST_USE;
void team_free(struct team *team); // accepts NULL
int team_size(const struct team *team);

void team_run(struct team *team, void (*work)(void *context, int thread, int n_threads),
              void *context);
void team_barrier(struct team *team); // no system call while work flows; a no-op for one thread

// The part [*begin, *end) of `count` items that belongs to `thread` of `n_threads`.
static inline void team_part(int count, int thread, int n_threads, int *begin, int *end)
{
    *begin = (int)((long long)count * thread / n_threads);
    *end = (int)((long long)count * (thread + 1) / n_threads);
}

#endif
