// Weights that become integers as they are loaded (docs/numerics.md section 14).
#ifndef COLROW_MODEL_WEIGHTS_QUANTISE_H
#define COLROW_MODEL_WEIGHTS_QUANTISE_H

#include "model/weights_unpack.h"

// Quantises rows of whole groups, or up to the slice's end, into the piece's panels. Refuses
// numbers that are not finite.
enum status quantise_part(const struct stored_part *part) STATUS_MUST_USE;

// One group of a row: its scale, of bf16, by the rule of section 14, and its codes. False: a number
// is not finite.
bool quantise_group(const float *x, int n, int bits, float *scale, int8_t *codes);

// Zeros in all of a matrix's rows from `row` on, which no file has; of any format.
void zero_rows(const struct panels *w, int32_t row);

#endif
