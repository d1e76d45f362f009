// Packed weights: the one layout in which every product reads its weight matrix, for decode and
// prefill alike.
//
// W [n, k] (rows are output features, as HuggingFace stores it) is cut into panels of PANEL_WIDTH
// rows. Inside a panel, k runs slowest, so that a product streams through it once while PANEL_WIDTH
// outputs accumulate in registers:
//   bf16:      [k/2][width][2]   pairs of k side by side, as vdpbf16ps reads them
//   f16, f32:  [k][width]
// The last panel's width is n's rest rounded up to 16; the rows added are zero. k is even (an odd
// matrix has a column of zeros more). Quantised formats (int8, int4 with group scales) will be
// further values of panel_format.
#ifndef COLROW_DEVICE_PANELS_H
#define COLROW_DEVICE_PANELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "device/number.h"

enum { PANEL_WIDTH = 48, PANEL_WIDTH_UNIT = 16 };

enum panel_format { PANELS_BF16, PANELS_F16, PANELS_F32 };

struct panels {
    enum panel_format format;
    int32_t n, k;     // logical rows and columns; k even
    int32_t n_panels; // ceil(n / PANEL_WIDTH)
    void *data;       // 64-byte aligned; borrowed from the weights' memory
    size_t stride;    // bytes from one panel to the next, ...
    size_t last;      // ... and from the first to the last
};

static inline size_t panel_element_bytes(enum panel_format format)
{
    return format == PANELS_F32 ? 4 : 2;
}

// Columns of panel `p`, padded: 48, or 16/32/48 for the last.
static inline int panel_width(const struct panels *w, int p)
{
    int rest = w->n - p * PANEL_WIDTH;
    return rest >= PANEL_WIDTH
               ? PANEL_WIDTH
               : (rest + PANEL_WIDTH_UNIT - 1) / PANEL_WIDTH_UNIT * PANEL_WIDTH_UNIT;
}

static inline char *panel_data(const struct panels *w, int p)
{
    return (char *)w->data + (p == w->n_panels - 1 ? w->last : (size_t)p * w->stride);
}

// Bytes that panels for [n, k] take (a multiple of 64); ERR_INPUT when the size does not fit.
enum status panels_bytes(enum panel_format format, int64_t n, int64_t k,
                         size_t *out) STATUS_MUST_USE;
// Describes panels over `data` (panels_bytes() of it); padding rows are zeroed here, the rest is
// left to packing.
void panels_init(struct panels *w, enum panel_format format, int32_t n, int32_t k, void *data);
// Two matrices of one size for one pass (gate and up): panel by panel side by side in twice the
// bytes.
void panels_init_pair(struct panels *first, struct panels *second, enum panel_format format,
                      int32_t n, int32_t k, void *data);

enum source_type { SOURCE_BF16, SOURCE_F16, SOURCE_F32 };
// Packs rows [row, row + n_rows) x columns [column, column + n_columns) from a row-major source
// (stride in elements), converting as the contract says. Column ranges let fused and leaf-wise
// loading share one call. Column begin and count even.
void panels_pack(const struct panels *w, int32_t row, int32_t n_rows, int32_t column,
                 int32_t n_columns, const void *source, enum source_type type,
                 size_t source_stride);
// The first n numbers of a row, widened: the embedding lookup.
void panels_row(const struct panels *w, int32_t row, int32_t n, float *out);

#endif
