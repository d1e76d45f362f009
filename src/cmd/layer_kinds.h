// The kinds of layers that a model is made of, for people and for machines.
#ifndef COLROW_CMD_LAYER_KINDS_H
#define COLROW_CMD_LAYER_KINDS_H

#include <jansson.h>

#include "base/status.h"
#include "model/model_config.h"

// A table: which layers, their heads, window, rope and MLP.
enum status layer_kinds_print(const struct model_config *config) STATUS_MUST_USE;
// [{"layers": [0, 1], "num_attention_heads": 8, ...}, ...]
json_t *layer_kinds_json(const struct model_config *config);

#endif
