// Loops that disappear.
#ifndef COLROW_DEVICE_CPU_X86_UNROLLED_H
#define COLROW_DEVICE_CPU_X86_UNROLLED_H

// Under UBSan a check at each of thousands of unrolled accesses would take compilers minutes; guard
// pages (tests/kernels) and ASan watch these functions.
#define INLINE static inline __attribute__((always_inline, no_sanitize("undefined")))

// Sums in arrays live in registers only when every loop over them is gone.
#ifdef __clang__
#define UNROLLED_FOR(i, n) _Pragma("clang loop unroll(full)") for (int i = 0; i < (n); i++)
#else
#define UNROLLED_FOR(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)
#endif

#endif
