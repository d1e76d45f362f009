// Each level overwrites what it improves; the level below has filled the rest.
#include "device/cpu/x86/x86.h"

void kernels_avx2(struct kernels *table)
{
    table->isa = "avx2";
    table->matmul = matmul_avx2;
}

void kernels_avx512(struct kernels *table)
{
    table->isa = "avx512";
    table->matmul = matmul_avx512;
    table->attention = attention_avx512;
    table->rmsnorm = rmsnorm_avx512;
    table->silu_mul = silu_mul_avx512;
    table->round = round_avx512;
    table->rope = rope_avx512;
    table->add = add_avx512;
    table->add_to = add_to_avx512;
    table->kv_write = kv_write_avx512;
    table->argmax = argmax_avx512;
    table->exp_sum = exp_sum_avx512;
}

void kernels_avx512bf16(struct kernels *table)
{
    table->isa = "avx512bf16";
    if (x86_bf16_dot_is_fast()) // else the FMA kernel does the same work sooner
        table->matmul = matmul_avx512bf16;
}
