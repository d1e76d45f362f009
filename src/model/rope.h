// Rotary position embedding: the frequencies of each rope type, and cos and sin of a position.
//
// Source: Transformers 5.23, modeling_rope_utils.py; docs/numerics.md section 6.
#ifndef COLROW_MODEL_ROPE_H
#define COLROW_MODEL_ROPE_H

#include <stdint.h>

#include "hf/model_config.h"

struct rope {
    int half;                         // head_dim / 2
    double scaling;                   // of cos and sin (yarn; 1 otherwise)
    float inv_freq[HEAD_DIM_MAX / 2]; // [half]
};

void rope_init(struct rope *rope, const struct model_config *config);
// cos and sin [half] of one position.
void rope_angles(const struct rope *rope, int64_t position, float *cos, float *sin);

#endif
