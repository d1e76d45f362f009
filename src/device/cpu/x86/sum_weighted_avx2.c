#include "device/cpu/x86/vec_avx2.h"

#include "device/cpu/x86/sum_weighted.h"
#include "device/cpu/x86/x86.h"

void sum_weighted_avx2(const struct weighted_rows *args)
{
    sum_weighted_of(args);
}
