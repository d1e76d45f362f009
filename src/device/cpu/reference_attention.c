#include <assert.h>
#include <math.h>

#include "device/cpu/kv_codes.h"
#include "device/cpu/lanes.h"
#include "device/cpu/reference.h"

enum { GROUP_TOKENS = KV_PAGE_TOKENS * KV_GROUP_PAGES };

struct softmax { // of one query, over the positions seen so far
    float m, l;
    float o[KEY_DIM_MAX];
};

static float load(const void *page, size_t i, enum compute_type type)
{
    switch (type) {
    case COMPUTE_BF16:
        return float_of_bf16(((const bf16 *)page)[i]);
    case COMPUTE_F16:
        return float_of_f16(((const f16 *)page)[i]);
    case COMPUTE_F32:
        return ((const float *)page)[i];
    }
    return 0;
}

static float key(const struct kv_view *kv, const void *page, int j, int d)
{
    int i = kv->type == COMPUTE_BF16 ? (d / 2 * KV_PAGE_TOKENS + j) * 2 + d % 2
                                     : d * KV_PAGE_TOKENS + j;
    return load(page, (size_t)i, kv->type);
}

static float value(const struct kv_view *kv, const void *page, int j, int d)
{
    const int n = kv_value_dim(kv),
              i = kv->type == COMPUTE_BF16 ? (j / 2 * n + d) * 2 + j % 2 : j * n + d;
    return kv->values ? load(page, (size_t)i, kv->type) : key(kv, page, j, d);
}

static float rounded(float x, enum compute_type type)
{
    if (type == COMPUTE_BF16)
        return float_of_bf16(bf16_of_float(x));
    return type == COMPUTE_F16 ? float_of_f16(f16_of_float(x)) : x;
}

struct query {
    float q[KEY_DIM_MAX];
    int head;
};

static float product_of_tiles(const struct attention *args, const void *keys, const float *q, int j)
{
    float s = 0, k[TILE_BLOCK];
    for (int d = 0; d < args->kv.head_dim; d += TILE_BLOCK) {
        int n = args->kv.head_dim - d < TILE_BLOCK ? args->kv.head_dim - d : TILE_BLOCK;
        for (int i = 0; i < n; i++)
            k[i] = key(&args->kv, keys, j, d + i);
        s = reference_tile_block(q + d, k, n, s);
    }
    return s;
}

static float add_values_of_tiles(const struct attention *args, const void *values, const float *p,
                                 int d, float o)
{
    float v[KV_PAGE_TOKENS];
    for (int j = 0; j < KV_PAGE_TOKENS; j++)
        v[j] = value(&args->kv, values, j, d);
    for (int j = 0; j < KV_PAGE_TOKENS; j += TILE_BLOCK)
        o = reference_tile_block(p + j, v + j, TILE_BLOCK, o);
    return o;
}

static float product(const struct attention *args, const void *keys, const float *q, int j)
{
    float s = 0;
    if (args->order == ORDER_TILES)
        return product_of_tiles(args, keys, q, j);
    for (int d = 0; d < args->kv.head_dim; d += 2) {
        s = fmaf(q[d + 1], key(&args->kv, keys, j, d + 1), s);
        s = fmaf(q[d], key(&args->kv, keys, j, d), s);
    }
    return s;
}

// `position`: of the page's first key.
static float score(const struct attention *args, const void *keys, int64_t position, int j,
                   const struct query *query)
{
    float s = product(args, keys, query->q, j) * args->scale;
    if (args->softcap != 0)
        reference_softcap(&s, args->softcap, 1);
    return args->slopes ? fmaf(args->slopes[query->head], (float)(position + j), s) : s;
}

static float sum_of_page(const float p[KV_PAGE_TOKENS])
{
    float lanes[LANES];
    for (int i = 0; i < LANES; i++)
        lanes[i] = (p[i] + p[16 + i]) + (p[32 + i] + p[48 + i]);
    return fold_lanes(lanes);
}

// Positions [first, last) of the page are visible. The group's first page has state.m = -inf, l = o
// = +0.
static void add_page(const struct attention *args, int64_t page, int first, int last,
                     const struct query *q, bool is_first, struct softmax *state)
{
    const size_t at = (size_t)args->kv.pages[page] * args->kv.page_stride;
    const char *keys = args->kv.keys + at, *values = args->kv.values ? args->kv.values + at : keys;
    if (args->kv.codes != KV_PLAIN) { // a page as a plain cache would have it
        char *numbers = args->scratch;
        kv_expand_keys(&args->kv, args->kv.pages[page], NULL, reference_kv_expand, numbers);
        keys = numbers;
        numbers += KV_PAGE_TOKENS * KEY_DIM_MAX * sizeof(float);
        kv_expand_values(&args->kv, args->kv.pages[page], NULL, reference_kv_expand, numbers);
        values = numbers;
    }
    float p[KV_PAGE_TOKENS] = {0}, m = state->m;
    for (int j = first; j < last; j++) {
        p[j] = score(args, keys, page * KV_PAGE_TOKENS, j, q);
        if (p[j] > m)
            m = p[j];
    }
    float c = is_first ? 0.0f : number_exp(state->m - m);
    for (int j = first; j < last; j++)
        p[j] = number_exp(p[j] - m);
    state->l = fmaf(state->l, c, sum_of_page(p));
    for (int j = 0; j < KV_PAGE_TOKENS; j++)
        p[j] = rounded(p[j], args->kv.type);
    for (int d = 0; d < kv_value_dim(&args->kv); d++) {
        float o = state->o[d] * c;
        if (args->order == ORDER_TILES) {
            state->o[d] = add_values_of_tiles(args, values, p, d, o);
            continue;
        }
        for (int j = 0; j < KV_PAGE_TOKENS; j += 2) {
            o = fmaf(p[j + 1], value(&args->kv, values, j + 1, d), o);
            o = fmaf(p[j], value(&args->kv, values, j, d), o);
        }
        state->o[d] = o;
    }
    state->m = m;
}

// Positions [first, last) of the sequence, all in one group of pages.
static void add_group(const struct attention *args, int64_t first, int64_t last,
                      const struct query *q, struct softmax *state)
{
    *state = (struct softmax){.m = -INFINITY};
    for (int64_t page = first / KV_PAGE_TOKENS; page * KV_PAGE_TOKENS < last; page++) {
        int64_t begin = page * KV_PAGE_TOKENS, end = begin + KV_PAGE_TOKENS;
        int from = first > begin ? (int)(first - begin) : 0;
        int to = last < end ? (int)(last - begin) : KV_PAGE_TOKENS;
        add_page(args, page, from, to, q, begin <= first, state);
    }
}

static void merge(struct softmax *all, const struct softmax *group, int value_dim)
{
    float m = group->m > all->m ? group->m : all->m;
    float a = number_exp(all->m - m), b = number_exp(group->m - m);
    all->l = fmaf(all->l, a, group->l * b);
    for (int d = 0; d < value_dim; d++)
        all->o[d] = fmaf(all->o[d], a, group->o[d] * b);
    all->m = m;
}

static void store_sums(const struct softmax *all, int value_dim, float *out)
{
    out[0] = all->m;
    out[1] = all->l;
    for (int d = 0; d < value_dim; d++)
        out[2 + d] = all->o[d];
}

static void attend(const struct attention *args, int64_t t, const struct query *q, size_t out_index,
                   size_t sums_index)
{
    struct softmax all, group;
    int64_t first = args->window > 0 && t >= args->window ? t - args->window + 1 : 0;
    if (args->chunk > 0 && t / args->chunk * args->chunk > first)
        first = t / args->chunk * args->chunk;
    bool is_first = true;
    for (int64_t begin = first; begin <= t;) {
        int64_t end = (begin / GROUP_TOKENS + 1) * GROUP_TOKENS;
        end = end < t + 1 ? end : t + 1;
        add_group(args, begin, end, q, is_first ? &all : &group);
        if (!is_first)
            merge(&all, &group, kv_value_dim(&args->kv));
        is_first = false;
        begin = end;
    }
    assert(!is_first);
    if (args->sums) {
        store_sums(&all, kv_value_dim(&args->kv), args->sums + sums_index);
        return;
    }
    if (args->sinks)
        all.l += number_exp(args->sinks[q->head] - all.m);
    float r = 1.0f / all.l;
    for (int d = 0; d < kv_value_dim(&args->kv); d++)
        store_rounded(args->out, out_index + (size_t)d, all.o[d] * r + 0.0f, args->out_type);
}

static void load_query(const struct attention *args, size_t at, float *q)
{
    for (int d = 0; d < args->kv.head_dim; d++)
        q[d] = args->kv.type == COMPUTE_BF16
                   ? float_of_bf16(((const bf16 *)args->q)[at + (size_t)d])
                   : ((const float *)args->q)[at + (size_t)d];
}

void reference_index_scores(const struct index_scoring *args)
{
    const struct attention products = {.kv = args->kv, .q = args->q, .order = args->order};
    float q[KEY_DIM_MAX];
    for (int64_t page = args->page_begin; page < args->page_end; page++) {
        const char *keys = args->kv.keys + (size_t)args->kv.pages[page] * args->kv.page_stride;
        float *out = args->out + page * KV_PAGE_TOKENS;
        for (int h = 0; h < args->n_heads; h++) {
            load_query(&products, (size_t)h * (size_t)args->kv.head_dim, q);
            for (int j = 0; j < KV_PAGE_TOKENS; j++) {
                const float p = product(&products, keys, q, j);
                out[j] = fmaf(args->weights[h], p > 0 ? p : 0, h ? out[j] : 0);
            }
        }
    }
}

void reference_attention(const struct attention *args)
{
    const int head_dim = args->kv.head_dim;
    const size_t sums = attention_sums_width(kv_value_dim(&args->kv));
    assert(args->order == ORDER_PAIRS || args->kv.type == COMPUTE_BF16);
    assert(args->out_type == args->kv.type || args->out_type == COMPUTE_F32 ||
           args->kv.type == COMPUTE_F32);
    for (int i = 0; i < args->n_tokens; i++)
        for (int h = 0; h < args->n_heads; h++) {
            struct query q = {.head = h};
            load_query(args, (size_t)i * args->q_stride + (size_t)(h * head_dim), q.q);
            attend(args, args->position + i, &q,
                   (size_t)i * args->out_stride + (size_t)(h * kv_value_dim(&args->kv)),
                   (size_t)i * args->sums_stride + (size_t)h * sums);
        }
}
