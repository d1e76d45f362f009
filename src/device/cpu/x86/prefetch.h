// Fetching what will be wanted: into the second cache, or into the first one what is wanted at
// once. Addresses that are not mapped do no harm.
#ifndef COLROW_DEVICE_CPU_X86_PREFETCH_H
#define COLROW_DEVICE_CPU_X86_PREFETCH_H

#include <xmmintrin.h>

#include "device/cpu/x86/unrolled.h"

// `lines` is a constant where this is used.
INLINE void prefetch(const char *memory, int lines)
{
    _mm_prefetch(memory, _MM_HINT_T1);
    if (lines >= 2)
        _mm_prefetch(memory + 64, _MM_HINT_T1);
    if (lines >= 3)
        _mm_prefetch(memory + 128, _MM_HINT_T1);
    if (lines >= 4)
        _mm_prefetch(memory + 192, _MM_HINT_T1);
    if (lines >= 6) {
        _mm_prefetch(memory + 256, _MM_HINT_T1);
        _mm_prefetch(memory + 320, _MM_HINT_T1);
    }
}

// A line at a time of a stream that is read once. `lines` as above.
INLINE void prefetch_near(const char *memory, int lines)
{
    UNROLLED_FOR (i, lines)
        _mm_prefetch(memory + 64 * i, _MM_HINT_T0);
}

#endif
