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
#include <unistd.h>

enum { TEST_SKIPPED = 77 }; // CTest shows it as skipped

// True when the folder shared/ lies beside the checkout (CI and users do not have it).
static inline int have_shared(void)
{
    return access(SHARED_DIR "/goldens", R_OK) == 0;
}

#endif
