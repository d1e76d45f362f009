// config.json, in the spellings of Transformers 4 and 5, checked number by number.
//
// Source: Transformers 5.24, configuration_llama.py, configuration_mistral.py,
// modeling_rope_utils.py.
#ifndef COLROW_HF_MODEL_CONFIG_H
#define COLROW_HF_MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "hf/element_type.h"

// Named limits: what a config may say at most. A number beyond is refused, not trusted.
enum {
    CONFIG_BYTES_MAX = 1 << 20,
    HIDDEN_SIZE_MAX = 1 << 17,
    INTERMEDIATE_SIZE_MAX = 1 << 20,
    LAYERS_MAX = 1024,
    HEADS_MAX = 1024,
    HEAD_DIM_MAX = 512,
    VOCAB_MAX = 1 << 24,
    POSITIONS_MAX = 1 << 27,
};

enum rope_type { ROPE_DEFAULT, ROPE_LINEAR, ROPE_DYNAMIC, ROPE_LLAMA3, ROPE_YARN };

// rope_parameters (v5) or rope_theta + rope_scaling (v4).
struct rope_config {
    enum rope_type type;
    double theta;                             // rope_theta
    double factor;                            // all but default
    double low_freq_factor, high_freq_factor; // llama3
    double beta_fast, beta_slow;              // yarn: 32, 1
    double attention_factor;                  // yarn; 0: computed from factor
    double mscale, mscale_all_dim;            // yarn; 0: absent
    bool truncate;                            // yarn: true unless said otherwise
    double original_max_position_embeddings;  // llama3, yarn, dynamic
};

enum model_family { FAMILY_LLAMA, FAMILY_MISTRAL };

struct model_config {
    enum model_family family;
    char architecture[64]; // "LlamaForCausalLM"
    char model_type[32];   // "llama"
    int32_t hidden_size, intermediate_size, num_hidden_layers;
    int32_t num_attention_heads, num_key_value_heads, head_dim;
    int32_t vocab_size;
    int64_t max_position_embeddings;
    int64_t sliding_window; // 0: none. Key j is seen from query i when i - j < sliding_window
    double rms_norm_eps;
    bool attention_bias, mlp_bias, tie_word_embeddings;
    enum element_type dtype;  // torch_dtype / dtype; ELEMENT_NONE when absent
    char unusable_dtype[160]; // 'key "dtype" is "bf16"': no type to compute in. Empty: no such key
    struct rope_config rope;
};

// Reads `folder`/config.json. Every key that colrow cannot honour (another hidden_act,
// quantization_config, ...) is refused by name rather than ignored.
enum status model_config_read(const char *folder, struct model_config *out) STATUS_MUST_USE;
// Same, from text; `name` stands in messages. The fuzz target and `colrow synth` use it.
enum status model_config_parse(const char *name, const char *text, size_t length,
                               struct model_config *out) STATUS_MUST_USE;
// Whether config.json leaves a type to compute in to be found: refuses a dtype that names none
// ("bf16", "int8"), which model_config_read() lets pass because --dtype overrules it.
enum status model_config_check_dtype(const struct model_config *config,
                                     const char *name) STATUS_MUST_USE;

#endif
