// Which level this CPU and its operating system offer: a bit in cpuid says what the CPU can
// execute, xgetbv whether the system saves the registers.
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device/cpu/x86/x86.h"

static uint64_t saved_registers(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

// Tiles take 8 KiB of a thread's state: Linux makes room for them only in processes that ask.
static bool tiles_allowed(void)
{
#ifdef __linux__
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0;
#else
    return false;
#endif
}

enum isa x86_isa(void)
{
    // xmm, ymm; and mask registers, both halves of the zmm; tiles and their configuration
    enum { YMM_STATE = 0x6, ZMM_STATE = 0xe6, TILE_STATE = 0x60000 };
    unsigned a, b, c, d, b7, c7, d7, a7_1;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return ISA_REFERENCE;
    uint64_t saved = saved_registers();
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7))
        return ISA_REFERENCE;

    const unsigned avx2_c = bit_AVX | bit_FMA | bit_F16C, avx2_b7 = bit_AVX2 | bit_BMI | bit_BMI2;
    if ((saved & YMM_STATE) != YMM_STATE || (c & avx2_c) != avx2_c || (b7 & avx2_b7) != avx2_b7)
        return ISA_REFERENCE;
    const unsigned avx512_b7 = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
    if ((saved & ZMM_STATE) != ZMM_STATE || (b7 & avx512_b7) != avx512_b7)
        return ISA_AVX2;
    if (!__get_cpuid_count(7, 1, &a7_1, &b, &c, &d) || !(a7_1 & 1u << 5)) // AVX512_BF16
        return ISA_AVX512;
    if (!x86_bf16_dot_is_exact())
        return ISA_AVX512;
    const unsigned amx_d7 = 1u << 24 | 1u << 22; // AMX-TILE, AMX-BF16
    const bool has_amx = (saved & TILE_STATE) == TILE_STATE && (d7 & amx_d7) == amx_d7;
    return has_amx && tiles_allowed() && x86_amx_is_exact() ? ISA_AMX : ISA_AVX512BF16;
}
