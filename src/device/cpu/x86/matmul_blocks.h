// How every x86 product walks its matrices; the ISA's file supplies the three inner steps.
//
//   rows in blocks ─ items (panels) in groups ─ k in chunks: pack the block's rows for the chunk
//                                                └ item ─ block of k: widen the weights ─ tile of
//                                                rows ─ ...
//
// A tile keeps rows x 48 sums in registers over one block of k. Between blocks they wait in memory
// as f32, so that the chain goes on exactly where it was; at a leaf's end the tile adds the older
// leaf sums of the stack to its own.
#ifndef COLROW_DEVICE_CPU_X86_MATMUL_BLOCKS_H
#define COLROW_DEVICE_CPU_X86_MATMUL_BLOCKS_H

#include "device/cpu/x86/items.h"

enum { TILE_ROWS_MAX = 8 };

// Of integer weights (docs/numerics.md section 14): the parts of groups that a tile goes through.
struct tile_groups {
    const char *scales; // of the first part: [columns], `type` says of what, ...
    size_t scales_step; // ... and bytes to the next group's
    enum source_type type;
    const int8_t *zeros; // the same of zero points, or NULL
    size_t zeros_step;
    const float *input_sums; // with zero points: of the tile's rows over the first part, ...
    size_t input_sums_step;  // ... and floats to those over the next one
    size_t next_scales;      // bytes to the scales of what comes next, to prefetch
    int first, columns;      // k of the first part that are in the tile; of each of the others
    bool ends;               // the last part ends with the tile
    const float *rest;       // [rows][PANEL_WIDTH]: the first part's chain so far, or NULL
    float *rest_to;          // the last part's, where it does not end
    // [rows][PANEL_WIDTH]: where sums of parts wait, which is `from` unless that is NULL
    float *own;
};

struct tile {
    const void *a;      // packed rows of this block: f32 [k][rows], or pairs of bf16 [k/2][rows][2]
    const char *b;      // weights of this block, [k][columns] in the panel's layout
    int skipped;        // pairs of int4's first eight columns that lie before the block
    int k, rows;        // k is even
    int columns;        // 16, 32 or 48
    const float *from;  // [rows][PANEL_WIDTH]: the chain so far, or NULL: starts at zero
    const float *below; // [rows][PANEL_WIDTH]: the stack's newest sum below this one, ...
    size_t level;       // ... and floats down to the next older one
    int merges;         // how many of these to add
    float *to;          // [rows][to_stride]
    size_t to_stride;
    const float *bias; // [columns] or NULL
    const char *next; // weights wanted soon, to prefetch: from here, `step` bytes further with each
                      // pair of k.
    size_t step;      // Any address will do: what is not mapped is ignored.
    bool near;        // into the first cache
    struct tile_groups groups;
};

struct block_kernel {
    int rows;       // at most, of a tile
    int widen_rows; // from this many rows of a product on, weights are widened once per block
    int widen_int8, widen_int4; // and those of integers
    bool a_is_pairs;            // rows are packed as pairs of bf16 instead of f32
    int block_k,
        stream_k; // of a block: k for several tiles, and for a single one (0: as many as there are)
    // A single tile's weights are a stream, fetched ahead of itself: up to `few_rows` a little,
    // then up to `near_rows` into the first cache, with more rows further.
    int few_rows, near_rows;
    // Packs `rows` rows, columns [0, k), of `a`.
    void (*pack)(const void *a, bool a_is_bf16, size_t a_stride, int rows, int k, void *out);
    // f32 [k][columns] of a block of weights (not for PANELS_F32), or, where a_is_pairs, bf16
    // [k/2][columns][2] (integers only). `skipped` as in a tile.
    void (*widen)(const char *b, enum panel_format format, int columns, int skipped, int k,
                  void *out);
    void (*tile)(const struct tile *tile, enum panel_format format, bool widened);
    activate_mul_kernel activate_mul;
};

void matmul_blocks(const struct matmul *args, const struct block_kernel *kernel);

#endif
