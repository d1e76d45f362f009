// How products in the order of tiles (docs/numerics.md section 10) walk their matrices; the ISA's
// file supplies the inner step.
//
//   rows in blocks ─ panels in groups ─ k in chunks ─ panel ─ rows in parts ─ pieces of leaves
//
// A block's rows of a chunk stay in the second cache while the panels pass by, and a panel's chunk
// does while the rows pass by. Many rows are packed first, as strips of a kernel's rows in blocks of
// the order: rows that lie a power of two apart would share a few lines of each cache.
#ifndef COLROW_DEVICE_CPU_X86_MATMUL_TILES_H
#define COLROW_DEVICE_CPU_X86_MATMUL_TILES_H

#include "device/kernels.h"

enum { TILE_K = 32 }; // k of a block of the order

struct tiles_part {
    const bf16 *a;     // row r's block i of TILE_K numbers is at a + r * a_stride + i * a_block
    size_t a_stride, a_block;
    const char *b;     // [k/2][columns][2]
    int rows;          // at most the kernel's
    int columns;       // 16, 32 or 48
    int k;             // even; a multiple of TILE_K, except where the leaf ends
    const float *from; // [rows][PANEL_WIDTH]: the chain so far, or NULL: starts at zero
    float *to;         // [rows][PANEL_WIDTH]; may be `from`
    const char *next; // wanted soon: `step` bytes (a multiple of 64) are fetched with each block.
    size_t step;      // Any address will do: what is not mapped is ignored.
};

struct tiles_kernel {
    int rows;      // most of a part
    int pack_rows; // products of more rows are packed
    void *context; // for multiply()
    void (*multiply)(void *context, const struct tiles_part *part);
    void (*add)(float *x, const float *y, size_t n); // x += y
    // Sums [rows][PANEL_WIDTH] into the output, `columns` of them.
    void (*emit)(float *to, size_t to_stride, const float *from, int rows, int columns);
};

void matmul_tiles(const struct matmul *args, const struct tiles_kernel *kernel);

#endif
