// What each ISA's files provide. Only files whose name ends in an ISA are compiled with its flags
// (cmake/Isa.cmake); table.c, which assigns these, is not, so that it runs everywhere.
#ifndef COLROW_DEVICE_CPU_X86_X86_H
#define COLROW_DEVICE_CPU_X86_X86_H

#include "device/kernels.h"

// Product and packing: matmul_*.c, pack_*.c.
void matmul_avx2(const struct matmul *args);
void matmul_avx512(const struct matmul *args);
void matmul_avx512bf16(const struct matmul *args);
void pack_avx2(const struct panels *w, int32_t row, int32_t n_rows, int32_t column,
               int32_t n_columns, const void *source, enum source_type type, size_t source_stride);
void pack_avx512(const struct panels *w, int32_t row, int32_t n_rows, int32_t column,
                 int32_t n_columns, const void *source, enum source_type type,
                 size_t source_stride);

// The order of tiles.
void matmul_tiles_avx2(const struct matmul *args);
void matmul_tiles_avx512(const struct matmul *args);
void matmul_tiles_amx(const struct matmul *args);
struct tiles_activation;
void activate_avx512bf16(const struct tiles_activation *activation); // matmul_tiles.h
void emit_avx512(float *to, size_t to_stride, const float *from, int rows,
                 int columns); // matmul_tiles.h
void attention_tiles_avx512(const struct attention *args);
void attention_tiles_amx(const struct attention *args);
void index_tiles_avx512(const struct index_scoring *args);
void index_tiles_amx(const struct index_scoring *args);

// What this CPU and its operating system offer (cpuid and xgetbv), and whether vdpbf16ps gives the
// contract's bits.
enum isa x86_isa(void);
bool x86_amx_is_exact(void);      // only where amx is there and the system allows it
bool x86_bf16_dot_is_exact(void); // only where avx512bf16 is there
bool x86_bf16_dot_is_fast(
    void); // faster than f32 FMA: true on Zen 4, false on Intel up to Granite Rapids

struct attention_tile;
void attention_adjust_avx2(const struct attention_tile *tile, int row, int end);
void attention_adjust_avx512(const struct attention_tile *tile, int row, int end);
void index_add_heads_avx2(const struct attention_tile *tile, const float *weights, int n,
                          float *out);
void index_add_heads_avx512(const struct attention_tile *tile, const float *weights, int n,
                            float *out);
void attention_avx2(const struct attention *args);
void attention_avx512(const struct attention *args);
void attention_avx512bf16(const struct attention *args);
void index_scores_avx2(const struct index_scoring *args);
void index_scores_avx512(const struct index_scoring *args);
void index_scores_avx512bf16(const struct index_scoring *args);

void rmsnorm_avx2(const float *x, const float *weight, float eps, int n, enum compute_type type,
                  void *out);
void rmsnorm_avx512(const float *x, const float *weight, float eps, int n, enum compute_type type,
                    void *out);
void rmsnorm_avx512bf16(const float *x, const float *weight, float eps, int n,
                        enum compute_type type, void *out);
void layernorm_avx2(const float *x, const float *weight, const float *bias, float eps, int n,
                    enum compute_type type, void *out);
void layernorm_avx512(const float *x, const float *weight, const float *bias, float eps, int n,
                      enum compute_type type, void *out);
void layernorm_avx512bf16(const float *x, const float *weight, const float *bias, float eps, int n,
                          enum compute_type type, void *out);
void activate_mul_avx2(const struct activation_args *args, const float *gate, const float *up,
                       int n, enum compute_type type, void *out);
void activate_mul_avx512(const struct activation_args *args, const float *gate, const float *up,
                         int n, enum compute_type type, void *out);
void activate_mul_avx512bf16(const struct activation_args *args, const float *gate, const float *up,
                             int n, enum compute_type type, void *out);
void round_avx2(const float *x, size_t n, enum compute_type type, void *out);
void round_avx512(const float *x, size_t n, enum compute_type type, void *out);
void round_avx512bf16(const float *x, size_t n, enum compute_type type, void *out);
void rope_avx2(float *x, const float *cos, const float *sin, int n);
void rope_avx512(float *x, const float *cos, const float *sin, int n);
void rope_interleaved_avx2(float *x, const float *cos, const float *sin, int n);
void scale_avx2(float *x, float factor, size_t n);
void softcap_avx2(float *x, float cap, size_t n);
void scale_weighted_avx2(float *x, float r, const float *weight, size_t n);
float squares_avx2(const float *x, size_t n);
float spread_avx2(const float *x, size_t n, float *sum);
void add_scaled_avx2(float *x, float factor, const float *y, size_t n);
void cut_below_avx2(float *x, float cutoff, size_t n);
void rope_interleaved_avx512(float *x, const float *cos, const float *sin, int n);
void scale_avx512(float *x, float factor, size_t n);
void softcap_avx512(float *x, float cap, size_t n);
void scale_weighted_avx512(float *x, float r, const float *weight, size_t n);
float squares_avx512(const float *x, size_t n);
void add_avx2(float *x, const float *y, size_t n);
void add_avx512(float *x, const float *y, size_t n);
void add_to_avx2(float *out, const float *a, const float *b, size_t n);
void add_to_avx512(float *out, const float *a, const float *b, size_t n);
void add_to_both_avx2(float *out, float *copy, const float *a, const float *b, size_t n);
void add_to_both_avx512(float *out, float *copy, const float *a, const float *b, size_t n);
void copy_avx2(float *out, const float *in, size_t n);
void copy_avx512(float *out, const float *in, size_t n);
void sum_weighted_avx2(const struct weighted_rows *args);
void sum_weighted_avx512(const struct weighted_rows *args);
void convolve_avx2(const struct convolution *args);
void convolve_avx512(const struct convolution *args);
void scan_states_avx2(const struct state_scan *args);
void scan_states_avx512(const struct state_scan *args);
void scan_delta_avx2(const struct delta_scan *args);
void scan_delta_avx512(const struct delta_scan *args);
void decay_channels_avx2(float *x, const float *bias, float rate, size_t n);
void decay_channels_avx512(float *x, const float *bias, float rate, size_t n);
void kv_write_avx2(const struct kv_view *kv, int64_t position, int n_tokens, const float *k,
                   const float *v, size_t stride);
void kv_write_avx512(const struct kv_view *kv, int64_t position, int n_tokens, const float *k,
                     const float *v, size_t stride);
struct kv_expansion; // kv_codes.h
void kv_expand_avx2(const struct kv_expansion *args);
void kv_expand_avx512(const struct kv_expansion *args);
void kv_expand_avx512bf16(const struct kv_expansion *args);
int argmax_avx2(const float *x, int n, float *largest);
int argmax_avx512(const float *x, int n, float *largest);
float exp_sum_avx2(const float *x, float shift, int n, float *out);
float exp_sum_avx512(const float *x, float shift, int n, float *out);
void weigh_avx2(const struct weighing *args);
void weigh_avx512(const struct weighing *args);
void tops_avx2(const float *x, int n, float *out);
void tops_avx512(const float *x, int n, float *out);

#endif
