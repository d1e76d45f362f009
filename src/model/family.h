// A model family as data: its parameters, the part of a layer each belongs to, and the words for
// its edges. One file per family; a variant that differs in its config alone is a row of the same
// table.
#ifndef COLROW_MODEL_FAMILY_H
#define COLROW_MODEL_FAMILY_H

#include <stdbool.h>
#include <stdint.h>

#include "hf/model_config.h"
#include "hf/tp_plan_rules.h"

// The places where a parameter is used. Matrices are [rows = outputs, columns = inputs], as
// HuggingFace stores them.
enum part {
    PART_EMBED,
    PART_INPUT_NORM,
    PART_Q,
    PART_K,
    PART_V,
    PART_O,
    PART_POST_NORM,
    PART_GATE,
    PART_UP,
    PART_DOWN,
    PART_NORM,
    PART_LM_HEAD,
    PARTS,
};

struct family_parameter {
    const char *name; // "model.layers.%d.self_attn.q_proj.weight"
    enum part part;
    bool bias, per_layer;
};

struct family {
    enum model_family id;
    const char *model_type;  // whose default plan of HuggingFace applies
    const char *base_prefix; // "model.": base_model_prefix, which checkpoints may lack or repeat
    const struct family_parameter *parameters;
    int n_parameters;
    // tensors of checkpoints that carry nothing we need, by the end of their name; NULL-terminated
    const char *const *ignored;
};

const struct family *family_of(enum model_family id);

// Does a model of this config have the parameter? A tied lm_head has none of its own but counts:
// rules may name it.
bool family_has(const struct family_parameter *parameter, const struct model_config *config);
void family_shape(const struct family_parameter *parameter, const struct model_config *config,
                  int64_t *rows, int64_t *columns);
bool family_is_norm(enum part part); // its weight is a vector
// May a rule give this style to the part?
bool family_allows(enum part part, enum tp_style style);
const char *family_part_name(enum part part); // "q_proj"

#endif
