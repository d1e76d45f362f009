// The loops behind peak.h: one file per instruction set.
#ifndef COLROW_DEVICE_PEAK_LOOPS_H
#define COLROW_DEVICE_PEAK_LOOPS_H

#include <stddef.h>

#include "device/kernels.h"

typedef double (*peak_compute_loop)(long rounds);               // returns the operations done
typedef void (*peak_read_loop)(const char *data, size_t bytes); // multiple of 4096

struct peak_loops {
    peak_read_loop read;
    peak_compute_loop fma, fma_fed, bf16, int8, amx;
};

void peak_read_plain(const char *data, size_t bytes);
double peak_fma_plain(long rounds);
void peak_read_avx2(const char *data, size_t bytes);
double peak_fma_avx2(long rounds);
void peak_read_avx512(const char *data, size_t bytes);
double peak_fma_avx512(long rounds);
double peak_fma_fed_avx512(
    long rounds); // the same with operands as a product has them, from the first cache
double peak_bf16_avx512bf16(long rounds);
double peak_int8_avx512bf16(long rounds);
double peak_bf16_amx(long rounds);

// Twelve independent chains: latency 4 times two instructions a cycle, and some to spare.
#define PEAK_CHAINS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
enum { PEAK_CHAIN_COUNT = 12 };

#endif
