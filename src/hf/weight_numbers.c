// From codes to numbers (docs/quantisation.md): (value(code) - zero) · scale in f32, one rounding.
#include <assert.h>

#include "device/number.h"
#include "hf/weight_recipe.h"

enum { TABLE_RUN = 16 }; // columns from which on a table of all codes is worth making

// What a run of columns has in common.
struct run {
    const float *map;
    float zero, first, scale;
    bool divides;
};

int64_t code_tile_run(const struct code_tile *tile, int64_t row, int64_t column, int64_t *group)
{
    const struct stored_weight *w = tile->weight;
    int64_t end = column + 1;
    if (tile->group_of) {
        *group = tile->group_of[column] - tile->first_group;
        while (end < tile->n_columns && tile->group_of[end] == tile->group_of[column])
            end++;
        return end - column;
    }
    const int64_t begin = w->recipe->scales == SCALES_FLAT
                              ? (tile->row + row) * w->columns + tile->column
                              : tile->column;
    *group = (begin + column) / w->group - begin / w->group;
    end = ((begin + column) / w->group + 1) * w->group - begin;
    return (end < tile->n_columns ? end : tile->n_columns) - column;
}

static float number_of(const struct run *run, int8_t code)
{
    const float value = run->map ? run->map[(uint8_t)code] : (float)code;
    const float whole = (value - run->zero) * run->first;
    return run->divides ? whole / run->scale : whole * run->scale;
}

static void put_rounded(enum element_type type, void *out, size_t i, float x)
{
    if (type == ELEMENT_BF16)
        ((bf16 *)out)[i] = bf16_of_float(x);
    else if (type == ELEMENT_F16)
        ((f16 *)out)[i] = f16_of_float(x);
    else
        ((float *)out)[i] = x;
}

// Codes of up to 4 bits are 16 numbers; signed ones by their last bits.
static void fill_run(const struct code_tile *tile, const struct run *run, const int8_t *codes,
                     int64_t n, void *out, size_t at)
{
    const enum element_type type = tile->weight->numbers.type;
    union {
        uint16_t halves[16];
        float floats[16];
    } table;
    if (tile->weight->bits > 4 || n < TABLE_RUN) {
        for (int64_t k = 0; k < n; k++)
            put_rounded(type, out, at + (size_t)k, number_of(run, codes[k]));
        return;
    }
    for (int i = 0; i < 16; i++)
        put_rounded(type, &table, (size_t)i, number_of(run, (int8_t)(tile->map ? i : (i ^ 8) - 8)));
    if (type == ELEMENT_F32)
        for (int64_t k = 0; k < n; k++)
            ((float *)out)[at + (size_t)k] = table.floats[codes[k] & 15];
    else
        for (int64_t k = 0; k < n; k++)
            ((uint16_t *)out)[at + (size_t)k] = table.halves[codes[k] & 15];
}

void code_tile_numbers(const struct code_tile *tile, void *out, size_t stride)
{
    struct run run = {.map = tile->map, .divides = tile->weight->divides};
    assert(stride >= (size_t)tile->n_columns);
    for (int64_t row = 0; row < tile->n_rows; row++)
        for (int64_t column = 0, n; column < tile->n_columns; column += n) {
            int64_t group;
            n = code_tile_run(tile, row, column, &group);
            const int64_t at = row * tile->n_groups + group;
            run.zero = tile->zeros ? (float)tile->zeros[at] : 0;
            run.first = tile->first_factors[at];
            run.scale = tile->scales[at];
            fill_run(tile, &run, tile->codes + row * tile->n_columns + column, n, out,
                     (size_t)row * stride + (size_t)column);
        }
}
