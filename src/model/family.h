// A model family: how it reads config.json, and the names of its tensors. One file in
// model/families and one row in families.c for each.
#ifndef COLROW_MODEL_FAMILY_H
#define COLROW_MODEL_FAMILY_H

#include <stdbool.h>
#include <stdint.h>

#include "model/model_config.h"
#include "model/slot.h"

enum { FUSED_MAX = 3 }; // slots of one tensor

// One tensor, or one in each layer that has its slot. Matrices are [rows = outputs, columns =
// inputs], as HuggingFace stores them.
struct parameter_row {
    const char *name; // "model.layers.%d.self_attn.qkv_proj.weight"
    int8_t sublayer;  // of each layer, from 0; -1: outside the layers
    bool bias;
    uint8_t n_slots; // more than one: fused, the rows of one behind those of the other
    enum slot slots[FUSED_MAX];
};
#define PARAMETER(name, sublayer, slot)                                                            \
    {                                                                                              \
        name ".weight", sublayer, false, 1,                                                        \
        {                                                                                          \
            slot                                                                                   \
        }                                                                                          \
    }
#define PARAMETER_BIAS(name, sublayer, slot)                                                       \
    {                                                                                              \
        name ".bias", sublayer, true, 1,                                                           \
        {                                                                                          \
            slot                                                                                   \
        }                                                                                          \
    }
#define PARAMETER_WITH_BIAS(name, sublayer, slot)                                                  \
    PARAMETER(name, sublayer, slot), PARAMETER_BIAS(name, sublayer, slot)

struct family {
    const char *model_type, *architecture;
    const char *base_prefix; // "model.": base_model_prefix, which checkpoints may lack or repeat
    const struct parameter_row *parameters;
    int n_parameters;
    // tensors of checkpoints that carry nothing we need, by the end of their name; NULL-terminated
    const char *const *ignored;
    // what Transformers' own tp_plan of the family names and no model of ours has a parameter for;
    // NULL-terminated, or NULL
    const char *const *idle_rules;
    // Fills layers, ropes, norms and numbers; `out` is zero but for names and dtype.
    enum status (*describe)(const struct config_reader *reader, struct model_config *out);
};

// Under which a file of many families' plans may have this model's (tp_plan_file()).
#define MODEL_TYPES(config)                                                                        \
    ((const char *const[]){(config)->model_type, (config)->family->model_type, NULL})

// families.c: NULL-terminated, in the order in which they are named to users.
extern const struct family *const families[];

// The row of a slot in a sublayer of this place; NULL: none.
const struct parameter_row *family_row(const struct family *family, int sublayer, enum slot slot,
                                       bool bias);
// The module's own name, "q_proj", for messages; into `out`.
void family_row_label(const struct parameter_row *row, char *out, size_t room);

#endif
