// Rotary position embedding: the frequencies of each rope type, and cos and sin of a position.
//
// Source: Transformers 5.24, modeling_rope_utils.py; docs/numerics.md section 6.
#ifndef COLROW_MODEL_ROPE_H
#define COLROW_MODEL_ROPE_H

#include <stdint.h>

#include "hf/rope_config.h"

struct rope {
    int half;                          // of the dimensions that turn
    double scaling, long_scaling;      // of cos and sin (yarn, longrope; 1 otherwise)
    float inv_freq[HEAD_DIM_MAX / 2];  // [half]
    float long_freq[HEAD_DIM_MAX / 2]; // [half] longrope: of sequences beyond the original length
};

// yarn_get_mscale(): what yarn multiplies by so that attention stays as sharp over `factor` times
// the length.
double rope_mscale(double factor, double mscale);
void rope_init(struct rope *rope, const struct rope_config *config);
// cos and sin [half] of one position. `is_long`: of a sequence beyond the original length.
void rope_angles(const struct rope *rope, int64_t position, bool is_long, float *cos, float *sin);

#endif
