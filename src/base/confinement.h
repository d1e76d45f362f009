// What a process may still ask of the kernel once it has started: seccomp filters, made by
// libseccomp where it is there (confinement_seccomp.c, else confinement_none.c), and memory that
// nobody else gets to see. Both hold for all threads of the process and all that it starts, for
// good.
#ifndef COLROW_BASE_CONFINEMENT_H
#define COLROW_BASE_CONFINEMENT_H

#include <stdbool.h>

enum confinement {
    // Reads requests from the network: starts no process and no program, reaches nobody by itself.
    CONFINE_FRONT_END,
    // The same where other machines have ranks: it may meet them again.
    CONFINE_HEAD_NODE,
    // Has loaded a model and makes processes of itself: starts no program, has no sockets but its
    // own.
    CONFINE_KEEPER,
    // Computes: no files, no sockets, no processes, no memory that can be executed.
    CONFINE_RANK,
};

// True: from now on a call that `kind` has no business with ends the process by SIGSYS; calls that
// nobody thought of fail with EPERM in a rank. False: there is no filter, and `*why` (a constant)
// says for what reason. No process that is confined, or that it starts, gains privileges.
bool confine(enum confinement kind, const char **why);
bool confinement_is_built(void); // false: confine() never holds anybody

// The process leaves no core file, and only who may trace everybody can read its memory: it holds
// what people asked. Its files in /proc belong to root from now on.
void forbid_core_dumps(void);

// One of the two files: what confine() loads.
struct confinement_filter {
    bool exists;
    bool (*load)(enum confinement kind, const char **why);
};
extern const struct confinement_filter confinement_filter;

#endif
