// The kernel table: one entry per operation. The reference fills it, each ISA overwrites what it
// improves, and every entry gives the same bits (docs/numerics.md). Nothing outside device/ knows
// about instruction sets.
//
// Kernels work on the part of the output that their arguments name and keep no state; threads call
// them side by side on different parts. Pointers are 4-byte aligned at least unless said otherwise;
// nothing is read or written outside the ranges given.
#ifndef COLROW_DEVICE_KERNELS_H
#define COLROW_DEVICE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/kv_cache.h"
#include "device/number.h"
#include "device/panels.h"

enum { LEAVES_MAX = 64, KV_PAGE_TOKENS = 64, KV_GROUP_PAGES = 8 };
enum { KEY_DIM_MAX = 1024 }; // numbers of a key, and of a value
enum {
    MATMUL_SCRATCH_BYTES = 6 << 20,
    // of attention's: the tiles' part, behind which lies a page whose codes have become numbers
    ATTENTION_TILE_BYTES = 1 << 20,
    ATTENTION_SCRATCH_BYTES = ATTENTION_TILE_BYTES + 2 * KV_PAGE_TOKENS * KEY_DIM_MAX * 4
};

// The order in which products of bf16 are summed: sections 3 and 10. Other products, those of
// integer codes among them, know ORDER_PAIRS only.
enum product_order { ORDER_PAIRS, ORDER_TILES, ORDER_COUNT };
const char *product_order_name(enum product_order order);     // "pairs", "tiles"
enum product_order product_order_from_name(const char *name); // ORDER_COUNT when unknown

// That of a product of such weights where `wanted` is that of products of bf16.
static inline enum product_order product_order_of(const struct panels *w, enum product_order wanted)
{
    return panel_format_is_integer(w->format) ? ORDER_PAIRS : wanted;
}

// How a product's k is cut (section 4). After leaf i, the two newest sums on the stack are added
// `merges` times. What is left on the stack are the rank's nodes, in order; a column-parallel
// product has one leaf and one node.
struct leaf_plan {
    int n_leaves, n_nodes;
    struct {
        int32_t k_begin, k_end; // in this rank's local k; even; k_begin < k_end
        int merges;
    } leaf[LEAVES_MAX];
};
// All of an even k in one chain.
static inline struct leaf_plan leaf_plan_whole(int32_t k)
{
    return (struct leaf_plan){.n_leaves = 1, .n_nodes = 1, .leaf = {{0, k, 0}}};
}

// What an MLP does to its projected rows (section 8), with the names that Transformers has for it
// (ACT2FN; config.json's hidden_act, hidden_activation or activation_function).
enum activation {
    ACTIVATION_SILU,           // silu, swish
    ACTIVATION_GELU_TANH,      // gelu_pytorch_tanh, gelu_python_tanh, gelu_new, gelu_fast,
                               // gelu_accurate; BLOOM's own
    ACTIVATION_GELU_ERF,       // gelu, gelu_python
    ACTIVATION_QUICK_GELU,     // quick_gelu
    ACTIVATION_RELU,           // relu
    ACTIVATION_RELU_SQUARED,   // relu2
    ACTIVATION_XIELU,          // xielu
    ACTIVATION_CLAMPED_SWIGLU, // gpt-oss: `up` counts clamped, plus 1
    ACTIVATION_SIGMOID,        // of gates; no MLP's
    ACTIVATION_SCALED_SILU,    // Falcon-H1: of x times alpha
    ACTIVATION_COUNT,
};

struct activation_args {
    enum activation kind;
    // of xIELU: softplus(alpha_p) and beta + softplus(alpha_n) of the checkpoint; beta; eps (<= 0)
    float alpha_p, alpha_n, beta, eps;
    float alpha, limit; // of gpt-oss's (limit >= 0)
};

// out[node][m][n] (f32) for the columns of panels [panel_begin, panel_end). With `activated`,
// instead
//   activated[m][n] = act(a · w + bias) · (a · up + up_bias)      with `up`, a matrix of w's size
//   activated[m][n] = act(a · w + bias)                           without
// as the next product's input: bf16 in COMPUTE_BF16, else f32 (rounded to f16 in COMPUTE_F16).
// Column-parallel only.
struct matmul {
    const struct panels *w;
    const struct leaf_plan *leaves;
    int panel_begin, panel_end;
    int m; // rows of a
    // [m][a_stride]: bf16 where `a_is_bf16` (only where panel_format_takes_bf16()), else f32
    const void *a;
    bool a_is_bf16;
    size_t a_stride;         // elements
    float *out;              // node 0, row 0, column 0 of the whole matrix
    size_t out_stride;       // elements between rows, of out or of activated
    size_t node_stride;      // floats between nodes
    const float *bias;       // [n] added to node 0 after its chain, or NULL (column-parallel only)
    const struct panels *up; // or NULL; of the same layout
    const float *up_bias;    // [n] or NULL
    enum compute_type type;  // of activated
    void *activated;         // row 0, column 0 of the whole matrix; or NULL
    struct activation_args activation;
    void *scratch;            // MATMUL_SCRATCH_BYTES, 64-byte aligned, this thread's own
    enum product_order order; // ORDER_TILES only of PANELS_BF16 where `a_is_bf16`
};

// Where keys and values lie. A page of one layer and one KV head: keys, then values somewhere else,
// KV_PAGE_TOKENS * head_dim elements and KV_PAGE_TOKENS * value_dim:
//   bf16:      keys [head_dim/2][64][2]   values [32][value_dim][2]   (both are panels: pairs of
//   the summed index) f16, f32:  keys [head_dim][64]        values [64][value_dim]
// Where there are codes, elements are bytes in the same places, of which attention makes numbers of
// `type`.
struct kv_view {
    enum compute_type type;
    enum kv_codes codes;
    int head_dim;
    int value_dim;       // even, like head_dim; 0: as wide as keys
    char *keys, *values; // of page id 0, this layer and head. Values NULL: they are the first
                         // value_dim numbers of the keys (latent attention)
    char *scales; // of page id 0, KV_INT8 only: bf16 [64] of the keys, then [64] of the values
    size_t page_stride;   // bytes from one page id to the next
    const int32_t *pages; // ids of the sequence's pages: page i holds positions 64 i ...
};

// Bytes of a head's scales in a page.
static inline size_t kv_scales_bytes(enum kv_codes codes)
{
    return codes == KV_INT8 ? 2 * KV_PAGE_TOKENS * sizeof(bf16) : 0;
}

static inline int kv_value_dim(const struct kv_view *kv)
{
    return kv->value_dim ? kv->value_dim : kv->head_dim;
}

// One sequence, one KV head: `n_heads` query heads (adjacent in q and out) of `n_tokens` tokens.
struct attention {
    struct kv_view kv;
    int n_heads, n_tokens;
    int64_t position; // absolute, of the first token; the cache has all up to the last one
    int64_t window;   // sliding window; 0: none
    int64_t chunk;    // not 0: keys of the same block of so many positions alone
    float scale;
    float softcap;       // of scores: softcap · tanh(score / softcap); 0: none
    const float *sinks;  // [n_heads] one more column of the softmax, without a value; or NULL
    const float *slopes; // [n_heads] ALiBi: score + slope · absolute position of the key; or NULL
    const void *q; // bf16 with a bf16 cache, else f32 (already rounded): [n_tokens][q_stride]; head
                   // h at h * head_dim
    size_t q_stride;            // elements
    enum compute_type out_type; // that of the cache, or f32; with a cache of f32 any
    void *out;                  // bf16 in COMPUTE_BF16, else f32 (rounded to f16 in COMPUTE_F16):
                                // [n_tokens][out_stride]; head h at h * value_dim
    size_t out_stride;
    // Not NULL: what the softmax is made of, in the place of `out` and without sinks, for somebody
    // who merges it with that of other positions: m, l and the value_dim numbers of o of a row, in
    // which a zero has either sign. [n_tokens][sums_stride]; head h at h * (2 + value_dim)
    float *sums;
    size_t sums_stride;
    void *scratch;            // ATTENTION_SCRATCH_BYTES, 64-byte aligned, this thread's own
    enum product_order order; // ORDER_TILES only with a bf16 cache
};
// Floats of a row of `sums`.
static inline size_t attention_sums_width(int value_dim)
{
    return 2 + (size_t)value_dim;
}

// Of one query, scores of positions by an indexer (section 15), whose heads have one key in common:
// out[j] = the sum over ascending heads of weights[h] · relu(q[h] · key[j]).
struct index_scoring {
    struct kv_view kv; // of its keys; no values
    int n_heads;
    int64_t page_begin, page_end; // of the sequence: whose positions get scores, all 64 of each
    const void *q;                // bf16 with a bf16 cache, else f32: [n_heads][head_dim]
    const float *weights;         // [n_heads]
    float *out;                   // of position 0
    void *scratch;                // ATTENTION_SCRATCH_BYTES, 64-byte aligned, this thread's own
    enum product_order order;     // ORDER_TILES only with a bf16 cache
};

// Probabilities as integers, for sampling: weights[i] = trunc(exp(x[i] · factor - shift) · 2^30 +
// 0.5f), each operation rounded once in f32; 0 where the exp is a NaN or above 1. Whole blocks of
// WEIGHING_BLOCK are written: what lies beyond n weighs 0 and scores -inf.
enum { WEIGHING_BLOCK = 64 };
struct weighing {
    const float *x; // [n]
    float factor, shift;
    int n;
    uint64_t *sums;    // of the weights of each block
    uint32_t *weights; // or NULL
    float *scores;     // x · factor, or NULL
};

// A weighted sum of rows along a tree (section 11): from the first row on, weight · row; after row
// i the two newest sums are added merges[i] times, so that one is left; at the end + 0.
enum { WEIGHTED_DEPTH_MAX = 8 };
struct weighted_rows {
    int n;                    // 0: zeros
    const float *const *rows; // [n], each [columns]
    const float *weights;     // [n]
    const uint8_t *merges;    // [n]
    int columns;
    float *out; // [columns]
};

// A depthwise convolution over time (section 12): some channels of a sequence's next tokens.
enum { CONVOLUTION_TAPS_MAX = 16 };
struct convolution {
    int taps, channels, n_tokens; // 1 <= taps <= CONVOLUTION_TAPS_MAX
    const float *weights;         // [taps][weights_stride]: the oldest token's first
    size_t weights_stride;        // floats, as all strides here
    const float *bias;            // [channels] or NULL
    // [taps - 1][state_stride]: the inputs of the tokens before, the oldest first; afterwards those
    // before the token that follows
    float *state;
    size_t state_stride;
    const float *x; // [n_tokens][x_stride]
    size_t x_stride;
    float *out; // [n_tokens][out_stride]; may be x, with its stride
    size_t out_stride;
};

// One head of Mamba-2 (section 12) over a sequence's next tokens, one token after the other.
struct state_scan {
    int head_dim, state_size, n_tokens;
    float *state;                // [state_size][head_dim]; afterwards that of the last token
    const float *steps, *decays; // [n_tokens][steps_stride]: dt and exp(dt · A) of the head
    size_t steps_stride;         // floats, as all strides here
    // [n_tokens][stride]: the head's head_dim numbers, and the state_size of its group's B and C
    const float *x, *b, *c;
    size_t stride;
    float d;
    float *y; // [n_tokens][y_stride], head_dim numbers; may be x, with its stride
    size_t y_stride;
};

// One value head of the gated delta rule (section 12) over a sequence's next tokens, one token
// after the other.
struct delta_scan {
    int key_dim, value_dim, n_tokens;
    float *state; // [key_dim][value_dim]; afterwards that of the last token
    // [n_tokens][decays_stride]: exp(g), of the head, or with `channel_decays` key_dim of them
    const float *decays;
    size_t decays_stride; // floats, as all strides here
    bool channel_decays;
    const float *betas; // [n_tokens][betas_stride]
    size_t betas_stride;
    // [n_tokens][stride]: the key head's query and key, normed, and the head's value
    const float *q, *k, *v;
    size_t stride;
    float *y; // [n_tokens][y_stride], value_dim numbers; may be v, with its stride
    size_t y_stride;
};

struct kernels {
    // what the product kernel uses: "reference", "avx2", "avx512", "avx512bf16", "amx"
    const char *isa;

    void (*matmul)(const struct matmul *args);
    void (*attention)(const struct attention *args);
    void (*index_scores)(const struct index_scoring *args);

    // Activations as a product's input: COMPUTE_BF16 writes bf16, COMPUTE_F16 f32 rounded to f16,
    // COMPUTE_F32 f32.
    void (*rmsnorm)(const float *x, const float *weight, float eps, int n, enum compute_type type,
                    void *out);
    // `bias` may be NULL.
    void (*layernorm)(const float *x, const float *weight, const float *bias, float eps, int n,
                      enum compute_type type, void *out);
    // act(gate[i]) · up[i]; act(gate[i]) where `up` is NULL.
    void (*activate_mul)(const struct activation_args *args, const float *gate, const float *up,
                         int n, enum compute_type type, void *out);
    void (*round)(const float *x, size_t n, enum compute_type type, void *out);

    // In place, the n numbers of a head that are rotated, n even; cos and sin [n/2]. Pairs are
    // (i, i + n/2), or, interleaved, (2i, 2i + 1).
    void (*rope)(float *x, const float *cos, const float *sin, int n);
    void (*rope_interleaved)(float *x, const float *cos, const float *sin, int n);

    // In place: x[i] *= factor;  x[i] = cap · tanh(x[i] / cap);  x[i] = (x[i] · r) · weight[i].
    void (*scale)(float *x, float factor, size_t n);
    void (*softcap)(float *x, float cap, size_t n);
    void (*scale_weighted)(float *x, float r, const float *weight, size_t n);
    // The sum of squares in the lane order of section 5: for a norm over a width that spans ranks.
    float (*squares)(const float *x, size_t n);

    // The sum of a part of a row, and that of the squares of its distances from the part's own mean
    // (section 5): of which the mean and the deviation of a row that spans ranks are made.
    float (*spread)(const float *x, size_t n, float *sum);
    // In place: x[i] = fma(factor, y[i], x[i]);  x[i] = relu(x[i] - cutoff), relu as in section 8.
    void (*add_scaled)(float *x, float factor, const float *y, size_t n);
    void (*cut_below)(float *x, float cutoff, size_t n);

    // x[i] += y[i];  out[i] = a[i] + b[i];  out[i] = copy[i] = a[i] + b[i]. Sums may take the place
    // of summands.
    void (*add)(float *x, const float *y, size_t n);
    void (*add_to)(float *out, const float *a, const float *b, size_t n);
    void (*add_to_both)(float *out, float *copy, const float *a, const float *b, size_t n);
    // memcpy() that reads in ascending order, which is how lines of another core's cache come
    // soonest.
    void (*copy)(float *out, const float *in, size_t n);

    void (*sum_weighted)(const struct weighted_rows *args);

    void (*convolve)(const struct convolution *args);
    void (*scan_states)(const struct state_scan *args);
    void (*scan_delta)(const struct delta_scan *args);
    // x[i] = exp(rate · softplus(x[i] + bias[i])), decays of a key's numbers (section 12)
    void (*decay_channels)(float *x, const float *bias, float rate, size_t n);

    // Writes the keys (after rope) and values of `n_tokens` tokens from `position`; k and v
    // [n_tokens][stride], f32. A page's values are zeroed when its first position is written; where
    // they are the keys' own, `v` is not looked at.
    void (*kv_write)(const struct kv_view *kv, int64_t position, int n_tokens, const float *k,
                     const float *v, size_t stride);

    // Vocabulary: the largest and its smallest index (NaN counts as -inf); out[i] = exp(x[i] -
    // shift), returns the f32 sum in the lane order of section 5.
    int (*argmax)(const float *x, int n, float *largest);
    float (*exp_sum)(const float *x, float shift, int n, float *out);
    void (*weigh)(const struct weighing *args);
    void (*tops)(const float *x, int n,
                 float *out); // out[i]: the largest of block i of WEIGHING_BLOCK

    // Weights: see panels.h.
    void (*pack)(const struct panels *w, int32_t row, int32_t n_rows, int32_t column,
                 int32_t n_columns, const void *source, enum source_type type,
                 size_t source_stride);
};

// Levels in ascending order; each includes the one below.
enum isa { ISA_REFERENCE, ISA_AVX2, ISA_AVX512, ISA_AVX512BF16, ISA_AMX, ISA_COUNT };
const char *isa_name(enum isa isa);
enum isa isa_from_name(const char *name); // ISA_COUNT when unknown
enum isa isa_of_machine(void);            // highest that this CPU (and its self-check) supports
// The order in which a machine of that level is fastest: tiles for bfloat16 where there is AMX.
// Ask with isa_of_machine(), not with the level that COLROW_ISA leaves, which is to change no bit.
enum product_order product_order_fastest(enum isa machine, enum compute_type compute);

// The table for at most `isa`, filled upward from the reference. Never NULL; valid for the
// process's life.
const struct kernels *kernels_for(enum isa isa);
// Same for the machine, capped by COLROW_ISA; an unknown name is an error that lists the names.
enum status kernels_choose(const struct kernels **out) STATUS_MUST_USE;

// What each ISA's file provides: overwrites entries of the table.
void kernels_reference(struct kernels *table);
void kernels_avx2(struct kernels *table);
void kernels_avx512(struct kernels *table);
void kernels_avx512bf16(struct kernels *table);
void kernels_amx(struct kernels *table);

// The scalar functions of the contract, for those who need one value.
float number_exp(float x);
float number_softplus(float x);
float number_channel_decay(float rate, float x); // exp(rate · softplus(x)), softplus another one
float number_log(float x);                       // natural logarithm, f32, our own (sampling)
float number_tanh(float x);
float number_erf(float x);
float number_activation(const struct activation_args *args, float x);
float number_up(const struct activation_args *args, float up); // what act(gate) is multiplied by
void number_sin_cos(double angle, double *sine, double *cosine);
double number_pow(double base, double exponent); // base > 0
// The deviations from the mean below which a part `p` of normally distributed numbers lies; 0 < p <
// 1, at most 6 deviations.
double number_normal_quantile(double p);

#endif
