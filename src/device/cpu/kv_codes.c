#include "device/cpu/kv_codes.h"

#include <assert.h>
#include <string.h>

void kv_write_codes(const struct kv_view *kv, int64_t position, int n_tokens, const float *k,
                    const float *v, size_t stride, kv_encode encode)
{
    uint8_t codes[KEY_DIM_MAX];
    assert(kv->values);
    for (int t = 0; t < n_tokens; t++) {
        const size_t at = (size_t)kv->pages[(position + t) / KV_PAGE_TOKENS] * kv->page_stride;
        const int i = (int)((position + t) % KV_PAGE_TOKENS), value_dim = kv_value_dim(kv);
        uint8_t *keys = (uint8_t *)kv->keys + at, *values = (uint8_t *)kv->values + at;
        bf16 *scales = kv->codes == KV_INT8 ? (bf16 *)(void *)(kv->scales + at) : NULL;
        if (i == 0) { // as in a plain page
            memset(values, 0, (size_t)(KV_PAGE_TOKENS * value_dim));
            if (scales)
                memset(scales + KV_PAGE_TOKENS, 0, KV_PAGE_TOKENS * sizeof *scales);
        }
        const bf16 key_scale = encode(k + (size_t)t * stride, kv->head_dim, kv->codes, codes);
        for (int d = 0; d < kv->head_dim; d++)
            keys[kv_key_index(kv, i, d)] = codes[d];
        const bf16 value_scale = encode(v + (size_t)t * stride, value_dim, kv->codes, codes);
        for (int d = 0; d < value_dim; d++)
            values[kv_value_index(kv, i, d)] = codes[d];
        if (scales) {
            scales[i] = key_scale;
            scales[KV_PAGE_TOKENS + i] = value_scale;
        }
    }
}

static struct kv_expansion expansion_of(const struct kv_view *kv, const char *codes, int dim,
                                        size_t at, const char *ahead, void *out)
{
    return (struct kv_expansion){
        .codes = (const uint8_t *)codes + at,
        .scales = kv->codes == KV_INT8 ? (const bf16 *)(const void *)(kv->scales + at) : NULL,
        .dim = dim,
        .kind = kv->codes,
        .type = kv->type,
        .out = out,
        .ahead = ahead};
}

void kv_expand_keys(const struct kv_view *kv, int32_t page, const char *ahead, kv_expand expand,
                    void *out)
{
    const struct kv_expansion args =
        expansion_of(kv, kv->keys, kv->head_dim, (size_t)page * kv->page_stride, ahead, out);
    expand(&args);
}

void kv_expand_values(const struct kv_view *kv, int32_t page, const char *ahead, kv_expand expand,
                      void *out)
{
    struct kv_expansion args =
        expansion_of(kv, kv->values, kv_value_dim(kv), (size_t)page * kv->page_stride, ahead, out);
    args.of_values = true;
    if (args.scales)
        args.scales += KV_PAGE_TOKENS;
    expand(&args);
}
