// What all Granites have: four multipliers.
#ifndef COLROW_MODEL_FAMILIES_GRANITE_PARTS_H
#define COLROW_MODEL_FAMILIES_GRANITE_PARTS_H

#include "model/describe.h"
#include "model/families/llama_names.h"

// Reads the multipliers of embedding, scores, sums and logits, attention_bias and hidden_act, into
// `out` after describe_plain() and into `layer` after describe_layer().
enum status granite_multiply(const struct config_reader *reader, struct model_config *out,
                             struct layer_config *layer) STATUS_MUST_USE;

#endif
