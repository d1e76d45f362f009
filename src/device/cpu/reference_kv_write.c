#include "device/cpu/kv_codes.h"
#include "device/cpu/reference.h"

static void store(void *page, size_t i, float x, enum compute_type type)
{
    switch (type) {
    case COMPUTE_BF16:
        ((bf16 *)page)[i] = bf16_of_float(x);
        return;
    case COMPUTE_F16:
        ((f16 *)page)[i] = f16_of_float(x);
        return;
    case COMPUTE_F32:
        ((float *)page)[i] = x;
        return;
    }
}

void reference_kv_write(const struct kv_view *kv, int64_t position, int n_tokens, const float *k,
                        const float *v, size_t stride)
{
    if (kv->codes != KV_PLAIN) {
        kv_write_codes(kv, position, n_tokens, k, v, stride, reference_kv_encode);
        return;
    }
    for (int t = 0; t < n_tokens; t++) {
        int64_t page = (position + t) / KV_PAGE_TOKENS;
        int i = (int)((position + t) % KV_PAGE_TOKENS);
        const size_t at = (size_t)kv->pages[page] * kv->page_stride;
        char *keys = kv->keys + at, *values = kv->values ? kv->values + at : NULL;
        if (i == 0) // attention multiplies all 64 positions, and what was left could be infinite
            memset(values ? values : keys, 0,
                   (size_t)(KV_PAGE_TOKENS * kv_value_dim(kv)) * compute_bytes(kv->type));
        for (int d = 0; d < kv->head_dim; d++)
            store(keys, kv_key_index(kv, i, d), k[(size_t)t * stride + (size_t)d], kv->type);
        for (int d = 0; values && d < kv_value_dim(kv); d++)
            store(values, kv_value_index(kv, i, d), v[(size_t)t * stride + (size_t)d], kv->type);
    }
}
