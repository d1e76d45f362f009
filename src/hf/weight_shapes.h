// Between the files that find a stored weight's tensors: which they are (weight_find.c), and what
// they have to be (weight_shapes.c).
#ifndef COLROW_HF_WEIGHT_SHAPES_H
#define COLROW_HF_WEIGHT_SHAPES_H

#include "hf/weight_recipe.h"

enum { WEIGHT_NAME_BYTES = 320 };

// The length of "model.layers.0.mlp.up_proj" of its ".weight".
size_t weight_module_length(const char *name);
static inline bool type_is_of(unsigned types, enum element_type type)
{
    return types >> type & 1;
}
static inline bool type_is_number(enum element_type type)
{
    return type == ELEMENT_BF16 || type == ELEMENT_F16 || type == ELEMENT_F32 ||
           type == ELEMENT_F64;
}
// "I32, U8"
void weight_list_types(unsigned types, char *out, size_t room);
static inline const char *weight_file(const struct checkpoint *checkpoint,
                                      const struct tensor_info *tensor)
{
    return checkpoint->files[tensor->file];
}

// Of a weight whose tensors are known: the type that it is rounded to, and how scales lie where a
// file says so (weight_layout.c).
enum status weight_read_layout(const struct checkpoint *checkpoint, const char *name,
                               struct stored_weight *w) STATUS_MUST_USE;
// Views all its tensors as matrices, and refuses other types and shapes (weight_shapes.c).
enum status weight_view_parts(const struct checkpoint *checkpoint, struct stored_weight *w,
                              const struct quant_scheme *scheme, int64_t matrices) STATUS_MUST_USE;
// Scales for each `row_unit` rows and `group` columns.
void weight_lay_scales(struct stored_weight *w, int64_t row_unit, int64_t group);

#endif
