#include "model/weights_quantise.h"

#include <assert.h>
#include <math.h>

static float largest_magnitude(const float *x, int n)
{
    uint32_t bits = 0; // of finite numbers the order of magnitudes is that of their bits
    for (int i = 0; i < n; i++) {
        const uint32_t magnitude = bits_of_float(x[i]) & 0x7fffffffu;
        bits = magnitude > bits ? magnitude : bits;
    }
    return float_of_bits(bits);
}

bool quantise_group(const float *x, int n, int bits, float *scale, int8_t *codes)
{
    const float most = (float)((1 << (bits - 1)) - 1), least = -most - 1;
    const float magic = 12582912; // 1.5 · 2^23: what is added to it is rounded to an integer
    const float largest = largest_magnitude(x, n);
    if (!(largest <= 3.4028235e38f))
        return false;
    const float step = float_of_bf16(bf16_of_float(largest / (most + 0.5f)));
    *scale = step;
    for (int i = 0; i < n; i++) {
        float code = step > 0 ? x[i] / step : 0;
        code = code < least ? least : code > most ? most : code;
        codes[i] = (int8_t)((code + magic) - magic);
    }
    return true;
}

static void widen_numbers(const void *source, enum element_type type, size_t at, int n, float *out)
{
    switch (type) {
    case ELEMENT_BF16:
        for (int i = 0; i < n; i++)
            out[i] = float_of_bf16(((const bf16 *)source)[at + (size_t)i]);
        return;
    case ELEMENT_F32:
        memcpy(out, (const float *)source + at, (size_t)n * sizeof *out);
        return;
    default:
        for (int i = 0; i < n; i++)
            out[i] = stored_number(source, type, at + (size_t)i);
    }
}

static int32_t least_column(int64_t a, int64_t b)
{
    return (int32_t)(a < b ? a : b);
}

enum status quantise_part(const struct stored_part *part)
{
    const struct weight_piece *p = part->piece;
    const struct panels *w = &p->panels;
    const int32_t group = w->groups.columns;
    const int bits = w->format == PANELS_INT8 ? 8 : 4;
    const enum element_type type = p->slice.tensor->type;
    float x[QUANTIZATION_GROUP_MAX], scale;
    int8_t codes[QUANTIZATION_GROUP_MAX + 1];
    assert(piece_is_plain(p) && group <= QUANTIZATION_GROUP_MAX && part->column % group == 0);
    for (int64_t row = 0; row < part->n_rows; row++)
        for (int64_t column = 0; column < part->n_columns; column += group) {
            const int32_t n = least_column(group, part->n_columns - column);
            widen_numbers(part->source, type, (size_t)row * part->stride + (size_t)column, n, x);
            if (!quantise_group(x, n, bits, &scale, codes))
                return fail(ERR_INPUT,
                            "tensor \"%s\" has a number that is not finite in row %lld, columns "
                            "%lld to %lld: it cannot be quantised",
                            p->slice.tensor->name,
                            (long long)(p->slice.row_begin + part->row + row),
                            (long long)(p->slice.column_begin + part->column + column),
                            (long long)(p->slice.column_begin + part->column + column + n - 1));
            codes[n] = 0; // beside the last of an odd number
            // in the panels
            const int64_t first = part->column + column - p->columns_before;
            const int32_t begin = first < 0 ? 0 : (int32_t)first,
                          end = least_column(first + n, p->n_columns),
                          to_row = p->row + (int32_t)(part->row + row);
            if (begin >= end)
                continue;
            panels_pack_codes(w, to_row, 1, begin, end - begin + (end - begin) % 2,
                              codes + (begin - first), 1);
            panels_pack_scales(w, to_row, 1, panel_group_of(w, begin), 1, &scale, NULL, 1);
        }
    return OK;
}

// Rows of codes and scales of zero.
static void zero_integer_rows(const struct panels *w, int32_t row)
{
    static const int8_t code;
    static const float scale;
    for (; row < w->n; row++) {
        for (int32_t k = 0; k < w->k; k++)
            panels_pack_codes(w, row, 1, k, 1, &code, 1);
        for (int32_t group = 0; group < w->n_groups; group++)
            panels_pack_scales(w, row, 1, group, 1, &scale, NULL, 1);
    }
}

// Rows from `row` on, which no file has.
void zero_rows(const struct panels *w, int32_t row)
{
    enum { COLUMNS = 64 };
    static const float zeros[COLUMNS];
    if (panel_format_is_integer(w->format)) {
        zero_integer_rows(w, row);
        return;
    }
    for (; row < w->n; row++)
        for (int32_t k = 0; k < w->k; k += COLUMNS)
            panels_pack(w, row, 1, k, w->k - k < COLUMNS ? w->k - k : COLUMNS, zeros, SOURCE_F32,
                        COLUMNS);
}
