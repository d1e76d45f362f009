// Reading config.json key by key, as the configuration classes of Transformers do: an absent key
// means what it means there. What is common to all families; a family's own file says which keys
// count.
//
// Source: Transformers 5.24, configuration_utils.py and quantizers/auto.py.
#ifndef COLROW_HF_CONFIG_READER_H
#define COLROW_HF_CONFIG_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/status.h"
#include "hf/element_type.h"

// Named limits: what a config may say at most. A number beyond is refused, not trusted.
enum {
    CONFIG_BYTES_MAX = 1 << 20,
    HIDDEN_SIZE_MAX = 1 << 17,
    INTERMEDIATE_SIZE_MAX = 1 << 20,
    LAYERS_MAX = 1024,
    HEADS_MAX = 1024,
    VOCAB_MAX = 1 << 24,
};

struct config_reader {
    const char *name;         // of the file, for messages
    const json_t *root;       // the object whose keys are read
    const char *architecture; // "LlamaForCausalLM", for messages
};

// null is not absent.
bool config_is_absent(const struct config_reader *reader, const char *key);
// A number that shapes the weights: that it is absent is worth a warning.
enum status config_read_size(const struct config_reader *reader, const char *key, int64_t least,
                             int64_t most, int32_t absent, int32_t *out) STATUS_MUST_USE;
// Those that are absent or null leave `*out` alone.
enum status config_read_int(const struct config_reader *reader, const char *key, int64_t least,
                            int64_t most, int64_t *out) STATUS_MUST_USE;
enum status config_read_number(const struct config_reader *reader, const char *key, double least,
                               double most, double *out) STATUS_MUST_USE;
enum status config_read_flag(const struct config_reader *reader, const char *key,
                             bool *out) STATUS_MUST_USE;
enum status config_expect_even(const struct config_reader *reader, const char *key,
                               int32_t value) STATUS_MUST_USE;
// dtype, or its older name torch_dtype: ELEMENT_NONE when absent. One that names no type to compute
// in goes to `unusable` ('key "dtype" is "bf16"').
void config_read_dtype(const struct config_reader *reader, enum element_type *out, char *unusable,
                       size_t room);

#endif
