// config.json and the index of a checkpoint that `colrow quantize` writes.
#ifndef COLROW_CMD_QUANTIZED_CONFIG_H
#define COLROW_CMD_QUANTIZED_CONFIG_H

#include <jansson.h>

#include "base/status.h"
#include "model/plan.h"

// config.json of the folder `from` with quantization_config, into `to`. `unties`: lm_head is a
// matrix of its own now; `left`: modules that are not quantised.
enum status quantized_config_write(const char *from, const char *to, const struct quantization *how,
                                   bool unties, json_t *left) STATUS_MUST_USE;
// model.safetensors.index.json: `map` says in which file a tensor is.
enum status quantized_index_write(const char *to, json_t *map) STATUS_MUST_USE;

#endif
