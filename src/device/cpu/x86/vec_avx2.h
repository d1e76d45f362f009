// A vector of floats with AVX2: what kernels ask for that are written once for several sets.
#ifndef COLROW_DEVICE_CPU_X86_VEC_AVX2_H
#define COLROW_DEVICE_CPU_X86_VEC_AVX2_H

#include <immintrin.h>

#include "device/cpu/x86/unrolled.h"

enum { VEC = 8 };
typedef __m256 vec;

INLINE vec vec_zero(void)
{
    return _mm256_setzero_ps();
}

INLINE vec vec_set1(float x)
{
    return _mm256_set1_ps(x);
}

INLINE vec vec_broadcast(const float *x)
{
    return _mm256_broadcast_ss(x);
}

INLINE vec vec_load(const float *x)
{
    return _mm256_load_ps(x);
}

INLINE vec vec_loadu(const float *x)
{
    return _mm256_loadu_ps(x);
}

INLINE void vec_store(float *to, vec x)
{
    _mm256_store_ps(to, x);
}

INLINE void vec_storeu(float *to, vec x)
{
    _mm256_storeu_ps(to, x);
}

INLINE vec vec_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}

INLINE vec vec_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}

INLINE vec vec_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}

INLINE vec vec_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}

INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

// The larger of x and 0; 0 of a NaN.
INLINE vec vec_above_zero(vec x)
{
    return _mm256_max_ps(x, _mm256_setzero_ps());
}

// sum += a * b. Compilers pick forms that overwrite a factor, and then copy.
INLINE void vec_add_product(vec *sum, vec a, vec b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(*sum) : "x"(a), "x"(b));
}

#endif
