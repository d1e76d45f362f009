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

enum { SCALES_STEP = 16 };

// Positions whose numbers lie in turn: pairs of a key's own, pairs of two positions' values.
static int numbers_in_turn(const struct kv_view *kv)
{
    return kv->type == COMPUTE_BF16 ? 2 : 1;
}

static const bf16 *scales_of_page(const struct kv_view *kv, size_t at, int first)
{
    return (const bf16 *)(const void *)(kv->scales + at) + first;
}

void kv_expand_keys(const struct kv_view *kv, int32_t page, const char *ahead, kv_expand expand,
                    void *out)
{
    const size_t at = (size_t)page * kv->page_stride, each = (size_t)numbers_in_turn(kv);
    _Alignas(64) float scales[2 * KV_PAGE_TOKENS];
    struct kv_expansion args = {.codes = (const uint8_t *)kv->keys + at,
                                .n = (size_t)(KV_PAGE_TOKENS * kv->head_dim),
                                .scales = scales,
                                .period = KV_PAGE_TOKENS * each,
                                .kind = kv->codes,
                                .type = kv->type,
                                .out = out,
                                .ahead = ahead};
    if (kv->codes == KV_INT8) {
        const bf16 *own = scales_of_page(kv, at, 0);
        for (size_t j = 0; j < KV_PAGE_TOKENS; j++)
            scales[each * j] = scales[each * j + each - 1] = float_of_bf16(own[j]);
    }
    expand(&args);
}

void kv_expand_values(const struct kv_view *kv, int32_t page, const char *ahead, kv_expand expand,
                      void *out)
{
    const size_t at = (size_t)page * kv->page_stride, each = (size_t)numbers_in_turn(kv),
                 row = each * (size_t)kv_value_dim(kv),
                 item = kv->type == COMPUTE_F32 ? sizeof(float) : sizeof(uint16_t);
    _Alignas(64) float scales[SCALES_STEP];
    struct kv_expansion args = {.codes = (const uint8_t *)kv->values + at,
                                .n = (size_t)(KV_PAGE_TOKENS * kv_value_dim(kv)),
                                .scales = scales,
                                .period = SCALES_STEP,
                                .kind = kv->codes,
                                .type = kv->type,
                                .out = out,
                                .ahead = ahead};
    if (kv->codes != KV_INT8) {
        expand(&args);
        return;
    }
    const bf16 *own = scales_of_page(kv, at, KV_PAGE_TOKENS);
    args.n = row;
    for (size_t j = 0; j < KV_PAGE_TOKENS; j += each) {
        for (size_t i = 0; i < SCALES_STEP; i++)
            scales[i] = float_of_bf16(own[j + i % each]);
        expand(&args);
        args.codes += row;
        args.out = (char *)args.out + row * item;
        args.ahead = args.ahead ? args.ahead + row : NULL;
    }
}
