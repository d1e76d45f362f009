// Which bytes of which tensors a rectangle of a stored weight needs, and the memory for them.
#include <assert.h>

#include "hf/weight_tile.h"

enum {
    LINE_BYTES = 64,
    // Rows that are no longer are read whole: a call costs more than the bytes between
    WHOLE_ROW_BYTES = 1024,
};

static int64_t up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static struct part_range values_of(const struct stored_weight *w, struct rectangle r)
{
    const int64_t b = w->bits;
    switch (w->packing) {
    case PACKED_BYTES:
        break;
    case PACKED_NIBBLES:
    case PACKED_HIGH_NIBBLES:
        return (struct part_range){r.row, r.row_end, r.column / 2, up(r.column_end, 2)};
    case PACKED_ROW_BITS:
        return (struct part_range){r.row, r.row_end, r.column * b / WORD_BITS,
                                   up(r.column_end * b, WORD_BITS)};
    case PACKED_ROW_FIELDS:
        return (struct part_range){r.row, r.row_end, r.column / (WORD_BITS / b),
                                   up(r.column_end, WORD_BITS / b)};
    case PACKED_COLUMN_BITS:
        return (struct part_range){r.column * b / WORD_BITS, up(r.column_end * b, WORD_BITS), r.row,
                                   r.row_end};
    case PACKED_AWQ_NIBBLES:
        return (struct part_range){r.column, r.column_end, r.row / 8, up(r.row_end, 8)};
    }
    return (struct part_range){r.row, r.row_end, r.column, r.column_end};
}

struct part_range tile_scales_grid(const struct stored_weight *w, struct rectangle r)
{
    struct part_range range = {r.row / w->row_unit, up(r.row_end, w->row_unit), r.column / w->group,
                               up(r.column_end, w->group)};
    if (w->recipe->scales == SCALES_FLAT)
        return (struct part_range){(r.row * w->columns + r.column) / w->group,
                                   up((r.row_end - 1) * w->columns + r.column_end, w->group), 0, 1};
    if (w->parts[PART_GROUPS].tensor) {
        range.column = 0;
        range.column_end = w->scale_columns;
    }
    return range;
}

static struct part_range turn(struct part_range range)
{
    return (struct part_range){range.column, range.column_end, range.row, range.row_end};
}

static struct part_range scale_part(const struct stored_weight *w, struct rectangle r)
{
    const struct part_range grid = tile_scales_grid(w, r);
    return w->turned ? turn(grid) : grid;
}

// Packed ones lie along the outputs.
static struct part_range zeros_part(const struct stored_weight *w, struct rectangle r)
{
    struct part_range range = tile_scales_grid(w, r);
    if (w->packing == PACKED_BYTES)
        return range;
    if (w->packing == PACKED_ROW_FIELDS) {
        range.row = r.row / (WORD_BITS / w->bits);
        range.row_end = up(r.row_end, WORD_BITS / w->bits);
    } else {
        range.row = r.row * w->bits / WORD_BITS;
        range.row_end = up(r.row_end * w->bits, WORD_BITS);
    }
    return w->turned ? turn(range) : range;
}

struct part_range tile_part_range(const struct stored_weight *w, enum weight_part part,
                                  struct rectangle r)
{
    const struct part_view *view = &w->parts[part];
    switch (part) {
    case PART_VALUES:
        return values_of(w, r);
    case PART_SCALES:
        return scale_part(w, r);
    case PART_ZEROS:
        return zeros_part(w, r);
    case PART_GROUPS:
        return (struct part_range){r.column, r.column_end, 0, 1};
    default:
        return (struct part_range){0, view->rows, 0, view->columns};
    }
}

int64_t tile_item_bytes(const struct part_view *view)
{
    return (int64_t)element_bytes(view->type);
}

uint64_t stored_weight_bytes(const struct stored_weight *w, int64_t row, int64_t row_end,
                             int64_t column, int64_t column_end)
{
    static const enum weight_part counted[] = {PART_VALUES, PART_SCALES, PART_ZEROS, PART_GROUPS};
    const struct rectangle r = {row, row_end, column, column_end};
    uint64_t bytes = 0;
    if (row == row_end || column == column_end)
        return 0;
    for (size_t i = 0; i < sizeof counted / sizeof counted[0]; i++) {
        const struct part_view *view = &w->parts[counted[i]];
        if (!view->tensor)
            continue;
        const struct part_range range = tile_part_range(w, counted[i], r);
        bytes += (uint64_t)((range.row_end - range.row) * (range.column_end - range.column) *
                            tile_item_bytes(view));
    }
    return bytes;
}

// ---- the tile's memory ----

static size_t padded(size_t bytes)
{
    return (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
}

static bool reads_whole_rows(const struct part_view *view)
{
    return view->columns * tile_item_bytes(view) <= WHOLE_ROW_BYTES;
}

static size_t part_bytes_most(const struct stored_weight *w, enum weight_part part,
                              struct rectangle r)
{
    const struct part_view *view = &w->parts[part];
    if (!view->tensor || part == PART_STATE)
        return 0;
    const struct part_range range = tile_part_range(w, part, r);
    int64_t columns = range.column_end - range.column + 1;
    if (reads_whole_rows(view) && columns < view->columns)
        columns = view->columns;
    return padded((size_t)((range.row_end - range.row + 1) * columns * tile_item_bytes(view)));
}

// Groups at most that so many columns touch.
int64_t tile_groups_most(const struct stored_weight *w, int64_t n_columns)
{
    if (w->parts[PART_GROUPS].tensor)
        return w->scale_columns;
    const int64_t touched = n_columns / w->group + 2;
    return w->recipe->scales == SCALES_FLAT || touched < w->scale_columns ? touched
                                                                          : w->scale_columns;
}

size_t code_tile_bytes(const struct stored_weight *w, int64_t n_rows, int64_t n_columns)
{
    const struct rectangle r = {0, n_rows, 0, n_columns};
    const size_t scales = (size_t)(n_rows * tile_groups_most(w, n_columns));
    size_t bytes = padded((size_t)(n_rows * n_columns)) + 2 * padded(scales * sizeof(float)) +
                   padded(scales * sizeof(int16_t)) + CODES_OF_A_BYTE * sizeof(float);
    for (int part = 0; part < PARTS; part++)
        bytes += part_bytes_most(w, (enum weight_part)part, r);
    return bytes;
}

void *tile_take(struct tile_memory *memory, size_t bytes)
{
    void *taken = memory->next;
    memory->next += padded(bytes);
    return taken;
}

enum status tile_fetch(struct tile_reading *reading, enum weight_part part, struct fetched *out)
{
    const struct part_view *view = &reading->weight->parts[part];
    const struct part_range range = tile_part_range(reading->weight, part, reading->r);
    struct tensor_info matrix = *view->tensor;
    matrix.type = view->type;
    matrix.n_dimensions = 2;
    matrix.shape[0] = view->rows;
    matrix.shape[1] = view->columns;
    assert(0 <= range.row && range.row_end <= view->rows && range.column_end <= view->columns);
    const bool whole = reads_whole_rows(view);
    const struct tensor_slice slice = {&matrix, range.row, range.row_end, whole ? 0 : range.column,
                                       whole ? view->columns : range.column_end};
    out->stride = slice.column_end - slice.column_begin;
    char *data = tile_take(&reading->memory, (size_t)((range.row_end - range.row) * out->stride *
                                                      tile_item_bytes(view)));
    out->data = data + (whole ? range.column * tile_item_bytes(view) : 0);
    return checkpoint_read(reading->checkpoint, &slice, data, NULL);
}

enum status tile_refuse(const struct tile_reading *reading, enum weight_part part,
                        const char *found, const char *expected)
{
    const struct tensor_info *tensor = reading->weight->parts[part].tensor;
    return fail(ERR_INPUT, "%s: tensor \"%.200s\" holds %s; expected %s: download the file again",
                reading->checkpoint->files[tensor->file], tensor->name, found, expected);
}
