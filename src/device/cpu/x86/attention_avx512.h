// The steps of attention that AVX-512 with and without BF16 share (attention_tile.h).
#ifndef COLROW_DEVICE_CPU_X86_ATTENTION_AVX512_H
#define COLROW_DEVICE_CPU_X86_ATTENTION_AVX512_H

#include <immintrin.h>

#include "device/cpu/attention_tile.h"

void attention_merge_avx512(const struct attention_tile *tile, int row, int end);
void attention_store_avx512(const struct attention_tile *tile, int row, void *out);

#endif
