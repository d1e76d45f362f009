#include "device/cpu/x86/vec_avx512.h"

#include "device/cpu/x86/sum_weighted.h"
#include "device/cpu/x86/x86.h"

void sum_weighted_avx512(const struct weighted_rows *args)
{
    sum_weighted_of(args);
}
