// Weights that are stored otherwise than rows of numbers: with rows and columns exchanged, with the
// rows of two matrices in turn.
#ifndef COLROW_MODEL_WEIGHTS_UNPACK_H
#define COLROW_MODEL_WEIGHTS_UNPACK_H

#include "model/weights.h"

// Some of a piece; rows and columns, of the file, count from the slice's first.
struct stored_part {
    const struct weight_piece *piece;
    int64_t row, n_rows, column, n_columns;
    const void *source; // the first of them
    enum element_type type;
    size_t stride; // elements from a row to the next
};

static inline bool piece_is_plain(const struct weight_piece *p)
{
    return !p->transposed && !p->in_turn;
}
// Parts begin and end at multiples of so many rows and columns, or at the piece's end.
int64_t piece_row_unit(const struct weight_piece *p);
int64_t piece_column_unit(const struct weight_piece *p);
// Number i of a tensor's.
float stored_number(const void *source, enum element_type type, size_t i);
// Packs it, or widens it, into the piece's place.
void unpack_part(const struct kernels *kernels, const struct stored_part *part);

#endif
