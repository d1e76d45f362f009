// Weight recipes: how a matrix that a tool has quantised lies in a checkpoint, as one table. A
// recipe names the tensors beside each other (values, scales, zero points, ...), their shapes, how
// codes are packed and what a code, a scale and a zero point mean. From the tensors that are there
// and what quantization_config says of the module comes a stored weight, of which any rectangle can
// be read: codes with scales and zero points, and from these numbers,
//     round((value(code) - zero) · scale)
// with one rounding to the type that the tool's own library rounds to (docs/quantisation.md).
#ifndef COLROW_HF_WEIGHT_RECIPE_H
#define COLROW_HF_WEIGHT_RECIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "hf/checkpoint.h"
#include "hf/quantisation.h"

// The tensors of one matrix.
enum weight_part {
    PART_VALUES,
    PART_SCALES,
    PART_ZEROS,
    PART_GROUPS, // of each column its group: g_idx
    PART_GLOBAL, // one number by which scales are divided
    PART_SHAPE,  // [rows, columns] again
    PART_MAP,    // what each code is worth
    PART_STATE,  // JSON: bitsandbytes' quant_state
    PART_NESTED_SCALES,
    PART_NESTED_MAP,
    PART_FORMAT, // bitsandbytes' weight_format
    PARTS,
};

enum weight_packing {
    PACKED_BYTES,        // one code a byte, [rows, columns]
    PACKED_NIBBLES,      // two a byte, the low half first
    PACKED_HIGH_NIBBLES, // two a byte, the high half first
    PACKED_ROW_BITS,     // a row is a string of bits in words of 32, low bit first
    PACKED_ROW_FIELDS,   // floor(32 / bits) codes a word, the rest of it unused
    PACKED_COLUMN_BITS,  // a column of the transposed matrix is a string of bits (GPTQ)
    PACKED_AWQ_NIBBLES,  // transposed, eight outputs a word in AWQ's order
};

enum weight_codes {
    CODES_SIGNED,   // two's complement
    CODES_UNSIGNED, // less 2^(bits - 1), as zero points are: signed
    CODES_E4M3,
    CODES_E2M1,
    CODES_MAPPED, // PART_MAP says
};

enum weight_scales {
    SCALES_OF_SCHEME, // [rows, 1], [rows, groups], [blocks, blocks] or one number
    SCALES_OF_GROUPS, // [rows, groups]
    SCALES_TURNED,    // [groups, rows]
    SCALES_OF_ROWS,   // [rows] or [rows, 1]
    SCALES_FLAT,      // one for so many numbers of the flattened matrix
};

enum weight_rounding {
    ROUNDED_AS_SCALES, // to the scales' type
    ROUNDED_TO_BF16,
    ROUNDED_AS_SAID, // by a tensor or the file's metadata
    NOT_ROUNDED,     // the product in f32
};

struct weight_recipe {
    const char *name; // "gptq", for people
    enum quant_method method;
    enum quant_format format; // of compressed-tensors; else QUANT_FORMAT_NONE
    // Behind the module's name; PART_VALUES and PART_SCALES find the recipe. Two spellings of
    // scales, divided by a bar, are tried in turn.
    const char *suffix[PARTS];
    unsigned value_types, scale_types; // bits 1 << enum element_type
    unsigned needed;                   // parts without which it is an error: bits 1 << part
    enum weight_packing packing;
    enum weight_codes codes;
    int bits; // 0: as the scheme says
    enum weight_scales scales;
    int32_t group; // 0: as the scheme says
    enum weight_rounding rounding;
};
extern const struct weight_recipe weight_recipes[];
extern const int n_weight_recipes;

// A tensor seen as a matrix.
struct part_view {
    const struct tensor_info *tensor; // NULL: there is none
    enum element_type type;
    int64_t rows, columns;
};

// A matrix of a checkpoint: numbers as they are (recipe NULL), or by a recipe.
struct stored_weight {
    const struct weight_recipe *recipe;
    struct part_view parts[PARTS];
    struct tensor_info numbers; // the matrix that comes out: [rows, columns] of the type
    int64_t rows, columns;
    enum weight_packing packing;
    int bits;
    bool turned; // values and scales are of the transposed matrix
    // Scales are a grid [scale_rows, scale_columns]: of row r and column k those at r / row_unit
    // and, without PART_GROUPS, k / group. SCALES_FLAT: at (r · columns + k) / group.
    int64_t scale_rows, scale_columns, row_unit, group;
    bool zeros_less_one, divides;
    bool is_float_bytes; // codes of a recipe that has both are E4M3
    // SCALES_FLAT with nested scales: scale = map[byte] · outer[i / nested_group] + offset
    int64_t nested_group;
    float nested_offset;
};

// The matrix [rows, columns] under a parameter's full name ("...q_proj.weight"); of several
// `matrices` in one tensor their rows one behind the other. Checks types and shapes of all tensors
// of a recipe, not of numbers as they are. Where there is nothing by that name
// `parts[PART_VALUES].tensor` is NULL and the status OK.
enum status stored_weight_find(const struct checkpoint *checkpoint, const char *name,
                               int64_t matrices, int64_t rows, int64_t columns,
                               struct stored_weight *out) STATUS_MUST_USE;
// The same for a part of a name that is tried with others: whether something is there.
bool stored_weight_is_there(const struct checkpoint *checkpoint, const char *name);
// "int4, group 128", "FP8 E4M3, block 128x128": what a plan shows.
void stored_weight_show(const struct stored_weight *w, char *out, size_t room);
// Bytes of its tensors that rows [row, row_end) of columns [column, column_end) need.
uint64_t stored_weight_bytes(const struct stored_weight *w, int64_t row, int64_t row_end,
                             int64_t column, int64_t column_end);
// Whether a tensor's name is beside quantised weights and means nothing to a product of unquantised
// inputs: input scales, scales of the KV cache.
bool weight_recipe_ignores(const char *name);

// Codes of a rectangle on their way into memory.
struct code_tile {
    const struct stored_weight *weight;
    int64_t row, n_rows, column, n_columns; // of the matrix
    // Integers, signed; of other codes the bits as they are. [n_rows][n_columns]
    int8_t *codes;
    int64_t n_groups, first_group; // of scales that the columns need, and which is the first
    // [n_rows][n_groups]: what is multiplied by, and before that (exponents of two that f32 has no
    // normal number for, and bitsandbytes' 1 / 127); zeros of integers
    float *scales, *first_factors;
    int16_t *zeros;
    const int32_t *group_of; // [n_columns], from first_group; NULL: in order
    const float *map;        // what each code is worth; NULL: itself
};

// Bytes that code_tile_read() needs for so many rows and columns.
size_t code_tile_bytes(const struct stored_weight *w, int64_t n_rows, int64_t n_columns);
// Reads and unpacks; `memory` (64-byte aligned) is the tile's. Refuses scales that are no finite
// numbers, groups that are not there, states that contradict the shape.
enum status code_tile_read(const struct checkpoint *checkpoint, const struct stored_weight *w,
                           int64_t row, int64_t n_rows, int64_t column, int64_t n_columns,
                           void *memory, struct code_tile *out) STATUS_MUST_USE;
// The numbers [n_rows][stride] in the weight's type. number_mode_set() counts.
void code_tile_numbers(const struct code_tile *tile, void *out, size_t stride);
// Columns from a code's to the end of those that share its scale and zero point, and which of the
// tile's groups theirs is; at most to the tile's end. `column` counts from the tile's first.
int64_t code_tile_run(const struct code_tile *tile, int64_t row, int64_t column, int64_t *group);

#endif
