#include "base/confinement.h"

#include <sys/prctl.h>
#include <sys/resource.h>

bool confinement_is_built(void)
{
    return confinement_filter.exists;
}

bool confine(enum confinement kind, const char **why)
{
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return confinement_filter.load(kind, why);
}

void forbid_core_dumps(void)
{
    const struct rlimit none = {0, 0};
    // Neither can fail for a process that asks about itself. The limit is for programs that take
    // core files through a pipe (core_pattern) and honour it.
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
