// What every test includes first: cmocka and what it needs, without its macro fail(), which
// base/status.h defines as a function.
#ifndef COLROW_TESTS_TESTING_H
#define COLROW_TESTS_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TEST_SKIPPED = 77 }; // CTest shows it as skipped

// Sanitized programs are several times slower: they get fewer random rounds, never other
// assertions.
#ifdef COLROW_SANITIZED
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

// Of sizes that are tried one after the other; odd, so that all remainders of a tile's width come
// up.
enum { SIZE_STEP = SANITIZED ? 3 : 1 };

static inline int rounds(int n)
{
    return SANITIZED ? (n + 3) / 4 : n;
}

// cmocka's fail_msg(), which needs its macro fail().
#define FAIL_TEST(...)                                                                             \
    do {                                                                                           \
        print_error(__VA_ARGS__);                                                                  \
        print_error("\n");                                                                         \
        _fail(__FILE__, __LINE__);                                                                 \
    } while (0)

// What takes at most `seconds` on a machine with free cores may take longer under sanitizers and
// while others compute: a bound that neighbours can break says nothing about us.
static inline double patience(double seconds)
{
    double load = 0, cores = (double)sysconf(_SC_NPROCESSORS_ONLN);
    if (getloadavg(&load, 1) != 1 || load < cores)
        load = cores;
    return seconds * (SANITIZED ? 4 : 1) * load / cores;
}

// Time that this process has computed. The kernel's part is left out: a virtual machine may take
// long to find the host's memory.
static inline double user_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + 1e-6 * (double)usage.ru_utime.tv_usec;
}

// True when the folder shared/ lies beside the checkout (CI and users do not have it).
static inline int have_shared(void)
{
    return access(SHARED_DIR "/goldens", R_OK) == 0;
}

#endif
