#include "model/weights_unpack.h"

#include <assert.h>
#include <string.h>

enum {
    TILE_COLUMNS = 64, // of panels, at one time
};

// Numbers on their way into panels: [PANEL_WIDTH][TILE_COLUMNS].
union tile {
    uint16_t halves[PANEL_WIDTH * TILE_COLUMNS];
    float floats[PANEL_WIDTH * TILE_COLUMNS];
};

// A tile's place: rows and columns of the piece's panels; of which of two matrices.
struct tile_place {
    int which;
    int64_t row, n_rows, column, n_columns;
};

int64_t piece_row_unit(const struct weight_piece *p)
{
    if (p->transposed)
        return 2;
    return (p->in_turn ? 2 : 1) * (p->panels.data ? PANEL_WIDTH : 1);
}

int64_t piece_column_unit(const struct weight_piece *p)
{
    if (!p->transposed)
        return 2;
    return (p->in_turn ? 2 : 1) * PANEL_WIDTH;
}

// ---- rows and columns ----

static float float_at(const void *source, enum element_type type, size_t at)
{
    return type == ELEMENT_F64 ? (float)((const double *)source)[at] : ((const float *)source)[at];
}

// An odd last column has a zero beside it.
static void fill_from_numbers(const struct stored_part *part, const struct tile_place *t, int step,
                              union tile *tile)
{
    const enum element_type type = part->type;
    const bool halves = type == ELEMENT_BF16 || type == ELEMENT_F16,
               turned = part->piece->transposed;
    const size_t along_row = turned ? (size_t)step : (size_t)step * part->stride,
                 along_column = turned ? part->stride : 1;
    const int64_t first = t->row * step + t->which;
    const size_t begin =
        turned ? (size_t)(t->column - part->row) * part->stride + (size_t)(first - part->column)
               : (size_t)(first - part->row) * part->stride + (size_t)(t->column - part->column);
    memset(tile, 0, sizeof *tile);
    for (int64_t k = 0; k < t->n_columns; k++) {
        size_t at = begin + (size_t)k * along_column;
        for (int64_t i = 0; i < t->n_rows; i++, at += along_row)
            if (halves)
                tile->halves[i * TILE_COLUMNS + k] = ((const uint16_t *)part->source)[at];
            else
                tile->floats[i * TILE_COLUMNS + k] = float_at(part->source, type, at);
    }
}

static void pack_tile(const struct kernels *kernels, const struct stored_part *part,
                      const struct tile_place *t)
{
    const struct weight_piece *p = part->piece;
    const int step = p->in_turn ? 2 : 1;
    const enum element_type type = part->type;
    const enum source_type source = type == ELEMENT_BF16  ? SOURCE_BF16
                                    : type == ELEMENT_F16 ? SOURCE_F16
                                                          : SOURCE_F32;
    union tile tile;
    fill_from_numbers(part, t, step, &tile);
    kernels->pack(t->which ? &p->second : &p->panels, p->row + (int32_t)t->row, (int32_t)t->n_rows,
                  (int32_t)t->column, (int32_t)(t->n_columns + t->n_columns % 2), &tile, source,
                  TILE_COLUMNS);
}

static void unpack_panels(const struct kernels *kernels, const struct stored_part *part)
{
    const struct weight_piece *p = part->piece;
    const int64_t step = p->in_turn ? 2 : 1;
    const int64_t row = (p->transposed ? part->column : part->row) / step,
                  row_end = row + (p->transposed ? part->n_columns : part->n_rows) / step,
                  column = p->transposed ? part->row : part->column,
                  column_end = column + (p->transposed ? part->n_rows : part->n_columns);
    struct tile_place t;
    for (t.which = 0; t.which < step; t.which++)
        for (t.row = row; t.row < row_end; t.row += t.n_rows) {
            t.n_rows = row_end - t.row < PANEL_WIDTH ? row_end - t.row : PANEL_WIDTH;
            for (t.column = column; t.column < column_end; t.column += t.n_columns) {
                const int64_t rest = column_end - t.column;
                t.n_columns = rest < TILE_COLUMNS ? rest : TILE_COLUMNS;
                pack_tile(kernels, part, &t);
            }
        }
}

float stored_number(const void *source, enum element_type type, size_t i)
{
    return type == ELEMENT_BF16  ? float_of_bf16(((const bf16 *)source)[i])
           : type == ELEMENT_F16 ? float_of_f16(((const f16 *)source)[i])
                                 : float_at(source, type, i);
}

void unpack_part(const struct kernels *kernels, const struct stored_part *part)
{
    const struct weight_piece *p = part->piece;
    assert(!piece_is_plain(p));
    if (p->panels.data) {
        unpack_panels(kernels, part);
        return;
    }
    for (int64_t i = 0; i < part->n_rows; i++)
        ((part->row + i) % 2 ? p->second_vector : p->vector)[(part->row + i) / 2] =
            stored_number(part->source, part->type, (size_t)i);
}
