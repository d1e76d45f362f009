// Monotonic time.
#ifndef COLROW_BASE_CLOCK_H
#define COLROW_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_ns(void);     // CLOCK_MONOTONIC, comparable between processes of one machine
double clock_seconds(void); // the same, in seconds

#endif
