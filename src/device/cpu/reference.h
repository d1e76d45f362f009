// The reference kernels: scalar C that reads like docs/numerics.md and defines every result.
#ifndef COLROW_DEVICE_CPU_REFERENCE_H
#define COLROW_DEVICE_CPU_REFERENCE_H

#include "device/kernels.h"

void reference_matmul(const struct matmul *args);
void reference_attention(const struct attention *args);
void reference_index_scores(const struct index_scoring *args);
// A block of the tile order (section 10): acc + (even chain + odd chain) over n numbers, n even, at
// most TILE_BLOCK.
enum { TILE_BLOCK = 32 };
float reference_tile_block(const float *x, const float *w, int n, float acc);
void reference_rmsnorm(const float *x, const float *weight, float eps, int n,
                       enum compute_type type, void *out);
void reference_layernorm(const float *x, const float *weight, const float *bias, float eps, int n,
                         enum compute_type type, void *out);
void reference_activate_mul(const struct activation_args *args, const float *gate, const float *up,
                            int n, enum compute_type type, void *out);
void reference_round(const float *x, size_t n, enum compute_type type, void *out);
void reference_rope(float *x, const float *cos, const float *sin, int n);
void reference_rope_interleaved(float *x, const float *cos, const float *sin, int n);
void reference_scale(float *x, float factor, size_t n);
void reference_softcap(float *x, float cap, size_t n);
void reference_scale_weighted(float *x, float r, const float *weight, size_t n);
float reference_squares(const float *x, size_t n);
float reference_spread(const float *x, size_t n, float *sum);
void reference_add_scaled(float *x, float factor, const float *y, size_t n);
void reference_cut_below(float *x, float cutoff, size_t n);
void reference_add(float *x, const float *y, size_t n);
void reference_add_to(float *out, const float *a, const float *b, size_t n);
void reference_add_to_both(float *out, float *copy, const float *a, const float *b, size_t n);
void reference_copy(float *out, const float *in, size_t n);
void reference_sum_weighted(const struct weighted_rows *args);
void reference_convolve(const struct convolution *args);
void reference_scan_states(const struct state_scan *args);
void reference_scan_delta(const struct delta_scan *args);
void reference_decay_channels(float *x, const float *bias, float rate, size_t n);
void reference_kv_write(const struct kv_view *kv, int64_t position, int n_tokens, const float *k,
                        const float *v, size_t stride);
int reference_argmax(const float *x, int n, float *largest);
float reference_exp_sum(const float *x, float shift, int n, float *out);
void reference_weigh(const struct weighing *args);
void reference_tops(const float *x, int n, float *out);
// The reference of `pack` is panels_pack() (panels.h).

#endif
