// Between the files that read rectangles of stored weights: which bytes (weight_ranges.c), codes
// (weight_codes.c), scales and zero points (weight_scales.c).
#ifndef COLROW_HF_WEIGHT_TILE_H
#define COLROW_HF_WEIGHT_TILE_H

#include "hf/weight_recipe.h"

enum { WORD_BITS = 32, CODES_OF_A_BYTE = 256 };

// A rectangle of a matrix.
struct rectangle {
    int64_t row, row_end, column, column_end;
};
// ... and of a part's tensor.
struct part_range {
    int64_t row, row_end, column, column_end;
};

// weight_ranges.c: what of a part a rectangle needs; of scales and zero points.
struct part_range tile_part_range(const struct stored_weight *w, enum weight_part part,
                                  struct rectangle r);
// In the grid of rows and groups, whichever of them the tensor has first.
struct part_range tile_scales_grid(const struct stored_weight *w, struct rectangle r);
// Groups at most that so many columns touch.
int64_t tile_groups_most(const struct stored_weight *w, int64_t n_columns);
int64_t tile_item_bytes(const struct part_view *view);

// Takes memory from the tile's, one piece behind the other.
struct tile_memory {
    char *next;
};

// Bytes until the tile's next piece.
void *tile_take(struct tile_memory *memory, size_t bytes);

// What was read of a part: its range begins at `data`.
struct fetched {
    const void *data;
    int64_t stride; // elements from a row to the next
};

struct tile_reading {
    const struct checkpoint *checkpoint;
    const struct stored_weight *weight;
    struct rectangle r;
    struct tile_memory memory;
    struct code_tile *tile;
};

enum status tile_fetch(struct tile_reading *reading, enum weight_part part,
                       struct fetched *out) STATUS_MUST_USE;
enum status tile_refuse(const struct tile_reading *reading, enum weight_part part,
                        const char *found, const char *expected);

// Code i of a string of bits, or of fields, in words that are `step` apart; the first of them has
// code `first`.
uint32_t tile_packed_at(const struct stored_weight *w, const uint32_t *words, int64_t step,
                        int64_t first, int64_t i);
// Which nibble of a word holds output i of its eight (AWQ).
extern const uint8_t tile_awq_shift[8];

// weight_scales.c, in this order.
enum status tile_read_groups(struct tile_reading *reading) STATUS_MUST_USE;
enum status tile_read_scales(struct tile_reading *reading) STATUS_MUST_USE;
enum status tile_read_zeros(struct tile_reading *reading) STATUS_MUST_USE;
enum status tile_read_map(struct tile_reading *reading) STATUS_MUST_USE; // what codes are worth

#endif
