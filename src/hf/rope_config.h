// The rotary embedding's part of config.json.
//
// Source: Transformers 5.24, modeling_rope_utils.py (RotaryEmbeddingConfigMixin).
#ifndef COLROW_HF_ROPE_CONFIG_H
#define COLROW_HF_ROPE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"

enum { HEAD_DIM_MAX = 512, POSITIONS_MAX = 1 << 27 };

enum rope_type {
    ROPE_DEFAULT,
    ROPE_LINEAR,
    ROPE_DYNAMIC,
    ROPE_LLAMA3,
    ROPE_YARN,
    ROPE_LONGROPE,
    ROPE_PROPORTIONAL,
};

// rope_parameters (v5) or rope_theta + rope_scaling (v4).
struct rope_config {
    enum rope_type type;
    double theta;                             // rope_theta
    double factor;                            // all but default; longrope: of the attention
    double low_freq_factor, high_freq_factor; // llama3
    double beta_fast, beta_slow;              // yarn: 32, 1
    double attention_factor;                  // yarn, longrope; 0: computed from factor
    double mscale, mscale_all_dim;            // yarn; 0: absent
    double short_mscale, long_mscale;         // PhiMoE's longrope: of the attention; 0: absent
    bool truncate;                            // yarn: true unless said otherwise
    double original_max_position_embeddings;  // llama3, yarn, dynamic, longrope
    double partial_rotary_factor;             // 1: whole heads are rotated
    // longrope: of each pair, below original_max_position_embeddings and beyond
    int32_t n_factors;
    float short_factor[HEAD_DIM_MAX / 2], long_factor[HEAD_DIM_MAX / 2];
    // The model's own, not from these keys: set by the family.
    int32_t n_dimensions;        // of a head that turn, from its first on; even
    int32_t exponent_dimensions; // of which the exponent is a part; 0: n_dimensions
    int32_t head_dim;            // proportional: of which the exponent is a part
    bool interleaved;            // pairs (2i, 2i + 1) instead of (i, i + n_dimensions / 2)
    int64_t max_position_embeddings;
};

// What an absent key means, and which dictionaries are read.
struct rope_reading {
    const char *theta_key;        // beside the dictionaries: "rope_theta"; NULL: none
    double theta;                 // when it is absent
    double fixed_theta;           // whatever any key says; 0: what they say
    double partial_rotary_factor; // likewise
    int64_t max_position_embeddings;
    int64_t original_max_position_embeddings; // Phi-3: likewise, and no dictionary's counts; or 0
    // "full_attention": rope_parameters has a set of numbers for each type of layer, this one's is
    // read; or NULL
    const char *layer_type;
    bool allow_mrope;    // mrope_section: positions of text are alike in its parts
    bool ignore_scaling; // rope_scaling is not for this type of layer
    bool only_longrope;  // or default; "yarn" is another name of it
    // PhiMoE's longrope: Transformers takes short_factor whatever the length, and one of two
    // scalings
    bool scales_by_length;
};
// Reads from `root`, the whole config. `name` stands in messages. Of `out` the model's own part is
// zero but for max_position_embeddings.
enum status rope_config_read(const char *name, const json_t *root,
                             const struct rope_reading *reading,
                             struct rope_config *out) STATUS_MUST_USE;
// A number that some families have beside these; absent, `*out` stays.
enum status rope_config_number(const char *name, const json_t *root,
                               const struct rope_reading *reading, const char *key, double least,
                               double most, double *out) STATUS_MUST_USE;
// Whether config.json has no set of numbers at all.
bool rope_config_is_absent(const json_t *root);
const char *rope_type_name(enum rope_type type); // "llama3"

#endif
