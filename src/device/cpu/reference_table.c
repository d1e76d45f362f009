#include "device/cpu/reference.h"

void kernels_reference(struct kernels *table)
{
    table->isa = "reference";
    table->matmul = reference_matmul;
    table->attention = reference_attention;
    table->rmsnorm = reference_rmsnorm;
    table->silu_mul = reference_silu_mul;
    table->round = reference_round;
    table->rope = reference_rope;
    table->add = reference_add;
    table->add_to = reference_add_to;
    table->add_to_both = reference_add_to_both;
    table->copy = reference_copy;
    table->kv_write = reference_kv_write;
    table->argmax = reference_argmax;
    table->exp_sum = reference_exp_sum;
    table->weigh = reference_weigh;
    table->tops = reference_tops;
    table->pack = panels_pack;
}
