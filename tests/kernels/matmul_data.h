// Weights for products, and products as threads run them.
#ifndef COLROW_TESTS_MATMUL_DATA_H
#define COLROW_TESTS_MATMUL_DATA_H

#include "kernels/kernel_data.h"

static inline void fill_panels(const struct panels *w, enum data_kind kind)
{
    float *row = malloc((size_t)w->k * sizeof *row);
    for (int r = 0; r < w->n; r++) {
        random_values(row, (size_t)w->k, kind);
        panels_pack(w, r, 1, 0, w->k, row, SOURCE_F32, (size_t)w->k);
    }
    free(row);
}

// As threads do: two ranges of panels, two calls. `args` knows where its output is in `out`.
static inline void multiply_in_parts(const struct kernels *kernels, struct matmul args,
                                     struct guarded *out, size_t out_bytes)
{
    int n_panels = args.w->n_panels, middle = random_between(0, n_panels);
    memset(out->data, 0x5a, out_bytes);               // gaps stay so
    memset(args.scratch, 0xff, MATMUL_SCRATCH_BYTES); // NaNs, should they be read
    args.panel_end = middle;
    if (middle > 0)
        kernels->matmul(&args);
    args.panel_begin = middle;
    args.panel_end = n_panels;
    if (middle < n_panels)
        kernels->matmul(&args);
}

#endif
