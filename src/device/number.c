#include "device/number.h"

#if defined(__x86_64__)
#include <immintrin.h>

void number_mode_set(void)
{
    const unsigned flush_results = 1u << 15, flush_operands = 1u << 6, rounding = 3u << 13;
    _mm_setcsr((_mm_getcsr() & ~rounding) | flush_results | flush_operands);
}
#elif defined(__aarch64__)
void number_mode_set(void)
{
    const uint64_t flush = 1ull << 24, rounding = 3ull << 22;
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    control = (control & ~rounding) | flush;
    __asm__ volatile("msr fpcr, %0" : : "r"(control));
}
#else
#error "number_mode_set() is not written for this architecture"
#endif

const char *compute_name(enum compute_type type)
{
    switch (type) {
    case COMPUTE_BF16:
        return "bfloat16";
    case COMPUTE_F16:
        return "float16";
    case COMPUTE_F32:
        return "float32";
    }
    return "unknown";
}

float float_of_f16(f16 x)
{
    uint32_t sign = (uint32_t)(x & 0x8000u) << 16, exponent = x >> 10 & 31u, mantissa = x & 0x3ffu;
    if (exponent == 31)
        return float_of_bits(sign | 0x7f800000u | mantissa << 13 | (mantissa ? 0x00400000u : 0));
    if (exponent)
        return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    float magnitude =
        (float)mantissa * 0x1p-24f; // zero or one of the halfs' denormals: normal in f32
    return float_of_bits(sign | bits_of_float(magnitude));
}

f16 f16_of_float(float x)
{
    uint32_t bits = bits_of_float(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (f16)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) // 65520: half way from the largest half to the next
        return (f16)(sign | 0x7c00u);
    if (magnitude >= 0x38800000u) { // 2^-14
        uint32_t odd = magnitude >> 13 & 1u;
        return (f16)(sign | ((magnitude - (112u << 23) + 0xfffu + odd) >> 13));
    }
    if (magnitude <=
        0x33000000u) // 2^-25 is half way to the smallest half and goes to zero, the even one
        return (f16)sign;
    uint32_t exponent = magnitude >> 23, shift = 126 - exponent; // result: multiples of 2^-24
    uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    uint32_t half = mantissa >> shift, rest = mantissa & ((1u << shift) - 1),
             middle = 1u << (shift - 1);
    half += rest > middle || (rest == middle && (half & 1u));
    return (f16)(sign | half);
}
