// Writing keys and values into their pages, for kernels that bring a fast conversion of a row. The
// layouts are those of struct kv_view; one token's keys are a column of its page.
#ifndef COLROW_DEVICE_CPU_KV_ROWS_H
#define COLROW_DEVICE_CPU_KV_ROWS_H

#include "device/kernels.h"

// Converts n numbers to the cache's type.
typedef void (*kv_convert)(const float *x, int n, enum compute_type type, void *out);

union kv_row { // a token's keys or values in the cache's type
    uint16_t halves[KEY_DIM_MAX];
    uint32_t words[KEY_DIM_MAX]; // f32; of bf16, pairs
};

static inline void kv_write_key(void *page, int i, int head_dim, const union kv_row *row,
                                enum compute_type type)
{
    uint32_t *words = (uint32_t *)page + i;
    uint16_t *halves = (uint16_t *)page + i;
    if (type == COMPUTE_F16)
        for (int d = 0; d < head_dim; d++)
            halves[d * KV_PAGE_TOKENS] = row->halves[d];
    else
        for (int d = 0; d < (type == COMPUTE_BF16 ? head_dim / 2 : head_dim); d++)
            words[d * KV_PAGE_TOKENS] = row->words[d];
}

static inline void kv_write_value(void *page, int i, int value_dim, const union kv_row *row,
                                  enum compute_type type)
{
    uint16_t *halves = (uint16_t *)page + i / 2 * 2 * value_dim + i % 2;
    if (type == COMPUTE_BF16)
        for (int d = 0; d < value_dim; d++)
            halves[2 * d] = row->halves[d];
    else if (type == COMPUTE_F16)
        memcpy((uint16_t *)page + i * value_dim, row->halves, (size_t)value_dim * 2);
    else
        memcpy((uint32_t *)page + i * value_dim, row->words, (size_t)value_dim * 4);
}

// Two tokens of bf16, the first at an even position: whole words.
static inline void kv_write_value_pair(void *page, int i, int value_dim, const union kv_row *even,
                                       const union kv_row *odd)
{
    uint32_t *words = (uint32_t *)page + i / 2 * value_dim;
    for (int d = 0; d < value_dim; d++)
        words[d] = even->halves[d] | (uint32_t)odd->halves[d] << 16;
}

static inline void kv_write_values(const struct kv_view *kv, void *page, int i, int n_tokens,
                                   const float *v, size_t stride, kv_convert convert)
{
    union kv_row rows[2];
    for (int s = 0; s < n_tokens; s++)
        convert(v + (size_t)s * stride, kv_value_dim(kv), kv->type, &rows[s]);
    if (n_tokens == 2)
        kv_write_value_pair(page, i, kv_value_dim(kv), &rows[0], &rows[1]);
    else
        kv_write_value(page, i, kv_value_dim(kv), &rows[0], kv->type);
}

static inline void kv_write_rows(const struct kv_view *kv, int64_t position, int n_tokens,
                                 const float *k, const float *v, size_t stride, kv_convert convert)
{
    for (int t = 0, step; t < n_tokens; t += step) {
        size_t offset = (size_t)kv->pages[(position + t) / KV_PAGE_TOKENS] * kv->page_stride;
        int i = (int)((position + t) % KV_PAGE_TOKENS);
        char *keys = kv->keys + offset, *values = kv->values ? kv->values + offset : NULL;
        if (i == 0) // attention multiplies all 64 positions, and what was left could be infinite
            memset(values ? values : keys, 0,
                   (size_t)(KV_PAGE_TOKENS * kv_value_dim(kv)) * compute_bytes(kv->type));
        step = kv->type == COMPUTE_BF16 && i % 2 == 0 && t + 1 < n_tokens ? 2 : 1;
        for (int s = 0; s < step; s++) {
            union kv_row row;
            convert(k + (size_t)(t + s) * stride, kv->head_dim, kv->type, &row);
            kv_write_key(keys, i + s, kv->head_dim, &row, kv->type);
        }
        if (values)
            kv_write_values(kv, values, i, step, v + (size_t)t * stride, stride, convert);
    }
}

#endif
