// Arithmetic on sizes that come from outside: false when the result does not fit.
#ifndef COLROW_BASE_CHECKED_H
#define COLROW_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHECKED_MUST_USE __attribute__((warn_unused_result))

CHECKED_MUST_USE static inline bool checked_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

CHECKED_MUST_USE static inline bool checked_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

CHECKED_MUST_USE static inline bool checked_mul3(size_t a, size_t b, size_t c, size_t *out)
{
    size_t ab;
    return checked_mul(a, b, &ab) && checked_mul(ab, c, out);
}

static inline size_t round_up(size_t n, size_t unit) // caller knows that n + unit fits
{
    return (n + unit - 1) / unit * unit;
}

static inline size_t divide_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit;
}

#endif
