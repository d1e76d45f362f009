#include "device/cpu/x86/vectors_avx2.h"

#include "device/cpu/x86/attention_adjust.h"
#include "device/cpu/x86/x86.h"

void attention_adjust_avx2(const struct attention_tile *tile, int row, int end)
{
    adjust_rows(tile, row, end);
}

void index_add_heads_avx2(const struct attention_tile *tile, const float *weights, int n,
                          float *out)
{
    add_heads_of(tile, weights, n, out);
}
