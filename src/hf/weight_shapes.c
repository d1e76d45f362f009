// Which types and shapes the tensors of a stored weight have to have.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "hf/weight_shapes.h"

enum { DIMENSIONS = 4, WORD_BITS_OF_I32 = 32 };

// A shape that a tensor may have.
struct shape {
    int n;
    int64_t size[DIMENSIONS];
};
#define SHAPE(...)                                                                                 \
    ((struct shape){sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), {__VA_ARGS__}})

static int64_t ceil_divide(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

static void add_shape(char *out, size_t room, const int64_t *size, int n)
{
    size_t used = strlen(out);
    used += (size_t)snprintf(out + used, room - used, "[");
    for (int i = 0; i < n && used < room; i++)
        used +=
            (size_t)snprintf(out + used, room - used, "%s%lld", i ? ", " : "", (long long)size[i]);
    if (used < room)
        snprintf(out + used, room - used, "]");
}

static enum status wrong_tensor(const struct checkpoint *checkpoint, const struct stored_weight *w,
                                const struct tensor_info *tensor, const char *type,
                                const struct shape *shapes, int n)
{
    char found[200] = "", expected[300] = "";
    add_shape(found, sizeof found, tensor->shape, tensor->n_dimensions);
    for (int i = 0; i < n; i++) {
        if (i)
            snprintf(expected + strlen(expected), sizeof expected - strlen(expected), " or ");
        add_shape(expected, sizeof expected, shapes[i].size, shapes[i].n);
    }
    return fail(ERR_INPUT,
                "%s: tensor \"%.200s\" is %s of the shape %s; expected %s of the shape %s (%s, %d "
                "bits) for a matrix of [%lld, %lld]",
                weight_file(checkpoint, tensor), tensor->name, element_name(tensor->type), found,
                type, expected, w->recipe->name, w->bits, (long long)w->rows,
                (long long)w->columns);
}

void weight_list_types(unsigned types, char *out, size_t room)
{
    *out = '\0';
    for (int i = 0; i < 32; i++)
        if (types >> i & 1)
            snprintf(out + strlen(out), room - strlen(out), "%s%s", *out ? ", " : "",
                     element_name((enum element_type)i));
}

// Views the tensor as a matrix [shape's first ones, columns], if it has one of the types and
// shapes.
static enum status view_part(const struct checkpoint *checkpoint, struct stored_weight *w,
                             enum weight_part part, unsigned types, const struct shape *shapes,
                             int n, int64_t columns)
{
    const struct tensor_info *tensor = w->parts[part].tensor;
    char names[120];
    assert(tensor && columns > 0);
    for (int i = 0; i < n && type_is_of(types, tensor->type); i++) {
        bool same = tensor->n_dimensions == shapes[i].n;
        int64_t elements = 1;
        for (int d = 0; d < shapes[i].n; d++) {
            same = same && tensor->shape[d] == shapes[i].size[d];
            elements *= same ? shapes[i].size[d] : 1;
        }
        if (!same)
            continue;
        w->parts[part].type = tensor->type;
        w->parts[part].rows = elements / columns;
        w->parts[part].columns = columns;
        return OK;
    }
    weight_list_types(types, names, sizeof names);
    return wrong_tensor(checkpoint, w, tensor, names, shapes, n);
}

// ---- shapes of values ----

static enum status view_nibbles(const struct checkpoint *checkpoint, struct stored_weight *w,
                                int64_t matrices)
{
    const unsigned types = w->recipe->value_types;
    if (w->columns % 2)
        return fail(ERR_UNSUPPORTED,
                    "%s: tensor \"%.200s\" holds two numbers a byte, but the matrix has %lld "
                    "columns; expected an even number",
                    weight_file(checkpoint, w->parts[PART_VALUES].tensor),
                    w->parts[PART_VALUES].tensor->name, (long long)w->columns);
    if (w->recipe->method == QUANT_MXFP4) {
        const struct shape blocks =
            SHAPE(matrices, w->rows / matrices, w->columns / w->recipe->group, 16);
        return view_part(checkpoint, w, PART_VALUES, types, &blocks, 1, w->columns / 2);
    }
    const struct shape halves = SHAPE(w->rows, w->columns / 2);
    return view_part(checkpoint, w, PART_VALUES, types, &halves, 1, w->columns / 2);
}

// The bytes of the flattened matrix, in whatever type they are stored.
static enum status view_flat_nibbles(const struct checkpoint *checkpoint, struct stored_weight *w)
{
    const struct tensor_info *tensor = w->parts[PART_VALUES].tensor;
    const int64_t bytes = w->rows * w->columns / 2, item = (int64_t)element_bytes(tensor->type);
    const struct shape shapes[] = {SHAPE(ceil_divide(bytes, item), 1),
                                   SHAPE(1, ceil_divide(bytes, item))};
    if (w->columns % 2)
        return fail(ERR_UNSUPPORTED,
                    "%s: tensor \"%.200s\" holds two numbers a byte, but the matrix has %lld "
                    "columns; expected an even number",
                    weight_file(checkpoint, tensor), tensor->name, (long long)w->columns);
    TRY(view_part(checkpoint, w, PART_VALUES, w->recipe->value_types, shapes, 2, 1));
    w->parts[PART_VALUES].type = ELEMENT_U8;
    w->parts[PART_VALUES].rows = w->rows;
    w->parts[PART_VALUES].columns = w->columns / 2;
    return OK;
}

// Words along a row: a string of bits, or, up to compressed-tensors 0.17, whole fields a word.
static enum status view_row_words(const struct checkpoint *checkpoint, struct stored_weight *w)
{
    const int64_t string = ceil_divide(w->columns * w->bits, WORD_BITS_OF_I32),
                  fields = ceil_divide(w->columns, WORD_BITS_OF_I32 / w->bits);
    const struct shape shapes[] = {SHAPE(w->rows, string), SHAPE(w->rows, fields)};
    const struct tensor_info *tensor = w->parts[PART_VALUES].tensor;
    const bool as_fields = fields != string && tensor->n_dimensions == 2 &&
                           tensor->shape[0] == w->rows && tensor->shape[1] == fields;
    w->packing = as_fields ? PACKED_ROW_FIELDS : PACKED_ROW_BITS;
    return view_part(checkpoint, w, PART_VALUES, w->recipe->value_types,
                     as_fields ? &shapes[1] : &shapes[0], fields == string || as_fields ? 1 : 2,
                     as_fields ? fields : string);
}

static enum status view_values(const struct checkpoint *checkpoint, struct stored_weight *w,
                               int64_t matrices)
{
    const int64_t n = w->rows, k = w->columns;
    struct shape shape = SHAPE(n, k);
    switch (w->packing) {
    case PACKED_BYTES:
        break;
    case PACKED_NIBBLES:
        return view_nibbles(checkpoint, w, matrices);
    case PACKED_HIGH_NIBBLES:
        return view_flat_nibbles(checkpoint, w);
    case PACKED_ROW_BITS:
    case PACKED_ROW_FIELDS:
        return view_row_words(checkpoint, w);
    case PACKED_COLUMN_BITS:
        shape = SHAPE(ceil_divide(k * w->bits, WORD_BITS_OF_I32), n);
        break;
    case PACKED_AWQ_NIBBLES:
        shape = SHAPE(k, ceil_divide(n, 8));
        break;
    }
    return view_part(checkpoint, w, PART_VALUES, w->recipe->value_types, &shape, 1, shape.size[1]);
}

// ---- shapes of scales ----

static enum status check_block_multiple(const struct checkpoint *checkpoint,
                                        const struct stored_weight *w)
{
    const int64_t group = w->recipe->group;
    if (w->recipe->group == 0 || w->columns % group == 0)
        return OK;
    return fail(ERR_INPUT,
                "%s: tensor \"%.200s\" has blocks of %lld (%s), but the matrix has %lld columns; "
                "expected multiples of %lld",
                weight_file(checkpoint, w->parts[PART_VALUES].tensor),
                w->parts[PART_VALUES].tensor->name, (long long)group, w->recipe->name,
                (long long)w->columns, (long long)group);
}

void weight_lay_scales(struct stored_weight *w, int64_t row_unit, int64_t group)
{
    w->row_unit = row_unit;
    w->group = group;
    w->scale_rows = ceil_divide(w->rows, row_unit);
    w->scale_columns = ceil_divide(w->columns, group);
}

static enum status view_scale_grid(const struct checkpoint *checkpoint, struct stored_weight *w,
                                   int64_t matrices)
{
    const int64_t r = w->scale_rows, c = w->scale_columns;
    struct shape shapes[3] = {SHAPE(r, c), SHAPE(r), {0}};
    int n = c == 1 ? 2 : 1;
    if (w->turned)
        shapes[0] = SHAPE(c, r), n = 1;
    else if (r * c == 1 && w->rows > 1)
        shapes[2].n = 0, n = 3; // a scalar
    if (w->recipe->method == QUANT_MXFP4)
        shapes[0] = SHAPE(matrices, r / matrices, c), n = 1;
    return view_part(checkpoint, w, PART_SCALES, w->recipe->scale_types, shapes, n,
                     w->turned ? r : c);
}

static enum status view_flat_scales(const struct checkpoint *checkpoint, struct stored_weight *w)
{
    const int64_t n = ceil_divide(w->rows * w->columns, w->group);
    const struct shape shape = SHAPE(n);
    w->row_unit = w->scale_rows = 1;
    w->scale_columns = n;
    TRY(view_part(checkpoint, w, PART_SCALES,
                  w->nested_group ? 1u << ELEMENT_U8 : 1u << ELEMENT_F32, &shape, 1, 1));
    if (!w->nested_group)
        return OK;
    if (!w->parts[PART_NESTED_SCALES].tensor || !w->parts[PART_NESTED_MAP].tensor)
        return fail(ERR_INPUT,
                    "%s: tensor \"%.200s\" has scales of scales, but \"...%s\" is missing",
                    weight_file(checkpoint, w->parts[PART_VALUES].tensor),
                    w->parts[PART_VALUES].tensor->name,
                    w->recipe->suffix[w->parts[PART_NESTED_SCALES].tensor ? PART_NESTED_MAP
                                                                          : PART_NESTED_SCALES]);
    const struct shape outer = SHAPE(ceil_divide(n, w->nested_group)), map = SHAPE(256);
    TRY(view_part(checkpoint, w, PART_NESTED_SCALES, 1u << ELEMENT_F32, &outer, 1, 1));
    return view_part(checkpoint, w, PART_NESTED_MAP, 1u << ELEMENT_F32, &map, 1, 256);
}

static enum status view_scales(const struct checkpoint *checkpoint, struct stored_weight *w,
                               const struct quant_scheme *scheme, int64_t matrices)
{
    const int64_t said = scheme->group ? scheme->group : w->columns,
                  group = w->recipe->group ? w->recipe->group : said;
    w->turned = w->recipe->scales == SCALES_TURNED;
    switch (w->recipe->scales) {
    case SCALES_OF_SCHEME:
        switch (scheme->strategy) {
        case QUANT_BY_TENSOR:
            weight_lay_scales(w, w->rows, w->columns);
            break;
        case QUANT_BY_CHANNEL:
            weight_lay_scales(w, 1, w->columns);
            break;
        case QUANT_BY_GROUP:
            weight_lay_scales(w, 1, group);
            break;
        case QUANT_BY_BLOCK:
            weight_lay_scales(w, scheme->block[0], scheme->block[1]);
            break;
        }
        break;
    case SCALES_OF_GROUPS:
    case SCALES_TURNED:
        weight_lay_scales(w, 1, group);
        break;
    case SCALES_OF_ROWS:
        if (w->row_unit == 0)
            weight_lay_scales(w, 1, w->columns);
        break;
    case SCALES_FLAT:
        return view_flat_scales(checkpoint, w);
    }
    return view_scale_grid(checkpoint, w, matrices);
}

// ---- what else there may be ----

static enum status view_zeros(const struct checkpoint *checkpoint, struct stored_weight *w,
                              const struct quant_scheme *scheme)
{
    const int64_t r = w->scale_rows, c = w->scale_columns,
                  words = w->packing == PACKED_ROW_FIELDS
                              ? ceil_divide(w->rows, WORD_BITS_OF_I32 / w->bits)
                              : ceil_divide(w->rows * w->bits, WORD_BITS_OF_I32);
    struct shape shape = SHAPE(r, c);
    if (!w->parts[PART_ZEROS].tensor)
        return OK;
    if (w->is_float_bytes && scheme->symmetric) { // zeros, as old files have them
        w->parts[PART_ZEROS].tensor = NULL;
        return OK;
    }
    if (w->packing == PACKED_BYTES) {
        const struct shape shapes[] = {SHAPE(r, c), SHAPE(r)};
        return view_part(checkpoint, w, PART_ZEROS, 1u << ELEMENT_I8, shapes, c == 1 ? 2 : 1, c);
    }
    shape = w->turned ? SHAPE(c, words) : SHAPE(words, c);
    return view_part(checkpoint, w, PART_ZEROS, 1u << ELEMENT_I32, &shape, 1, shape.size[1]);
}

static enum status view_rest(const struct checkpoint *checkpoint, struct stored_weight *w)
{
    const struct shape columns = SHAPE(w->columns), one = SHAPE(1), none = {0}, two = SHAPE(2),
                       map = SHAPE(16);
    const struct shape scalars[] = {one, none};
    struct part_view *groups = &w->parts[PART_GROUPS];
    if (groups->tensor && groups->tensor->bytes == 0)
        groups->tensor = NULL;
    if (groups->tensor)
        TRY(view_part(checkpoint, w, PART_GROUPS, 1u << ELEMENT_I32, &columns, 1, 1));
    if (w->parts[PART_GLOBAL].tensor)
        TRY(view_part(checkpoint, w, PART_GLOBAL, 1u << ELEMENT_F32, scalars, 2, 1));
    if (w->parts[PART_SHAPE].tensor)
        TRY(view_part(checkpoint, w, PART_SHAPE, 1u << ELEMENT_I64 | 1u << ELEMENT_I32, &two, 1,
                      1));
    if (w->parts[PART_MAP].tensor)
        TRY(view_part(checkpoint, w, PART_MAP, 1u << ELEMENT_F32, &map, 1, 16));
    if (w->parts[PART_FORMAT].tensor)
        TRY(view_part(checkpoint, w, PART_FORMAT, 1u << ELEMENT_U8, scalars, 2, 1));
    return OK;
}

enum status weight_view_parts(const struct checkpoint *checkpoint, struct stored_weight *w,
                              const struct quant_scheme *scheme, int64_t matrices)
{
    TRY(check_block_multiple(checkpoint, w));
    TRY(view_values(checkpoint, w, matrices));
    TRY(view_scales(checkpoint, w, scheme, matrices));
    TRY(view_zeros(checkpoint, w, scheme));
    return view_rest(checkpoint, w);
}
