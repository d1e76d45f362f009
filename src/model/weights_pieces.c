// What of the checkpoint's tensors is to be read for a rank: whose rows and columns of a parameter
// are where.
#include <assert.h>
#include <string.h>

#include "base/checked.h"
#include "model/plan_build.h"
#include "model/weights_walk.h"

// Of what all layers have a part of, those of the stage's layers.
static void keep_stage_inputs(const struct walk *w, enum dim dim, struct range *range)
{
    const struct range layers = plan_stage_layers(w->plan, w->stage);
    int32_t size = w->plan->config.layer_inputs.size;
    if (dim == DIM_INPUTS)
        *range = (struct range){layers.begin * size, layers.end * size};
}

struct slot_part find_part(const struct walk *w, enum slot slot, bool bias)
{
    int part;
    const struct plan_parameter *p =
        plan_find_parameter(w->plan, w->layer, w->sublayer, slot, bias, &part);
    if (!p)
        return (struct slot_part){0};
    struct slot_part found = {p, part, p->rank_rows[w->rank * p->n_parts + part],
                              p->rank_columns[w->rank]};
    keep_stage_inputs(w, slots[slot].rows, &found.rows);
    keep_stage_inputs(w, slots[slot].columns, &found.columns);
    return found;
}

// The tensor behind it; a parameter without a place in the checkpoint is a tied lm_head, which is
// the embedding.
const struct plan_parameter *stored_parameter(const struct walk *w, const struct plan_parameter *p)
{
    if (p && p->stored == ELEMENT_NONE)
        return plan_find_parameter(w->plan, 0, -1, SLOT_EMBED, false, NULL);
    return p;
}

// The type is ELEMENT_NONE of a bias that the checkpoint lacks.
static enum status find_stored(const struct walk *w, const struct plan_parameter *p, int number,
                               struct stored_weight *out, enum element_type *type)
{
    TRY(plan_find_stored(w->plan, w->checkpoint, p, number, out));
    const bool is_there = out->parts[PART_VALUES].tensor;
    if (!is_there && !p->is_bias)
        return fail(ERR_INPUT, "%s: tensor \"%s\" is missing from the checkpoint",
                    w->checkpoint->folder, p->name);
    *type = is_there ? out->numbers.type : ELEMENT_NONE;
    return OK;
}

enum status stored_type(const struct walk *w, const struct plan_parameter *p, int number,
                        enum element_type *type)
{
    struct stored_weight stored;
    *type = p->stored;
    return w->checkpoint ? find_stored(w, p, number, &stored, type) : OK;
}

// In memory: an odd intermediate_size ends with a zero (docs/numerics.md section 4).
int64_t even_width(struct range range)
{
    return (stored_width(range) + 1) / 2 * 2;
}

// A tensor of all experts as one matrix, their rows one behind the other; a vector that is stored
// as a row as one of its own.
static enum status flatten_tensor(struct walk *w, const struct plan_parameter *p,
                                  const struct tensor_info **tensor)
{
    struct tensor_info *flat;
    const int usual = p->is_vector ? 1 : 2;
    if ((*tensor)->n_dimensions <= usual)
        return OK;
    TRY(arena_take(w->arena, 1, sizeof *flat, &flat));
    *flat = **tensor;
    flat->n_dimensions = usual;
    flat->shape[0] = p->is_vector ? 1 : (*tensor)->shape[0] * (*tensor)->shape[1];
    if (p->is_vector)
        for (int i = 0; i < (*tensor)->n_dimensions; i++)
            flat->shape[0] *= (*tensor)->shape[i];
    flat->shape[1] = 1;
    for (int i = 2; i < (*tensor)->n_dimensions; i++)
        flat->shape[1] *= (*tensor)->shape[i];
    *tensor = flat;
    return OK;
}

// Where rows and columns of a parameter lie in its tensor, which is known to be flat.
static struct tensor_slice slice_of_part(const struct plan_parameter *p, struct plan_rows rows,
                                         struct range columns, int expert, bool turned)
{
    struct tensor_slice slice = {NULL, rows.row, rows.row + rows.count, columns.begin, columns.end};
    if (turned) {
        const int64_t first = (int64_t)expert * p->columns;
        slice.row_begin = first + columns.begin;
        slice.row_end = first + columns.end;
        slice.column_begin = rows.row - expert * p->rows;
        slice.column_end = slice.column_begin + rows.count;
    }
    return slice;
}

// Bytes to be read of rows that lie together.
static uint64_t bytes_to_read(const struct walk *w, const struct plan_parameter *p,
                              const struct stored_weight *stored, struct plan_rows rows,
                              struct range columns)
{
    const uint64_t n = (uint64_t)(rows.count * stored_width(columns));
    if (!w->checkpoint)
        return (uint64_t)((double)n * p->bits / 8);
    return stored->recipe ? stored_weight_bytes(stored, rows.row, rows.row + rows.count,
                                                columns.begin, columns.end)
                          : n * element_bytes(stored->numbers.type);
}

// What is quantised is read up to the ends of its groups: a scale is of all of a group's numbers.
static struct range columns_to_read(const struct plan_parameter *p, struct range columns,
                                    const struct weight_piece *place)
{
    const int32_t group = place->panels.groups.columns;
    if (!piece_is_quantised(place))
        return columns;
    const int64_t end = ((int64_t)columns.end + group - 1) / group * group;
    return (struct range){columns.begin / group * group,
                          (int32_t)(end < p->columns ? end : p->columns)};
}

// `rows` lie together in the parameter's tensor.
static enum status add_piece(struct walk *w, const struct plan_parameter *p, struct plan_rows rows,
                             struct range columns, struct weight_piece place)
{
    enum element_type type = p->stored;
    struct stored_weight stored = {0}, *kept;
    if (w->checkpoint)
        TRY(find_stored(w, p, rows.tensor, &stored, &type));
    if (type == ELEMENT_NONE)
        return OK;
    const struct range own = columns;
    columns = columns_to_read(p, own, &place);
    place.columns_before = own.begin - columns.begin;
    place.n_columns = own.end - own.begin;
    const bool turned = p->transposed && !stored.recipe; // in the file
    assert(!turned || !place.transposed);
    place.transposed = place.transposed || turned;
    w->layout->file_bytes += bytes_to_read(w, p, &stored, rows, columns);
    if (w->layout->pieces) {
        const struct tensor_info *tensor = stored.parts[PART_VALUES].tensor;
        place.slice = slice_of_part(p, rows, columns, w->expert, turned);
        if (stored.recipe) {
            TRY(arena_take(w->arena, 1, sizeof *kept, &kept));
            *kept = stored;
            place.stored = kept;
            tensor = &kept->numbers;
        } else {
            TRY(flatten_tensor(w, p, &tensor));
        }
        place.slice.tensor = tensor;
        w->layout->pieces[w->layout->n_pieces] = place;
    }
    w->layout->n_pieces++;
    return OK;
}

// Rows of two parts in turn: twice as many, from twice as far.
static enum status add_pieces_in_turn(struct walk *w, const struct slot_part *part,
                                      struct weight_piece place)
{
    const struct plan_parameter *p = part->parameter;
    struct plan_rows rows = {0, 2 * (int64_t)part->rows.begin, 2 * stored_width(part->rows)};
    assert(part->part == 0 && p->n_parts == 2 && p->n_experts);
    place.in_turn = true;
    plan_of_expert(p, w->expert, &rows);
    return add_piece(w, p, rows, part->columns, place);
}

enum status add_layout_piece(struct walk *w, const struct slot_part *part,
                             struct weight_piece place)
{
    const struct plan_parameter *p = stored_parameter(w, part->parameter);
    if (p->n_experts && p->n_heads)
        return add_pieces_in_turn(w, part, place);
    for (int64_t row = part->rows.begin; row < part->rows.end;) {
        struct plan_rows rows = plan_rows_of(p, part->part, row);
        rows.count = row + rows.count < part->rows.end ? rows.count : part->rows.end - row;
        if (p->n_experts)
            plan_of_expert(p, w->expert, &rows);
        TRY(add_piece(w, p, rows, part->columns, place));
        row += rows.count;
        place.row += (int32_t)rows.count;
        if (place.vector)
            place.vector += rows.count;
    }
    return OK;
}
