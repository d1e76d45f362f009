#include "device/panels.h"

#include <assert.h>

#include "base/checked.h"

enum status panels_bytes(enum panel_format format, int64_t n, int64_t k, size_t *out)
{
    size_t bytes;
    if (n < 0 || n > INT32_MAX - PANEL_WIDTH || k < 0 || k > INT32_MAX || k % 2 != 0)
        return fail(ERR_INPUT,
                    "a weight matrix of [%lld, %lld] cannot be packed: at most %d rows, and an "
                    "even number of columns "
                    "of at most %d, are possible",
                    (long long)n, (long long)k, INT32_MAX - PANEL_WIDTH, INT32_MAX);
    if (!checked_mul3(round_up((size_t)n, PANEL_WIDTH_UNIT), (size_t)k, panel_element_bytes(format),
                      &bytes))
        return fail(ERR_INPUT, "a weight matrix of [%lld, %lld] does not fit into memory",
                    (long long)n, (long long)k);
    *out = bytes;
    return OK;
}

// Where element [row, k] lies, in elements from the panels' begin.
static size_t element_at(const struct panels *w, int32_t row, int32_t k)
{
    int panel = row / PANEL_WIDTH;
    size_t width = (size_t)panel_width(w, panel), column = (size_t)(row % PANEL_WIDTH);
    size_t begin =
        (size_t)(panel_data(w, panel) - (char *)w->data) / panel_element_bytes(w->format);
    if (w->format == PANELS_BF16)
        return begin + ((size_t)(k / 2) * width + column) * 2 + (size_t)(k % 2);
    return begin + (size_t)k * width + column;
}

static size_t row_stride(const struct panels *w) // elements from a row to the next in its panel
{
    return w->format == PANELS_BF16 ? 2 : 1;
}

// Rows are adjacent for one k (or pair of k), so the padding is one run at the end of each.
static void zero_padding(const struct panels *w)
{
    size_t padding = round_up((size_t)w->n, PANEL_WIDTH_UNIT) - (size_t)w->n;
    size_t element = panel_element_bytes(w->format), run = padding * row_stride(w) * element;
    for (int32_t i = 0; i < w->k && run > 0; i += (int32_t)row_stride(w))
        memset((char *)w->data + element_at(w, w->n - 1, i) * element + row_stride(w) * element, 0,
               run);
}

// `side_by_side` matrices; this one is number `which` of them.
static void init_panels(struct panels *w, enum panel_format format, int32_t n, int32_t k,
                        void *data, int side_by_side, int which)
{
    assert(n >= 0 && k >= 0 && k % 2 == 0);
    *w = (struct panels){.format = format, .n = n, .k = k, .data = data};
    w->n_panels = (n + PANEL_WIDTH - 1) / PANEL_WIDTH;
    if (n == 0)
        return;
    const size_t column = (size_t)k * panel_element_bytes(format), panel = PANEL_WIDTH * column;
    const size_t narrow = (size_t)panel_width(w, w->n_panels - 1) * column;
    const size_t first = (size_t)which * (w->n_panels > 1 ? panel : narrow);
    w->stride = (size_t)side_by_side * panel;
    w->last = (size_t)(w->n_panels - 1) * w->stride + (size_t)which * narrow - first;
    w->data = (char *)data + first;
    zero_padding(w);
}

void panels_init(struct panels *w, enum panel_format format, int32_t n, int32_t k, void *data)
{
    init_panels(w, format, n, k, data, 1, 0);
}

void panels_init_pair(struct panels *first, struct panels *second, enum panel_format format,
                      int32_t n, int32_t k, void *data)
{
    init_panels(first, format, n, k, data, 2, 0);
    init_panels(second, format, n, k, data, 2, 1);
}

static float source_value(const void *source, enum source_type type, size_t i)
{
    switch (type) {
    case SOURCE_BF16:
        return float_of_bf16(((const bf16 *)source)[i]);
    case SOURCE_F16:
        return float_of_f16(((const f16 *)source)[i]);
    case SOURCE_F32:
        return ((const float *)source)[i];
    }
    return 0;
}

// The same type keeps its bits; all else goes through f32 with the contract's rounding.
static void convert_element(void *to, enum panel_format format, size_t at, const void *from,
                            enum source_type type, size_t i)
{
    switch (format) {
    case PANELS_BF16:
        ((bf16 *)to)[at] = type == SOURCE_BF16 ? ((const bf16 *)from)[i]
                                               : bf16_of_float(source_value(from, type, i));
        break;
    case PANELS_F16:
        ((f16 *)to)[at] =
            type == SOURCE_F16 ? ((const f16 *)from)[i] : f16_of_float(source_value(from, type, i));
        break;
    case PANELS_F32:
        ((float *)to)[at] = source_value(from, type, i);
        break;
    }
}

void panels_pack(const struct panels *w, int32_t row, int32_t n_rows, int32_t column,
                 int32_t n_columns, const void *source, enum source_type type, size_t source_stride)
{
    assert(row >= 0 && n_rows >= 0 && row <= w->n - n_rows);
    assert(column >= 0 && n_columns >= 0 && column <= w->k - n_columns);
    assert(column % 2 == 0 && n_columns % 2 == 0);
    for (int32_t r = 0; r < n_rows; r++)
        for (int32_t c = 0; c < n_columns; c++)
            convert_element(w->data, w->format, element_at(w, row + r, column + c), source, type,
                            (size_t)r * source_stride + (size_t)c);
}

void panels_row(const struct panels *w, int32_t row, int32_t n, float *out)
{
    assert(row >= 0 && row < w->n && n <= w->k);
    if (w->format ==
        PANELS_BF16) { // each pair is a cache line: nothing but loads, so that many are under way
        const bf16 *pair = (const bf16 *)w->data + element_at(w, row, 0);
        const size_t step = w->k > 2 ? element_at(w, row, 2) - element_at(w, row, 0) : 0;
        int32_t k = 0;
        for (; k + 1 < n; k += 2, pair += step) {
            out[k] = float_of_bf16(pair[0]);
            out[k + 1] = float_of_bf16(pair[1]);
        }
        if (k < n)
            out[k] = float_of_bf16(pair[0]);
        return;
    }
    for (int32_t k = 0; k < n; k++)
        out[k] = source_value(w->data, w->format == PANELS_F16 ? SOURCE_F16 : SOURCE_F32,
                              element_at(w, row, k));
}
