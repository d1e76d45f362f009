// Time inside collectives, where clock_gettime() would cost as much as the exchange itself (100 ns
// on some virtual machines): the cycle counter where there is one, turned into seconds when
// somebody asks.
#ifndef COLROW_COMM_TICKS_H
#define COLROW_COMM_TICKS_H

#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>

static inline uint64_t ticks_now(void)
{
    return __rdtsc();
}
#else
#include "base/clock.h"

static inline uint64_t ticks_now(void)
{
    return (uint64_t)clock_ns();
}
#endif

#endif
