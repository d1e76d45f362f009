// Scales, zero points and groups of a rectangle of a stored weight, and what its codes are worth.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "device/number.h"
#include "hf/weight_tile.h"

enum status tile_read_groups(struct tile_reading *reading)
{
    const struct stored_weight *w = reading->weight;
    struct code_tile *tile = reading->tile;
    struct fetched groups;
    const struct part_range grid = tile_scales_grid(w, reading->r);
    tile->first_group = grid.column;
    tile->n_groups = grid.column_end - grid.column;
    if (w->recipe->scales == SCALES_FLAT)
        tile->n_groups = tile_groups_most(w, tile->n_columns);
    if (!w->parts[PART_GROUPS].tensor)
        return OK;
    TRY(tile_fetch(reading, PART_GROUPS, &groups));
    tile->group_of = groups.data;
    for (int64_t k = 0; k < tile->n_columns; k++)
        if (tile->group_of[k] < 0 || tile->group_of[k] >= w->scale_columns) {
            char found[100], expected[100];
            snprintf(found, sizeof found, "group %d for column %lld", (int)tile->group_of[k],
                     (long long)(reading->r.column + k));
            snprintf(expected, sizeof expected, "0 to %lld", (long long)w->scale_columns - 1);
            return tile_refuse(reading, PART_GROUPS, found, expected);
        }
    return OK;
}

static float e4m3_value(unsigned code)
{
    const unsigned exponent = code >> 3 & 15, mantissa = code & 7;
    float value = exponent ? float_of_bits((exponent + 120) << 23 | mantissa << 20)
                           : (float)mantissa * 0x1p-9f;
    if ((code & 0x7f) == 0x7f)
        value = float_of_bits(0x7fc00000u);
    return code & 0x80 ? -value : value;
}

// A scale as it is stored; of exponents `*first` gets what f32 has no normal number for.
static float scale_number(const void *data, enum element_type type, int64_t i, float *first)
{
    switch (type) {
    case ELEMENT_BF16:
        return float_of_bf16(((const bf16 *)data)[i]);
    case ELEMENT_F16:
        return float_of_f16(((const f16 *)data)[i]);
    case ELEMENT_F32:
        return ((const float *)data)[i];
    case ELEMENT_F8_E4M3:
        return e4m3_value(((const uint8_t *)data)[i]);
    default: { // an exponent of two, bias 127
        const unsigned byte = ((const uint8_t *)data)[i];
        *first = byte ? 1 : 0.5f;
        return byte == 255 ? float_of_bits(0x7fc00000u) : float_of_bits((byte ? byte : 1) << 23);
    }
    }
}

static enum status refuse_scale(const struct tile_reading *reading, int64_t row, int64_t group)
{
    char found[100];
    snprintf(found, sizeof found, "a scale that is no finite number (row %lld, group %lld)",
             (long long)row, (long long)group);
    return tile_refuse(reading, PART_SCALES, found, "finite scales");
}

// bitsandbytes': absmax, or bytes that are worth map · outer + offset.
static enum status read_flat_scales(struct tile_reading *reading)
{
    const struct stored_weight *w = reading->weight;
    struct code_tile *tile = reading->tile;
    struct fetched scales, outer = {0}, map = {0};
    const struct part_range range = tile_part_range(w, PART_SCALES, reading->r);
    TRY(tile_fetch(reading, PART_SCALES, &scales));
    if (w->nested_group) {
        TRY(tile_fetch(reading, PART_NESTED_SCALES, &outer));
        TRY(tile_fetch(reading, PART_NESTED_MAP, &map));
    }
    for (int64_t i = 0; i < tile->n_rows; i++) {
        const int64_t begin = (reading->r.row + i) * w->columns + reading->r.column;
        for (int64_t g = 0; g < tile->n_groups; g++) {
            const int64_t at = begin / w->group + g;
            float *scale = &tile->scales[i * tile->n_groups + g];
            tile->first_factors[i * tile->n_groups + g] = 1;
            *scale = 0;
            if (at >= range.row_end)
                continue;
            if (w->nested_group)
                *scale = ((const float *)map.data)[((const uint8_t *)scales.data)[at - range.row]] *
                             ((const float *)outer.data)[at / w->nested_group] +
                         w->nested_offset;
            else
                *scale = ((const float *)scales.data)[at - range.row];
            if (!isfinite(*scale))
                return refuse_scale(reading, reading->r.row + i, at);
        }
    }
    return OK;
}

static enum status read_global(struct tile_reading *reading, float *out)
{
    struct fetched global;
    if (!reading->weight->parts[PART_GLOBAL].tensor)
        return OK;
    TRY(tile_fetch(reading, PART_GLOBAL, &global));
    *out = *(const float *)global.data;
    if (isfinite(*out) && *out != 0)
        return OK;
    return tile_refuse(reading, PART_GLOBAL, "a number that nothing can be divided by",
                       "a finite one that is not zero");
}

enum status tile_read_scales(struct tile_reading *reading)
{
    const struct stored_weight *w = reading->weight;
    struct code_tile *tile = reading->tile;
    const struct part_range range = tile_part_range(w, PART_SCALES, reading->r);
    const size_t n = (size_t)(tile->n_rows * tile->n_groups);
    struct fetched scales;
    float global = 0;
    tile->scales = tile_take(&reading->memory, n * sizeof(float));
    tile->first_factors = tile_take(&reading->memory, n * sizeof(float));
    if (w->recipe->scales == SCALES_FLAT)
        return read_flat_scales(reading);
    TRY(read_global(reading, &global));
    TRY(tile_fetch(reading, PART_SCALES, &scales));
    for (int64_t i = 0; i < tile->n_rows; i++)
        for (int64_t g = 0; g < tile->n_groups; g++) {
            const int64_t row =
                (reading->r.row + i) / w->row_unit - (w->turned ? range.column : range.row);
            float *scale = &tile->scales[i * tile->n_groups + g],
                  *first = &tile->first_factors[i * tile->n_groups + g];
            *first = 1;
            *scale =
                scale_number(scales.data, w->parts[PART_SCALES].type,
                             w->turned ? g * scales.stride + row : row * scales.stride + g, first);
            if (global != 0)
                *scale = *scale / global;
            if (!isfinite(*scale) || (w->divides && *scale == 0))
                return refuse_scale(reading, reading->r.row + i, tile->first_group + g);
            if (w->recipe->method == QUANT_BITSANDBYTES) { // int8 · SCB · (1 / 127), in this order
                *first = *scale;
                *scale = 0.0078740157f;
            }
        }
    return OK;
}

// GPTQ's first format stores one less, from whole words with all their borrows; of 3 bits from each
// field. `zeros` are `n` words, `count` of them side by side.
static void add_one_to_zeros(const struct stored_weight *w, uint32_t *words, int64_t n)
{
    const uint32_t one = w->bits == 2   ? 0x55555555u
                         : w->bits == 4 ? 0x11111111u
                         : w->bits == 8 ? 0x01010101u
                                        : 0;
    for (int64_t i = 0; i < n; i++)
        words[i] += one;
}

static int zero_of_words(const struct tile_reading *reading, const struct fetched *zeros, int64_t i,
                         int64_t g)
{
    const struct stored_weight *w = reading->weight;
    const int64_t first = reading->r.row, row = first + i;
    const uint32_t *words = zeros->data;
    if (w->packing == PACKED_AWQ_NIBBLES)
        return (int)(words[g * zeros->stride + row / 8 - first / 8] >> tile_awq_shift[row % 8] &
                     15) -
               8;
    const uint32_t *from = w->turned ? words + g * zeros->stride : words + g;
    uint32_t zero = tile_packed_at(w, from, w->turned ? 1 : zeros->stride, first, row);
    if (w->zeros_less_one && w->bits == 3)
        zero = (zero + 1) & 7;
    return (int)zero - (1 << (w->bits - 1));
}

enum status tile_read_zeros(struct tile_reading *reading)
{
    const struct stored_weight *w = reading->weight;
    struct code_tile *tile = reading->tile;
    struct fetched zeros;
    if (!w->parts[PART_ZEROS].tensor)
        return OK;
    const struct part_range range = tile_part_range(w, PART_ZEROS, reading->r);
    TRY(tile_fetch(reading, PART_ZEROS, &zeros));
    tile->zeros =
        tile_take(&reading->memory, (size_t)(tile->n_rows * tile->n_groups) * sizeof(int16_t));
    if (w->zeros_less_one)
        for (int64_t g = 0; g < range.row_end - range.row; g++)
            add_one_to_zeros(w, (uint32_t *)(uintptr_t)zeros.data + g * zeros.stride,
                             range.column_end - range.column);
    for (int64_t i = 0; i < tile->n_rows; i++)
        for (int64_t g = 0; g < tile->n_groups; g++) {
            const int64_t row = (reading->r.row + i) / w->row_unit - range.row;
            tile->zeros[i * tile->n_groups + g] =
                (int16_t)(w->packing == PACKED_BYTES
                              ? ((const int8_t *)zeros.data)[row * zeros.stride + g]
                              : zero_of_words(reading, &zeros, i, g));
        }
    return OK;
}

// ---- what codes are worth ----

enum status tile_read_map(struct tile_reading *reading)
{
    static const float e2m1[16] = {0,    0.5f,  1,  1.5f,  2,  3,  4,  6,
                                   -0.f, -0.5f, -1, -1.5f, -2, -3, -4, -6};
    const struct stored_weight *w = reading->weight;
    float *map = tile_take(&reading->memory, CODES_OF_A_BYTE * sizeof(float));
    reading->tile->map = map;
    if (w->recipe->codes == CODES_E4M3 || w->is_float_bytes) {
        for (unsigned code = 0; code < CODES_OF_A_BYTE; code++)
            map[code] = e4m3_value(code);
    } else if (w->recipe->codes == CODES_E2M1) {
        memcpy(map, e2m1, sizeof e2m1);
    } else if (w->recipe->codes == CODES_MAPPED) {
        struct fetched stored;
        TRY(tile_fetch(reading, PART_MAP, &stored));
        memcpy(map, stored.data, 16 * sizeof(float));
        for (int i = 0; i < 16; i++)
            if (!isfinite(map[i]))
                return tile_refuse(reading, PART_MAP, "what is no finite number",
                                   "16 finite numbers");
    } else {
        reading->tile->map = NULL;
    }
    return OK;
}
