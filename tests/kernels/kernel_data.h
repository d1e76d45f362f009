// Random and extreme numbers, and comparisons where any NaN equals any NaN.
#ifndef COLROW_TESTS_KERNEL_DATA_H
#define COLROW_TESTS_KERNEL_DATA_H

#include <stdbool.h>

#include "device/kernels.h"
#include "kernels/guarded.h"
#include "testing.h"

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static inline uint32_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}

static inline int random_between(int least, int most)
{
    return least + (int)(random_bits() % (uint32_t)(most - least + 1));
}

// ORDINARY: about normal. SMALL and LARGE: products of two leave the range of f32 now and then,
// with zeros of both signs and denormals among them. NOT_FINITE: a few infinities and NaNs.
// ANY_BITS: every pattern alike.
enum data_kind { ORDINARY, SMALL, LARGE, NOT_FINITE, ANY_BITS, DATA_KINDS };

static inline float random_value(enum data_kind kind)
{
    static const uint32_t special[] = {0u,          0x80000000u, 1u,          0x807fffffu,
                                       0x00800000u, 0x80800000u, 0x7f7fffffu, 0xff7f0000u};
    float x = 0;
    for (int i = 0; i < 4; i++)
        x += (float)(int32_t)random_bits() / 2147483648.0f;
    switch (kind) {
    case ORDINARY:
        return x;
    case SMALL:
        return random_bits() % 8 == 0 ? float_of_bits(special[random_bits() % 6])
                                      : x * float_of_bits((uint32_t)random_between(47, 87) << 23);
    case LARGE:
        return random_bits() % 64 == 0
                   ? float_of_bits(special[random_bits() % 8])
                   : x * float_of_bits((uint32_t)random_between(157, 192) << 23);
    case NOT_FINITE:
        return random_bits() % 64
                   ? x
                   : float_of_bits(0x7f800000u | (random_bits() % 2 ? random_bits()
                                                                    : random_bits() & 0x80000000u));
    case ANY_BITS:
        return float_of_bits(random_bits());
    case DATA_KINDS:
        break;
    }
    return 0;
}

static inline void random_values(float *out, size_t n, enum data_kind kind)
{
    for (size_t i = 0; i < n; i++)
        out[i] = random_value(kind);
}

static inline bool same_f32(float a, float b)
{
    return bits_of_float(a) == bits_of_float(b) || (a != a && b != b);
}

// Index of the first element that differs, or n.
static inline size_t first_difference(const void *a, const void *b, size_t n, bool are_bf16)
{
    for (size_t i = 0; i < n; i++) {
        float x = are_bf16 ? float_of_bf16(((const bf16 *)a)[i]) : ((const float *)a)[i];
        float y = are_bf16 ? float_of_bf16(((const bf16 *)b)[i]) : ((const float *)b)[i];
        if (!same_f32(x, y))
            return i;
    }
    return n;
}

static inline void assert_same(const void *got, const void *expected, size_t n, bool are_bf16,
                               const char *what)
{
    size_t i = first_difference(got, expected, n, are_bf16);
    if (i == n)
        return;
    if (are_bf16)
        print_error("%s: element %zu of %zu is %04x, expected %04x\n", what, i, n,
                    ((const bf16 *)got)[i], ((const bf16 *)expected)[i]);
    else
        print_error("%s: element %zu of %zu is %a, expected %a\n", what, i, n,
                    (double)((const float *)got)[i], (double)((const float *)expected)[i]);
    _fail(__FILE__, __LINE__);
}

// The table of the level that a test was given as its state; skips, visibly, what the machine
// lacks.
static inline const struct kernels *kernels_under_test(void **state)
{
    enum isa isa = *(const enum isa *)*state;
    number_mode_set();
    if (isa > isa_of_machine()) {
        print_message("this machine has no %s\n", isa_name(isa));
        skip();
    }
    return kernels_for(isa);
}

static enum isa levels[]
    __attribute__((unused)) = {ISA_REFERENCE, ISA_AVX2, ISA_AVX512, ISA_AVX512BF16, ISA_AMX};
// One test per level above the reference.
#define TEST_LEVELS(function)                                                                      \
    {#function " avx2", function, NULL, NULL, &levels[ISA_AVX2]},                                  \
        {#function " avx512", function, NULL, NULL, &levels[ISA_AVX512]},                          \
    {                                                                                              \
#function " avx512bf16", function, NULL, NULL, &levels[ISA_AVX512BF16]                     \
    }

#endif
