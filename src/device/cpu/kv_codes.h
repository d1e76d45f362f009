// Keys and values that are kept as bytes (docs/numerics.md section 16): encoding a row, and making
// a page of numbers of a page of codes, which attention then reads as if it were the cache's.
#ifndef COLROW_DEVICE_CPU_KV_CODES_H
#define COLROW_DEVICE_CPU_KV_CODES_H

#include "device/kernels.h"

enum { E4M3_MAX_BITS = 0x43e00000, E4M3_NORMAL_BITS = 0x3c800000 }; // f32: 448 and 2^-6

// The codes of a token's n numbers for one KV head. Returns their scale, in KV_INT8.
typedef bf16 (*kv_encode)(const float *x, int n, enum kv_codes codes, uint8_t *out);

// A page's keys or values, as they lie in a page: out[i] = codes[i], times its position's scale in
// KV_INT8, rounded to `type`, for i < KV_PAGE_TOKENS * dim.
struct kv_expansion {
    const uint8_t *codes;
    const bf16 *scales; // [KV_PAGE_TOKENS]; not looked at in KV_E4M3
    int dim;
    bool of_values;
    enum kv_codes kind;
    enum compute_type type;
    void *out;         // halves or floats; 4-byte aligned
    const char *ahead; // as many codes that are read next, to be fetched; or NULL
};
typedef void (*kv_expand)(const struct kv_expansion *args);

bf16 reference_kv_encode(const float *x, int n, enum kv_codes codes, uint8_t *out);
void reference_kv_expand(const struct kv_expansion *args);

// Where element (position in the page, dimension) lies, in elements.
static inline size_t kv_key_index(const struct kv_view *kv, int i, int d)
{
    if (kv->type == COMPUTE_BF16)
        return ((size_t)(d / 2) * KV_PAGE_TOKENS + (size_t)i) * 2 + (size_t)(d % 2);
    return (size_t)d * KV_PAGE_TOKENS + (size_t)i;
}

static inline size_t kv_value_index(const struct kv_view *kv, int i, int d)
{
    if (kv->type == COMPUTE_BF16)
        return ((size_t)(i / 2) * (size_t)kv_value_dim(kv) + (size_t)d) * 2 + (size_t)(i % 2);
    return (size_t)i * (size_t)kv_value_dim(kv) + (size_t)d;
}

// kv_write() of a cache of codes.
void kv_write_codes(const struct kv_view *kv, int64_t position, int n_tokens, const float *k,
                    const float *v, size_t stride, kv_encode encode);

// A page's keys or values in the layout of a plain cache of the view's type. `ahead`: codes that
// are wanted next, as many; or NULL.
void kv_expand_keys(const struct kv_view *kv, int32_t page, const char *ahead, kv_expand expand,
                    void *out);
void kv_expand_values(const struct kv_view *kv, int32_t page, const char *ahead, kv_expand expand,
                      void *out);

#endif
