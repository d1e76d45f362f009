// What tests of processes ask of this one.
#ifndef COLROW_TESTS_PROCESSES_H
#define COLROW_TESTS_PROCESSES_H

#include "testing.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

// AddressSanitizer catches SIGSEGV and ends the program in its own way.
enum { CRASH_SIGNAL = SANITIZED ? SIGABRT : SIGSEGV };

// Descriptors, one more than there are: to be compared.
static inline int open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    int n = 0;
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

static inline void assert_no_children(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

#endif
