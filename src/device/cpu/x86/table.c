// Each level overwrites what it improves; the level below has filled the rest.
#include "device/cpu/x86/x86.h"

void kernels_avx2(struct kernels *table)
{
    (void)table;
}

void kernels_avx512(struct kernels *table)
{
    table->isa = "avx512";
    table->matmul = matmul_avx512;
}

void kernels_avx512bf16(struct kernels *table)
{
    (void)table;
}
