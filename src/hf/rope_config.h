// The rotary embedding's part of config.json; read through model_config.h.
#ifndef COLROW_HF_ROPE_CONFIG_H
#define COLROW_HF_ROPE_CONFIG_H

#include "base/json.h"
#include "hf/model_config.h"

// Reads rope_parameters (v5) or rope_theta + rope_scaling (v4) from `root`, the whole config.
// `name` stands in messages.
enum status rope_config_parse(const char *name, const json_t *root, int64_t max_position_embeddings,
                              struct rope_config *out) STATUS_MUST_USE;
const char *rope_type_name(enum rope_type type); // "llama3"

#endif
