// Rectangles of stored weights: the codes in them, and all that belongs to these.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "hf/weight_tile.h"

static uint32_t bits_at(const uint32_t *words, int64_t step, int64_t bit, int bits)
{
    const int64_t word = bit / WORD_BITS;
    const int shift = (int)(bit % WORD_BITS);
    uint64_t both = words[word * step];
    if (shift + bits > WORD_BITS)
        both |= (uint64_t)words[(word + 1) * step] << WORD_BITS;
    return (uint32_t)(both >> shift) & ((1u << bits) - 1);
}

uint32_t tile_packed_at(const struct stored_weight *w, const uint32_t *words, int64_t step,
                        int64_t first, int64_t i)
{
    if (w->packing == PACKED_ROW_FIELDS) {
        const int64_t each = WORD_BITS / w->bits;
        assert(each > 0); // a word holds several
        const int64_t word = i / each - first / each;
        return words[word * step] >> (int)(i % each * w->bits) & ((1u << w->bits) - 1);
    }
    return bits_at(words, step, i * w->bits - first * w->bits / WORD_BITS * WORD_BITS, w->bits);
}

static void unpack_nibbles(const struct tile_reading *reading, const uint8_t *bytes,
                           int64_t first_column, int8_t *codes)
{
    const bool high_first = reading->weight->packing == PACKED_HIGH_NIBBLES;
    for (int64_t k = 0; k < reading->tile->n_columns; k++) {
        const int64_t at = first_column + k;
        const uint8_t byte = bytes[at / 2 - first_column / 2];
        codes[k] = (int8_t)((at % 2 == 0) == high_first ? byte >> 4 : byte & 15);
    }
}

static void unpack_row(const struct tile_reading *reading, const void *row, int8_t *codes)
{
    const struct stored_weight *w = reading->weight;
    const int64_t first = reading->r.column, n = reading->tile->n_columns;
    const uint8_t *bytes = row;
    const int offset = 1 << (w->bits - 1);
    if (w->packing == PACKED_BYTES) {
        memcpy(codes, row, (size_t)n);
        return;
    }
    if (w->packing == PACKED_NIBBLES || w->packing == PACKED_HIGH_NIBBLES) {
        unpack_nibbles(reading, bytes, first, codes);
        return;
    }
    // whole bytes, or halves of them, are the same in words of a little-endian file
    if (w->bits == 8)
        for (int64_t k = 0; k < n; k++)
            codes[k] = (int8_t)(bytes[first % 4 + k] - offset);
    else if (w->bits == 4)
        for (int64_t k = 0, at = first % 8; k < n; k++, at++)
            codes[k] = (int8_t)((bytes[at / 2] >> (at % 2 * 4) & 15) - offset);
    else
        for (int64_t k = 0; k < n; k++)
            codes[k] = (int8_t)((int)tile_packed_at(w, row, 1, first, first + k) - offset);
}

// Of the transposed matrix: word `row` of all outputs lie side by side.
static void unpack_columns(const struct tile_reading *reading, const struct fetched *values)
{
    const struct stored_weight *w = reading->weight;
    const struct code_tile *tile = reading->tile;
    const int64_t first = reading->r.column;
    const int offset = 1 << (w->bits - 1), each = w->bits == 3 ? 0 : WORD_BITS / w->bits;
    const uint32_t mask = (1u << w->bits) - 1;
    for (int64_t n = 0; n < tile->n_rows; n++) {
        const uint32_t *words = (const uint32_t *)values->data + n;
        int8_t *codes = tile->codes + n * tile->n_columns;
        for (int64_t k = 0; k < tile->n_columns && !each; k++)
            codes[k] =
                (int8_t)((int)tile_packed_at(w, words, values->stride, first, first + k) - offset);
        for (int64_t k = 0; k < tile->n_columns && each;) {
            int64_t at = (first + k) % each;
            uint32_t word =
                words[(first + k) / each * values->stride - first / each * values->stride] >>
                (int)(at * w->bits);
            for (; at < each && k < tile->n_columns; at++, k++, word >>= w->bits)
                codes[k] = (int8_t)((int)(word & mask) - offset);
        }
    }
}

const uint8_t tile_awq_shift[8] = {0, 16, 4, 20, 8, 24, 12, 28};

static void unpack_awq(const struct tile_reading *reading, const struct fetched *values)
{
    const struct code_tile *tile = reading->tile;
    const int64_t first = reading->r.row;
    for (int64_t n = 0; n < tile->n_rows; n++) {
        const uint32_t *words = (const uint32_t *)values->data + (first + n) / 8 - first / 8;
        const int shift = tile_awq_shift[(first + n) % 8];
        int8_t *codes = tile->codes + n * tile->n_columns;
        for (int64_t k = 0; k < tile->n_columns; k++)
            codes[k] = (int8_t)((int)(words[k * values->stride] >> shift & 15) - 8);
    }
}

static enum status read_codes(struct tile_reading *reading)
{
    const struct stored_weight *w = reading->weight;
    struct code_tile *tile = reading->tile;
    struct fetched values;
    TRY(tile_fetch(reading, PART_VALUES, &values));
    tile->codes = tile_take(&reading->memory, (size_t)(tile->n_rows * tile->n_columns));
    if (w->packing == PACKED_COLUMN_BITS)
        unpack_columns(reading, &values);
    else if (w->packing == PACKED_AWQ_NIBBLES)
        unpack_awq(reading, &values);
    else
        for (int64_t i = 0; i < tile->n_rows; i++)
            unpack_row(reading,
                       (const char *)values.data +
                           i * values.stride * tile_item_bytes(&w->parts[PART_VALUES]),
                       tile->codes + i * tile->n_columns);
    return OK;
}

// ---- all of a rectangle ----

static enum status check_small_parts(struct tile_reading *reading)
{
    const struct stored_weight *w = reading->weight;
    struct fetched small;
    char found[100], expected[100];
    if (w->parts[PART_FORMAT].tensor) {
        TRY(tile_fetch(reading, PART_FORMAT, &small));
        snprintf(found, sizeof found, "%d", *(const uint8_t *)small.data);
        if (*(const uint8_t *)small.data)
            return tile_refuse(reading, PART_FORMAT, found, "0 (rows one behind the other)");
    }
    if (!w->parts[PART_SHAPE].tensor)
        return OK;
    TRY(tile_fetch(reading, PART_SHAPE, &small));
    const bool wide = w->parts[PART_SHAPE].type == ELEMENT_I64;
    const int64_t *big = small.data;
    const int32_t *narrow = small.data;
    const int64_t rows = wide ? big[0] : narrow[0], columns = wide ? big[1] : narrow[1];
    if (rows == w->rows && columns == w->columns)
        return OK;
    snprintf(found, sizeof found, "[%lld, %lld]", (long long)rows, (long long)columns);
    snprintf(expected, sizeof expected, "[%lld, %lld] from config.json", (long long)w->rows,
             (long long)w->columns);
    return tile_refuse(reading, PART_SHAPE, found, expected);
}

enum status code_tile_read(const struct checkpoint *checkpoint, const struct stored_weight *w,
                           int64_t row, int64_t n_rows, int64_t column, int64_t n_columns,
                           void *memory, struct code_tile *out)
{
    assert(w->recipe && n_rows > 0 && n_columns > 0);
    assert(row >= 0 && row + n_rows <= w->rows && column >= 0 && column + n_columns <= w->columns);
    *out = (struct code_tile){
        .weight = w, .row = row, .n_rows = n_rows, .column = column, .n_columns = n_columns};
    struct tile_reading reading = {.checkpoint = checkpoint,
                                   .weight = w,
                                   .r = {row, row + n_rows, column, column + n_columns},
                                   .memory = {memory},
                                   .tile = out};
    TRY(check_small_parts(&reading));
    TRY(tile_read_map(&reading));
    TRY(read_codes(&reading));
    TRY(tile_read_groups(&reading));
    TRY(tile_read_scales(&reading));
    TRY(tile_read_zeros(&reading));
    assert((size_t)(reading.memory.next - (char *)memory) <= code_tile_bytes(w, n_rows, n_columns));
    return OK;
}
