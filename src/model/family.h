// A model family: how it reads config.json, and the names of its tensors. One file in
// model/families and one row in families.c for each.
#ifndef COLROW_MODEL_FAMILY_H
#define COLROW_MODEL_FAMILY_H

#include <stdbool.h>
#include <stdint.h>

#include "model/model_config.h"
#include "model/slot.h"

enum { FUSED_MAX = 5, NAME_CHANGES_MAX = 4 }; // slots of one tensor

// Part of a tensor's name, and what stands in its place.
struct name_change {
    const char *from, *to;
};

// One tensor, or one in each layer that has its slot; where the name has a star, one for each head
// of the slot, for each expert, or, outside the layers, for each hidden_size of its rows. Of
// experts without a star: one tensor [experts, rows, columns]. Matrices are [rows = outputs,
// columns = inputs], as HuggingFace stores them.
struct parameter_row {
    const char *name; // "model.layers.%d.self_attn.qkv_proj.weight"
    int8_t sublayer;  // of each layer, from 0; -1: outside the layers
    bool bias;
    uint8_t n_slots; // more than one: fused, the rows of one behind those of the other
    enum slot slots[FUSED_MAX];
    bool by_head; // of fused ones: the rows of head 0 in each slot, then those of head 1, ...
    bool in_turn; // of two fused ones of experts: row 0 of one, row 0 of the other, row 1 of one,
                  // ...
    bool transposed; // of experts without a star: [experts, columns, rows]
    // What Transformers' plans call its module, where that is not the name; NULL: it is
    const char *planned;
};
#define PARAMETER(row_name, place, slot)                                                           \
    {                                                                                              \
        .name = row_name ".weight", .sublayer = place, .n_slots = 1, .slots = { slot }             \
    }
#define PARAMETER_BIAS(row_name, place, slot)                                                      \
    {                                                                                              \
        .name = row_name ".bias", .sublayer = place, .bias = true, .n_slots = 1, .slots = { slot } \
    }
// One that is neither a weight nor a bias of a module, and is named in full.
#define PARAMETER_NAMED(row_name, place, slot)                                                     \
    {                                                                                              \
        .name = row_name, .sublayer = place, .n_slots = 1, .slots = { slot }                       \
    }
// Two slots in one tensor.
#define PARAMETER_PAIR(row_name, place, first, second)                                             \
    {                                                                                              \
        .name = row_name ".weight", .sublayer = place, .n_slots = 2, .slots = { first, second }    \
    }
// One that Transformers' plans call otherwise: in full, without ".weight".
#define PARAMETER_PLANNED(row_name, place, slot, plan_name)                                        \
    {                                                                                              \
        .name = row_name ".weight", .sublayer = place, .n_slots = 1, .slots = {slot},              \
        .planned = plan_name                                                                       \
    }
// One slot of experts; the star in the name is the expert's number. Transformers' plans name what
// it makes of all: gate_up_proj, down_proj.
#define PARAMETER_EXPERTS(row_name, place, slot, plan_name)                                        \
    PARAMETER_PLANNED(row_name, place, slot, plan_name)
// Gate and up of all experts in one tensor, named in full.
#define PARAMETER_EXPERT_PAIR(row_name, place, plan_name)                                          \
    {                                                                                              \
        .name = row_name, .sublayer = place, .n_slots = 2,                                         \
        .slots = {SLOT_EXPERT_GATE, SLOT_EXPERT_UP}, .planned = plan_name                          \
    }
// Down of all experts in one tensor, named in full.
#define PARAMETER_EXPERT_DOWN(row_name, place, plan_name)                                          \
    {                                                                                              \
        .name = row_name, .sublayer = place, .n_slots = 1, .slots = {SLOT_EXPERT_DOWN},            \
        .planned = plan_name                                                                       \
    }
// Mamba-2's tensors but the norm before it: what `in_proj` gives, the convolution over some of it,
// and three numbers for each head.
#define PARAMETERS_MAMBA(module, place)                                                            \
    {.name = module "in_proj.weight", .sublayer = place, .n_slots = 5, .slots = MAMBA_ROWS},       \
        {.name = module "in_proj.bias",                                                            \
         .sublayer = place,                                                                        \
         .bias = true,                                                                             \
         .n_slots = 5,                                                                             \
         .slots = MAMBA_ROWS},                                                                     \
        {.name = module "conv1d.weight", .sublayer = place, .n_slots = 3, .slots = MAMBA_TAPS},    \
        {.name = module "conv1d.bias",                                                             \
         .sublayer = place,                                                                        \
         .bias = true,                                                                             \
         .n_slots = 3,                                                                             \
         .slots = MAMBA_TAPS},                                                                     \
        PARAMETER_NAMED(module "A_log", place, SLOT_MAMBA_A_LOG),                                  \
        PARAMETER_NAMED(module "D", place, SLOT_MAMBA_D),                                          \
        PARAMETER_NAMED(module "dt_bias", place, SLOT_MAMBA_STEP_BIAS),                            \
        PARAMETER(module "norm", place, SLOT_MAMBA_NORM),                                          \
        PARAMETER_WITH_BIAS(module "out_proj", place, SLOT_MAMBA_OUT)
#define MAMBA_ROWS                                                                                 \
    {                                                                                              \
        SLOT_MAMBA_GATE, SLOT_MAMBA_X, SLOT_MAMBA_B, SLOT_MAMBA_C, SLOT_MAMBA_STEP                 \
    }
#define MAMBA_TAPS                                                                                 \
    {                                                                                              \
        SLOT_MAMBA_TAPS_X, SLOT_MAMBA_TAPS_B, SLOT_MAMBA_TAPS_C                                    \
    }
// Queries, keys and values in one tensor, head by head, and their biases.
#define PARAMETER_HEADS(row_name, place)                                                           \
    {.name = row_name ".weight",                                                                   \
     .sublayer = place,                                                                            \
     .n_slots = 3,                                                                                 \
     .slots = {SLOT_QUERY, SLOT_KEY, SLOT_VALUE},                                                  \
     .by_head = true},                                                                             \
    {                                                                                              \
        .name = row_name ".bias", .sublayer = place, .bias = true, .n_slots = 3,                   \
        .slots = {SLOT_QUERY, SLOT_KEY, SLOT_VALUE}, .by_head = true                               \
    }
#define PARAMETER_WITH_BIAS(name, sublayer, slot)                                                  \
    PARAMETER(name, sublayer, slot), PARAMETER_BIAS(name, sublayer, slot)

struct family {
    const char *model_type, *architecture;
    const char *base_prefix;    // "model.": base_model_prefix, which checkpoints may lack or repeat
    const char *planned_prefix; // what is in its place in Transformers' modules; NULL: the same
    const struct parameter_row *parameters;
    int n_parameters;
    // tensors of checkpoints that carry nothing we need, by the end of their name, or, where that
    // ends with a dot, its beginning; NULL-terminated
    const char *const *ignored;
    // what Transformers' own tp_plan of the family names and no model of ours has a parameter for;
    // NULL-terminated, or NULL
    const char *const *idle_rules;
    // What some checkpoints call parts of its names; the changes of a set go together
    const struct name_change (*other_names)[NAME_CHANGES_MAX];
    int n_other_names; // sets
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
