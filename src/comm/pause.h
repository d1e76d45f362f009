// What a spinning loop does between two looks.
#ifndef COLROW_COMM_PAUSE_H
#define COLROW_COMM_PAUSE_H

#if defined(__x86_64__)
#include <immintrin.h>

static inline void pause_briefly(void)
{
    _mm_pause();
}
#elif defined(__aarch64__)
static inline void pause_briefly(void)
{
    __asm__ volatile("yield");
}
#else
static inline void pause_briefly(void)
{
}
#endif

#endif
