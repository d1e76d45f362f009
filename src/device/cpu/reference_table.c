#include "device/cpu/reference.h"

void kernels_reference(struct kernels *table)
{
    table->isa = "reference";
    table->matmul = reference_matmul;
    table->pack = panels_pack;
}
