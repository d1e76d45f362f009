// What a product of either order (matmul_blocks.c, matmul_tiles.c) goes through one after the
// other: panels, or, with a second matrix, a panel of each in turn, as they lie in memory.
#ifndef COLROW_DEVICE_CPU_X86_ITEMS_H
#define COLROW_DEVICE_CPU_X86_ITEMS_H

#include "device/kernels.h"

struct item {
    const struct panels *w;
    int panel;
    bool ends_pair; // its sums meet those of the item before
};

static inline int matrices_of(const struct matmul *args)
{
    return args->up ? 2 : 1;
}

static inline int n_items(const struct matmul *args)
{
    return (args->panel_end - args->panel_begin) * matrices_of(args);
}

static inline struct item item_at(const struct matmul *args, int i)
{
    const bool second = args->up && i % 2;
    return (struct item){second ? args->up : args->w, args->panel_begin + i / matrices_of(args),
                         second};
}

typedef void (*activate_mul_kernel)(const struct activation_args *args, const float *gate,
                                    const float *up, int n, enum compute_type type, void *out);

// Rows [row, row + n_rows) of a panel: gate and up [n_rows][PANEL_WIDTH] are the sums without
// biases; `up` is NULL where there is no such matrix.
void emit_activated(const struct matmul *args, activate_mul_kernel activate_mul, int panel, int row,
                    int n_rows, const float *gate, const float *up);

#endif
