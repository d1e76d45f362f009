// Without libseccomp, and for sanitizers, which open files and make calls of their own.
#include "base/confinement.h"

static bool say_why_not(enum confinement kind, const char **why)
{
    (void)kind;
#ifdef COLROW_SANITIZED
    *why = "it was built with sanitizers";
#else
    *why = "it was built without libseccomp";
#endif
    return false;
}

const struct confinement_filter confinement_filter = {false, say_why_not};
