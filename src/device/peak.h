// What this machine can do at most: the denominators of every benchmark.
#ifndef COLROW_DEVICE_PEAK_H
#define COLROW_DEVICE_PEAK_H

#include "base/status.h"

enum { PEAK_CORES_MAX = 256 };

struct peak {
    double read_bytes; // bytes/s read from memory by all cores together
    double copy_bytes; // bytes/s copied by memcpy() in memory by all cores together
    double fill_bytes; // the same into memory that nobody has touched: the kernel clears it first
    double fma_flops;  // f32 fused multiply-adds between registers, 2 flops each
    double fed_flops; // the same with operands from the first cache: what a product can reach where
                      // that lowers the clock; 0 where it is not measured (below AVX-512)
    double bf16_flops; // vdpbf16ps; 0 where the CPU lacks it
    double int8_ops;   // vpdpbusd; 0 where the CPU lacks it
    double amx_flops;  // tdpbf16ps; 0 where the CPU lacks it
};
// The products of the contract can run on either instruction: the larger of the two.
double peak_product_flops(const struct peak *peak);
double peak_tiles_flops(const struct peak *peak); // of products in the order of tiles: AMX or FMA

// Measures on `n_cores` threads at once: about `seconds` for each figure. The best of several tries
// counts.
enum status peak_measure(int n_cores, double seconds, struct peak *out) STATUS_MUST_USE;
// Only what bounds memory: read_bytes, copy_bytes and fill_bytes; the rest is 0.
enum status peak_measure_memory(int n_cores, struct peak *out) STATUS_MUST_USE;
// Only read_bytes, over a buffer that outlives the call (opened once, for measuring right before
// and after a figure).
struct peak_reader;
enum status peak_reader_new(int n_cores, struct peak_reader **out) STATUS_MUST_USE;
double peak_reader_run(struct peak_reader *reader); // one pass over the buffer; bytes/s
void peak_reader_free(struct peak_reader *reader);

#endif
