#include "device/panels.h"

#include <assert.h>

#include "base/checked.h"

enum { PANEL_LINE = 64 };

// Bytes of a panel of so many rows.
static bool panel_bytes(const struct panel_layout *layout, size_t width, size_t k, size_t *out)
{
    const struct panel_groups *groups = &layout->groups;
    size_t each, planes, codes;
    if (!panel_format_is_integer(layout->format))
        return checked_mul3(width, k, panel_element_bytes(layout->format), out);
    each = width * (scale_bytes(groups->scales) + (groups->zeros ? 1 : 0));
    const size_t n_groups =
        groups->columns
            ? ((size_t)groups->before + k + (size_t)groups->columns - 1) / (size_t)groups->columns
            : k > 0;
    return checked_mul(n_groups, each, &planes) &&
           checked_mul(width, layout->format == PANELS_INT4 ? (k + 7) / 8 * 4 : k, &codes) &&
           checked_add(round_up(planes, PANEL_LINE), round_up(codes, PANEL_LINE), out);
}

enum status panels_layout_bytes(const struct panel_layout *layout, int64_t n, int64_t k,
                                size_t *out)
{
    size_t whole, last, bytes;
    if (n < 0 || n > INT32_MAX - PANEL_WIDTH || k < 0 || k > INT32_MAX || k % 2 != 0)
        return fail(ERR_INPUT,
                    "a weight matrix of [%lld, %lld] cannot be packed: at most %d rows, and an "
                    "even number of columns "
                    "of at most %d, are possible",
                    (long long)n, (long long)k, INT32_MAX - PANEL_WIDTH, INT32_MAX);
    const size_t rest = round_up((size_t)n % PANEL_WIDTH, PANEL_WIDTH_UNIT);
    if (!panel_bytes(layout, PANEL_WIDTH, (size_t)k, &whole) ||
        !panel_bytes(layout, rest, (size_t)k, &last) ||
        !checked_mul(whole, (size_t)n / PANEL_WIDTH, &bytes) || !checked_add(bytes, last, &bytes))
        return fail(ERR_INPUT, "a weight matrix of [%lld, %lld] does not fit into memory",
                    (long long)n, (long long)k);
    *out = bytes;
    return OK;
}

enum status panels_bytes(enum panel_format format, int64_t n, int64_t k, size_t *out)
{
    return panels_layout_bytes(&(struct panel_layout){.format = format}, n, k, out);
}

// Where element [row, k] lies, in elements from the panels' begin.
static size_t element_at(const struct panels *w, int32_t row, int32_t k)
{
    int panel = row / PANEL_WIDTH;
    size_t width = (size_t)panel_width(w, panel), column = (size_t)(row % PANEL_WIDTH);
    assert(!panel_format_is_integer(w->format));
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

// Rows are adjacent for one k (or pair of k), so the padding is one run at the end of each. Of an
// integer format all of the last panel is zeroed, and the last eight columns of each.
static void zero_padding(const struct panels *w, const struct panel_layout *layout)
{
    size_t padding = round_up((size_t)w->n, PANEL_WIDTH_UNIT) - (size_t)w->n, bytes = 0;
    if (panel_format_is_integer(w->format)) {
        for (int p = 0; p < w->n_panels && w->format == PANELS_INT4 && w->k % 8; p++) {
            const size_t end = panel_code_at(w->format, panel_width(w, p), w->k - 1);
            memset(panel_codes(w, p) + end, 0, (size_t)panel_width(w, p) * 4);
        }
        if (padding &&
            panel_bytes(layout, (size_t)panel_width(w, w->n_panels - 1), (size_t)w->k, &bytes))
            memset(panel_data(w, w->n_panels - 1), 0, bytes);
        return;
    }
    size_t element = panel_element_bytes(w->format), run = padding * row_stride(w) * element;
    for (int32_t i = 0; i < w->k && run > 0; i += (int32_t)row_stride(w))
        memset((char *)w->data + element_at(w, w->n - 1, i) * element + row_stride(w) * element, 0,
               run);
}

// `side_by_side` matrices; this one is number `which` of them.
static void init_panels(struct panels *w, const struct panel_layout *layout, int32_t n, int32_t k,
                        void *data, int side_by_side, int which)
{
    const struct panel_groups *groups = &layout->groups;
    assert(n >= 0 && k >= 0 && k % 2 == 0);
    assert(groups->columns % 2 == 0 && groups->before % 2 == 0);
    assert(groups->before >= 0 && groups->before < groups->columns + !groups->columns);
    *w = (struct panels){.format = layout->format, .groups = *groups, .n = n, .k = k, .data = data};
    w->n_panels = (n + PANEL_WIDTH - 1) / PANEL_WIDTH;
    if (panel_format_is_integer(w->format))
        w->n_groups = k ? panel_group_of(w, k - 1) + 1 : 0;
    size_t panel = 0, narrow = 0;
    if (n == 0 || !panel_bytes(layout, PANEL_WIDTH, (size_t)k, &panel) ||
        !panel_bytes(layout, (size_t)panel_width(w, w->n_panels - 1), (size_t)k, &narrow))
        return;
    const size_t first = (size_t)which * (w->n_panels > 1 ? panel : narrow);
    w->stride = (size_t)side_by_side * panel;
    w->last = (size_t)(w->n_panels - 1) * w->stride + (size_t)which * narrow - first;
    w->data = (char *)data + first;
    zero_padding(w, layout);
}

void panels_layout_init(struct panels *w, const struct panel_layout *layout, int32_t n, int32_t k,
                        void *data)
{
    init_panels(w, layout, n, k, data, 1, 0);
}

void panels_layout_init_pair(struct panels *first, struct panels *second,
                             const struct panel_layout *layout, int32_t n, int32_t k, void *data)
{
    init_panels(first, layout, n, k, data, 2, 0);
    init_panels(second, layout, n, k, data, 2, 1);
}

void panels_init(struct panels *w, enum panel_format format, int32_t n, int32_t k, void *data)
{
    panels_layout_init(w, &(struct panel_layout){.format = format}, n, k, data);
}

void panels_init_pair(struct panels *first, struct panels *second, enum panel_format format,
                      int32_t n, int32_t k, void *data)
{
    panels_layout_init_pair(first, second, &(struct panel_layout){.format = format}, n, k, data);
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
    case PANELS_INT8:
    case PANELS_INT4: // panels_pack_codes()
        assert(false);
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

// ---- integer formats ----

// Eight codes of int4 as two words of 16 bits: those of even places, then those of odd ones.
static uint32_t words_of_eight(const int8_t *codes)
{
    uint32_t words = 0;
    for (int i = 0; i < 8; i++)
        words |= ((uint32_t)codes[i] & 15) << (i % 2 * 16 + i / 2 * 4);
    return words;
}

void panels_pack_codes(const struct panels *w, int32_t row, int32_t n_rows, int32_t column,
                       int32_t n_columns, const int8_t *codes, size_t codes_stride)
{
    assert(panel_format_is_integer(w->format));
    assert(row >= 0 && n_rows >= 0 && row <= w->n - n_rows);
    assert(column >= 0 && n_columns >= 0 && column <= w->k - n_columns);
    for (int32_t r = row; r < row + n_rows; r++, codes += codes_stride) {
        const int panel = r / PANEL_WIDTH, width = panel_width(w, panel);
        char *to =
            panel_codes(w, panel) + (size_t)(r % PANEL_WIDTH) * (w->format == PANELS_INT4 ? 4 : 2);
        for (int32_t c = column; c < column + n_columns; c++) {
            if (w->format == PANELS_INT4 && c % 8 == 0 && column + n_columns - c >= 8) {
                const uint32_t words = words_of_eight(codes + (c - column));
                memcpy(to + panel_code_at(w->format, width, c), &words, sizeof words);
                c += 7;
                continue;
            }
            const int code = codes[c - column];
            char *at = to + panel_code_at(w->format, width, c);
            if (w->format == PANELS_INT8) {
                at[c % 2] = (char)code;
                continue;
            }
            assert(code >= -8 && code <= 7);
            uint16_t words[2];
            const int shift = c % 8 / 2 * 4;
            memcpy(words, at, sizeof words);
            words[c % 2] =
                (uint16_t)((words[c % 2] & ~(15u << shift)) | ((unsigned)code & 15) << shift);
            memcpy(at, words, sizeof words);
        }
    }
}

int panels_code(const struct panels *w, int32_t row, int32_t column)
{
    assert(row >= 0 && row < w->n && column >= 0 && column < w->k);
    const int panel = row / PANEL_WIDTH, in_panel = row % PANEL_WIDTH;
    const char *at =
        panel_codes(w, panel) + panel_code_at(w->format, panel_width(w, panel), column);
    if (w->format == PANELS_INT8)
        return ((const int8_t *)at)[in_panel * 2 + column % 2];
    uint16_t words[2];
    memcpy(words, at + in_panel * 4, sizeof words);
    const int code = words[column % 2] >> (column % 8 / 2 * 4) & 15;
    return code < 8 ? code : code - 16;
}

static size_t scale_at(const struct panels *w, int32_t row, int32_t group)
{
    assert(row >= 0 && row < w->n && group >= 0 && group < w->n_groups);
    return (size_t)group * (size_t)panel_width(w, row / PANEL_WIDTH) + (size_t)(row % PANEL_WIDTH);
}

void panels_pack_scales(const struct panels *w, int32_t row, int32_t n_rows, int32_t group,
                        int32_t n_groups, const float *scales, const int8_t *zeros, size_t stride)
{
    assert(panel_format_is_integer(w->format));
    for (int32_t r = 0; r < n_rows; r++)
        for (int32_t g = 0; g < n_groups; g++) {
            const size_t at = scale_at(w, row + r, group + g),
                         from = (size_t)r * stride + (size_t)g;
            const int panel = (row + r) / PANEL_WIDTH;
            void *to = panel_scales(w, panel);
            switch (w->groups.scales) {
            case SOURCE_BF16:
                ((bf16 *)to)[at] = bf16_of_float(scales[from]);
                break;
            case SOURCE_F16:
                ((f16 *)to)[at] = f16_of_float(scales[from]);
                break;
            case SOURCE_F32:
                ((float *)to)[at] = scales[from];
                break;
            }
            assert(w->groups.zeros || !zeros || zeros[from] == 0);
            if (w->groups.zeros)
                panel_zeros(w, panel)[at] = zeros ? zeros[from] : 0;
        }
}

float panels_scale(const struct panels *w, int32_t row, int32_t group)
{
    return source_value(panel_scales(w, row / PANEL_WIDTH), w->groups.scales,
                        scale_at(w, row, group));
}

int panels_zero(const struct panels *w, int32_t row, int32_t group)
{
    const size_t at = scale_at(w, row, group);
    return w->groups.zeros ? panel_zeros(w, row / PANEL_WIDTH)[at] : 0;
}

static void integer_row(const struct panels *w, int32_t row, int32_t n, float *out)
{
    for (int32_t k = 0; k < n; k++) {
        const int32_t group = panel_group_of(w, k);
        out[k] = (float)(panels_code(w, row, k) - panels_zero(w, row, group)) *
                 panels_scale(w, row, group);
    }
}

void panels_row(const struct panels *w, int32_t row, int32_t n, float *out)
{
    assert(row >= 0 && row < w->n && n <= w->k);
    if (panel_format_is_integer(w->format)) {
        integer_row(w, row, n, out);
        return;
    }
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
