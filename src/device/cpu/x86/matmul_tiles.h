// How products in the order of tiles (docs/numerics.md section 10) walk their matrices; the ISA's
// file supplies the inner step.
//
//   rows in blocks ─ items (panels) in groups ─ k in chunks ─ item ─ rows in parts ─ pieces of
//   leaves
//
// A block's rows of a chunk stay in the second cache while the items pass by, and a panel's chunk
// does while the rows pass by. Many rows are packed first, as strips of a kernel's rows in blocks
// of the order: rows that lie a power of two apart would share a few lines of each cache.
#ifndef COLROW_DEVICE_CPU_X86_MATMUL_TILES_H
#define COLROW_DEVICE_CPU_X86_MATMUL_TILES_H

#include "device/cpu/x86/items.h"

enum { TILE_K = 32 }; // k of a block of the order

struct tiles_part {
    const bf16 *a; // row r's block i of TILE_K numbers is at a + r * a_stride + i * a_block
    size_t a_stride, a_block;
    const char *b;     // [k/2][columns][2]
    int rows;          // at most the kernel's
    int columns;       // 16, 32 or 48
    int k;             // even; a multiple of TILE_K, except where the leaf ends
    const float *from; // [rows][PANEL_WIDTH]: the chain so far, or NULL: starts at zero
    float *to;         // [rows][PANEL_WIDTH]; may be `from`
    const char *next;  // wanted soon: `step` bytes (a multiple of 64) are fetched with each block.
    size_t step;       // Any address will do: what is not mapped is ignored.
};

// Rows of a panel of an activated product on their way into its output. Its rows are lines and
// halves of lines: a half goes out with the next panel's first half where that comes right after
// it.
struct tiles_activation {
    const struct activation_args *args;
    const float *gate, *up;           // [rows][PANEL_WIDTH]; `up` or NULL
    const float *gate_bias, *up_bias; // [PANEL_WIDTH] or NULL
    int rows;
    bf16 *to; // [rows][to_stride], PANEL_WIDTH columns
    size_t to_stride;
    bf16 *half;                 // [rows][HALF_LINE], 64-byte aligned
    bool has_half, leaves_half; // the panel before left its; the next one comes
};
enum { HALF_LINE = 16 };

struct tiles_kernel {
    int rows;      // most of a part
    int pack_rows; // products of more rows are packed
    void *context; // for multiply()
    void (*multiply)(void *context, const struct tiles_part *part);
    void (*add)(float *x, const float *y, size_t n); // x += y
    // Sums [rows][PANEL_WIDTH] into the output, `columns` of them.
    void (*emit)(float *to, size_t to_stride, const float *from, int rows, int columns);
    activate_mul_kernel activate_mul;
    // Instead of activate_mul, or NULL.
    void (*activate)(const struct tiles_activation *activation);
};

void matmul_tiles(const struct matmul *args, const struct tiles_kernel *kernel);

#endif
