// Packed weights: the one layout in which every product reads its weight matrix, for decode and
// prefill alike.
//
// W [n, k] (rows are output features, as HuggingFace stores it) is cut into panels of PANEL_WIDTH
// rows. Inside a panel, k runs slowest, so that a product streams through it once while PANEL_WIDTH
// outputs accumulate in registers:
//   bf16:      [k/2][width][2]   pairs of k side by side, as vdpbf16ps reads them
//   f16, f32:  [k][width]
//   int8:      [k/2][width][2]   codes of -128 to 127
//   int4:      [k/8][width][2]   words of 16 bits: word q of eight columns has those of an even
//                                (q = 0) or odd place, four codes of -8 to 7, the first in the low
//                                bits. What the last eight have beyond k is zero.
// The last panel's width is n's rest rounded up to 16; the rows added are zero. k is even (an odd
// matrix has a column of zeros more).
//
// Integer formats (docs/numerics.md section 14) have a scale for each row and group of columns, and
// perhaps a zero point. In front of a panel's codes lie
//   scales [groups][width], as bf16, f16 or f32; then zero points [groups][width], int8
// and the codes begin at the next multiple of 64 bytes.
#ifndef COLROW_DEVICE_PANELS_H
#define COLROW_DEVICE_PANELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "device/number.h"

enum { PANEL_WIDTH = 48, PANEL_WIDTH_UNIT = 16 };

enum panel_format { PANELS_BF16, PANELS_F16, PANELS_F32, PANELS_INT8, PANELS_INT4 };
enum source_type { SOURCE_BF16, SOURCE_F16, SOURCE_F32 };

// Of an integer format; all zero of the others.
struct panel_groups {
    int32_t columns; // of a group, even; 0: all columns are one group, whatever lies before them
    int32_t before;  // columns of the first group that lie before the matrix's first (a rank's
                     // part may begin within a group); even, less than `columns`
    enum source_type scales; // how they are kept; widened exactly when used
    bool zeros;              // whether there are zero points
};

struct panel_layout {
    enum panel_format format;
    struct panel_groups groups;
};

struct panels {
    enum panel_format format;
    struct panel_groups groups;
    int32_t n, k;     // logical rows and columns; k even
    int32_t n_groups; // of columns, parts of groups included; 0 where the format has none
    int32_t n_panels; // ceil(n / PANEL_WIDTH)
    void *data;       // 64-byte aligned; borrowed from the weights' memory
    size_t stride;    // bytes from one panel to the next, ...
    size_t last;      // ... and from the first to the last
};

static inline bool panel_format_is_integer(enum panel_format format)
{
    return format == PANELS_INT8 || format == PANELS_INT4;
}

// Whether its products may take inputs of bf16 (else f32): there is one for vdpbf16ps to multiply.
static inline bool panel_format_takes_bf16(enum panel_format format)
{
    return format == PANELS_BF16 || panel_format_is_integer(format);
}

// Of a format that is no integer one.
static inline size_t panel_element_bytes(enum panel_format format)
{
    return format == PANELS_F32 ? 4 : 2;
}

static inline size_t scale_bytes(enum source_type type)
{
    return type == SOURCE_F32 ? 4 : 2;
}

// The group that column k is in, and the first column after those of a group, k at most.
static inline int32_t panel_group_of(const struct panels *w, int32_t k)
{
    return w->groups.columns ? (w->groups.before + k) / w->groups.columns : 0;
}

static inline int32_t panel_group_end(const struct panels *w, int32_t group)
{
    const int64_t end = ((int64_t)group + 1) * w->groups.columns - w->groups.before;
    return w->groups.columns && end < w->k ? (int32_t)end : w->k;
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

// Of an integer format: where a panel's scales, zero points and codes begin.
static inline char *panel_scales(const struct panels *w, int p)
{
    return panel_data(w, p);
}

static inline int8_t *panel_zeros(const struct panels *w, int p)
{
    return (int8_t *)panel_data(w, p) +
           (size_t)w->n_groups * (size_t)panel_width(w, p) * scale_bytes(w->groups.scales);
}

static inline char *panel_codes(const struct panels *w, int p)
{
    const size_t each = scale_bytes(w->groups.scales) + (w->groups.zeros ? 1 : 0);
    return panel_data(w, p) +
           ((size_t)w->n_groups * (size_t)panel_width(w, p) * each + 63) / 64 * 64;
}

// Bytes from a panel's first code to the eight columns that k is in (int4), or to k's pair (int8).
static inline size_t panel_code_at(enum panel_format format, int width, int32_t k)
{
    return format == PANELS_INT4 ? (size_t)(k / 8) * (size_t)width * 4
                                 : (size_t)(k / 2) * (size_t)width * 2;
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
// The same of any layout.
enum status panels_layout_bytes(const struct panel_layout *layout, int64_t n, int64_t k,
                                size_t *out) STATUS_MUST_USE;
void panels_layout_init(struct panels *w, const struct panel_layout *layout, int32_t n, int32_t k,
                        void *data);
void panels_layout_init_pair(struct panels *first, struct panels *second,
                             const struct panel_layout *layout, int32_t n, int32_t k, void *data);

// Packs rows [row, row + n_rows) x columns [column, column + n_columns) from a row-major source
// (stride in elements), converting as the contract says. Column ranges let fused and leaf-wise
// loading share one call. Column begin and count even.
void panels_pack(const struct panels *w, int32_t row, int32_t n_rows, int32_t column,
                 int32_t n_columns, const void *source, enum source_type type,
                 size_t source_stride);

// Of integer formats, the codes of such a range, row-major (stride in codes): each a number of the
// format's range, what a weight is before its zero point is subtracted and its scale multiplied.
void panels_pack_codes(const struct panels *w, int32_t row, int32_t n_rows, int32_t column,
                       int32_t n_columns, const int8_t *codes, size_t codes_stride);
// Scales and zero points of rows [row, row + n_rows) x the matrix's groups [group, group +
// n_groups), row-major, `stride` from a row to the next in both. Scales are rounded to what the
// matrix keeps, which should be what the file has. `zeros`: in the codes' range; NULL: 0.
void panels_pack_scales(const struct panels *w, int32_t row, int32_t n_rows, int32_t group,
                        int32_t n_groups, const float *scales, const int8_t *zeros, size_t stride);
// One of them back: what kernels multiply by, and what is subtracted from the codes.
int panels_code(const struct panels *w, int32_t row, int32_t column);
float panels_scale(const struct panels *w, int32_t row, int32_t group);
int panels_zero(const struct panels *w, int32_t row, int32_t group);

// The first n numbers of a row, widened: the embedding lookup. Of integer formats (code - zero) ·
// scale, rounded to f32.
void panels_row(const struct panels *w, int32_t row, int32_t n, float *out);

#endif
