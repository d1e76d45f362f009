#include "base/program_build.h"

#include <stdio.h>

static char build[96] = COLROW_VERSION;

void program_build_set(const char *commit)
{
    if (*commit)
        snprintf(build, sizeof build, "%s (commit %s)", COLROW_VERSION, commit);
}

const char *program_build(void)
{
    return build;
}
