// Threads of a rank that work beside its steps.
#ifndef COLROW_ENGINE_RANK_BACKGROUND_H
#define COLROW_ENGINE_RANK_BACKGROUND_H

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

// Of the calling thread alone, on Linux: of a core that computes it gets a thirtieth.
static inline void yield_to_steps(void)
{
    enum { NICE = 15 };
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
}

#endif
