// Keys and values kept as bytes: codes are those of docs/numerics.md section 16, the same from
// every level, and attention over them has the bits of attention over a plain cache of the numbers
// that the codes mean, in both orders, whatever is written first.
#include "kernels/kernel_data.h"

#include <math.h>

#include "device/cpu/kv_codes.h"
#include "device/cpu/reference.h"
#ifdef __x86_64__
#include "device/cpu/x86/x86.h"
#endif

enum { PER_HEAD_MAX = 16, PAGES_MAX = 24 };

// ---- numbers, as the text has them and not as the kernels do ----

static float number_of_e4m3(int code)
{
    const int exponent = code >> 3 & 15, fraction = code & 7;
    const float sign = code & 0x80 ? -1 : 1;
    if ((code & 0x7f) == 0x7f)
        return NAN;
    return sign * (exponent ? ldexpf(1 + (float)fraction / 8, exponent - 7)
                            : ldexpf((float)fraction / 8, -6));
}

// By looking for the nearest; of two, the one with the even code.
static int nearest_e4m3(float x)
{
    const int sign = signbit(x) ? 0x80 : 0;
    int best = 0;
    if (isnan(x))
        return sign | 0x7f;
    for (int code = 1; code < 0x7f; code++) {
        const double error = fabs((double)fabsf(x) - (double)number_of_e4m3(code)),
                     least = fabs((double)fabsf(x) - (double)number_of_e4m3(best));
        if (error < least || (error == least && code % 2 == 0))
            best = code;
    }
    return sign | (isinf(x) ? 0x7e : best);
}

// What a token's numbers become in the cache, before they are rounded to the attention's type.
static void numbers_kept(const float *x, int n, enum kv_codes codes, float *out)
{
    float largest = 0;
    bool finite = true;
    for (int i = 0; i < n; i++) {
        largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
        finite = finite && isfinite(x[i]);
    }
    const float scale = float_of_bf16(bf16_of_float(largest / 127));
    for (int i = 0; i < n; i++)
        if (codes == KV_E4M3) {
            uint8_t code; // which is the nearest, as a test shows
            reference_kv_encode(&x[i], 1, KV_E4M3, &code);
            out[i] = number_of_e4m3(code);
        } else if (!finite)
            out[i] = NAN;
        else
            out[i] = scale > 0 ? (float)(int)rintf(x[i] / scale) * scale : 0;
}

// ---- a sequence with two caches ----

struct problem {
    enum compute_type type;
    enum kv_codes codes;
    enum product_order order;
    int head_dim, value_dim, n_heads, position, n_tokens;
    int window; // 0: none
    enum data_kind kind;
    float softcap;
    bool sinks, f32_out;
};

struct cache {
    struct guarded keys, values, scales;
    struct kv_view view;
};

struct world {
    struct problem p;
    int n_positions, n_pages;
    size_t stride, out_item; // floats of a row of k and v
    float *k, *v;
    int32_t pages[PAGES_MAX];
    float sinks[PER_HEAD_MAX];
    struct guarded q, scratch;
    struct cache of_codes, plain;
};

// All three against guard pages, and full of what an earlier sequence left.
static void cache_new(struct cache *cache, const struct world *w, enum kv_codes codes)
{
    const struct problem *p = &w->p;
    const int wider = p->value_dim > p->head_dim ? p->value_dim : p->head_dim;
    const size_t stride = (size_t)(KV_PAGE_TOKENS * wider) * kv_number_bytes(p->type, codes) + 256,
                 before = (size_t)(w->n_pages - 1) * stride,
                 keys = (size_t)(KV_PAGE_TOKENS * p->head_dim) * kv_number_bytes(p->type, codes),
                 values = (size_t)(KV_PAGE_TOKENS * p->value_dim) * kv_number_bytes(p->type, codes);
    cache->keys = guarded_new(before + keys, 4);
    cache->values = guarded_new(before + values, 4);
    cache->scales = guarded_new(before + 2 * KV_PAGE_TOKENS * sizeof(bf16), 4);
    memset(cache->keys.data, 0x7f, before + keys);
    memset(cache->values.data, 0x7f, before + values);
    memset(cache->scales.data, 0x7f, before + 2 * KV_PAGE_TOKENS * sizeof(bf16));
    cache->view = (struct kv_view){.type = p->type,
                                   .codes = codes,
                                   .head_dim = p->head_dim,
                                   .value_dim = p->value_dim,
                                   .keys = cache->keys.data,
                                   .values = cache->values.data,
                                   .scales = cache->scales.data,
                                   .page_stride = stride,
                                   .pages = w->pages};
}

static void cache_free(struct cache *cache)
{
    guarded_free(&cache->keys);
    guarded_free(&cache->values);
    guarded_free(&cache->scales);
}

static size_t q_elements(const struct world *w)
{
    return (size_t)(w->p.n_tokens * w->p.n_heads * w->p.head_dim);
}

static size_t out_elements(const struct world *w)
{
    return (size_t)(w->p.n_tokens * w->p.n_heads * w->p.value_dim);
}

static void world_new(struct world *w, const struct problem *p)
{
    *w = (struct world){.p = *p, .n_positions = p->position + p->n_tokens};
    w->n_pages = (w->n_positions + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    assert_true(w->n_pages <= PAGES_MAX && p->n_heads <= PER_HEAD_MAX);
    for (int i = 0; i < w->n_pages; i++) {
        int k = random_between(0, i);
        w->pages[i] = w->pages[k];
        w->pages[k] = i;
    }
    w->stride = (size_t)(p->head_dim > p->value_dim ? p->head_dim : p->value_dim) + 3;
    const size_t n = (size_t)w->n_positions * w->stride;
    w->k = malloc(n * sizeof *w->k);
    w->v = malloc(n * sizeof *w->v);
    random_values(w->k, n, p->kind);
    random_values(w->v, n, p->kind);
    for (int i = 0; i < p->n_heads; i++)
        w->sinks[i] = random_value(p->kind) * 3;
    float *q = malloc(q_elements(w) * sizeof *q);
    for (size_t i = 0; i < q_elements(w); i++)
        q[i] = random_value(p->kind) * (p->kind == ORDINARY ? 3 : 1);
    w->q = guarded_new(q_elements(w) * (p->type == COMPUTE_BF16 ? 2 : 4), 2);
    reference_round(q, q_elements(w), p->type, w->q.data);
    free(q);
    w->out_item = p->type == COMPUTE_BF16 && !p->f32_out ? 2 : 4;
    w->scratch = guarded_new(ATTENTION_SCRATCH_BYTES, 64);
    cache_new(&w->of_codes, w, p->codes);
    cache_new(&w->plain, w, KV_PLAIN);
}

static void world_free(struct world *w)
{
    cache_free(&w->of_codes);
    cache_free(&w->plain);
    guarded_free(&w->q);
    guarded_free(&w->scratch);
    free(w->k);
    free(w->v);
}

static void fill_plain(struct world *w)
{
    const size_t n = (size_t)w->n_positions * w->stride;
    float *k = calloc(n, sizeof *k), *v = calloc(n, sizeof *v);
    for (int t = 0; t < w->n_positions; t++) {
        const size_t at = (size_t)t * w->stride;
        numbers_kept(w->k + at, w->p.head_dim, w->p.codes, k + at);
        numbers_kept(w->v + at, w->p.value_dim, w->p.codes, v + at);
    }
    reference_kv_write(&w->plain.view, 0, w->n_positions, k, v, w->stride);
    free(k);
    free(v);
}

typedef void (*kv_write)(const struct kv_view *, int64_t, int, const float *, const float *,
                         size_t);

static void fill_codes(struct world *w, kv_write write, int from, int to)
{
    const size_t at = (size_t)from * w->stride;
    write(&w->of_codes.view, from, to - from, w->k + at, w->v + at, w->stride);
}

static void attend(struct world *w, const struct kv_view *kv,
                   void (*attention)(const struct attention *), int from, int to, void *out)
{
    const struct problem *p = &w->p;
    const size_t q_row = (size_t)(p->n_heads * p->head_dim),
                 out_row = (size_t)(p->n_heads * p->value_dim);
    const struct attention args = {
        .kv = *kv,
        .n_heads = p->n_heads,
        .n_tokens = to - from,
        .position = p->position + from,
        .window = p->window,
        .scale = 1.0f / sqrtf((float)p->head_dim),
        .softcap = p->softcap,
        .sinks = p->sinks ? w->sinks : NULL,
        .q = (char *)w->q.data + (size_t)from * q_row * (p->type == COMPUTE_BF16 ? 2 : 4),
        .q_stride = q_row,
        .out_type = p->f32_out ? COMPUTE_F32 : p->type,
        .out = (char *)out + (size_t)from * out_row * w->out_item,
        .out_stride = out_row,
        .scratch = w->scratch.data,
        .order = p->order,
    };
    memset(w->scratch.data, 0xff, ATTENTION_SCRATCH_BYTES); // NaNs
    attention(&args);
}

static void describe(const struct problem *p, const char *kernel, char *text, size_t bytes)
{
    snprintf(text, bytes,
             "%s: %s of %s, order %d, head_dim %d %d heads %d position %d tokens %d window %d data "
             "%d cap %g sinks %d",
             kernel, kv_cache_name(p->type, p->codes), compute_name(p->type), (int)p->order,
             p->head_dim, p->value_dim, p->n_heads, p->position, p->n_tokens, p->window,
             (int)p->kind, (double)p->softcap, p->sinks);
}

static void compare(const struct world *w, const char *kernel, const struct guarded *got,
                    const struct guarded *expected)
{
    char text[300];
    describe(&w->p, kernel, text, sizeof text);
    assert_same(got->data, expected->data, out_elements(w), w->out_item == 2, text);
}

struct kernel {
    const char *name;
    kv_write write;
    void (*attention)(const struct attention *);
};

// Of every level that this machine has, the reference too, and the one with vdpbf16ps, which the
// tables leave out where the instruction is slow.
static int all_kernels(const struct problem *p, struct kernel out[ISA_COUNT + 1])
{
    int n = 0;
    for (int isa = ISA_REFERENCE; isa <= (int)isa_of_machine(); isa++) {
        const struct kernels *kernels = kernels_for((enum isa)isa);
        out[n++] = (struct kernel){isa_name((enum isa)isa), kernels->kv_write, kernels->attention};
    }
#ifdef __x86_64__
    if (isa_of_machine() >= ISA_AVX512BF16 && p->order == ORDER_PAIRS)
        out[n++] = (struct kernel){"vdpbf16ps", kv_write_avx512, attention_avx512bf16};
#endif
    return n;
}

static void check(const struct problem *p)
{
    struct world w;
    struct kernel kernels[ISA_COUNT + 1];
    world_new(&w, p);
    fill_plain(&w);
    struct guarded expected = guarded_new(out_elements(&w) * w.out_item, w.out_item);
    attend(&w, &w.plain.view, reference_attention, 0, p->n_tokens, expected.data);
    const int n = all_kernels(p, kernels);
    for (int i = 0; i < n; i++) {
        struct guarded got = guarded_new(out_elements(&w) * w.out_item, w.out_item);
        fill_codes(&w, kernels[i].write, 0, w.n_positions);
        attend(&w, &w.of_codes.view, kernels[i].attention, 0, p->n_tokens, got.data);
        compare(&w, kernels[i].name, &got, &expected);
        guarded_free(&got);
    }
    guarded_free(&expected);
    world_free(&w);
}

// The cache is filled as the engine does it, in chunks: what comes later must not matter.
static void check_chunks(const struct problem *p, int chunk)
{
    struct kernel kernels[ISA_COUNT + 1];
    const int n = all_kernels(p, kernels);
    for (int i = 0; i < n; i++) {
        struct world w;
        world_new(&w, p);
        fill_codes(&w, kernels[i].write, 0, w.n_positions);
        struct guarded whole = guarded_new(out_elements(&w) * w.out_item, w.out_item),
                       parts = guarded_new(out_elements(&w) * w.out_item, w.out_item);
        attend(&w, &w.of_codes.view, kernels[i].attention, 0, p->n_tokens, whole.data);
        cache_free(&w.of_codes);
        cache_new(&w.of_codes, &w, p->codes);
        if (p->position > 0)
            fill_codes(&w, kernels[i].write, 0, p->position);
        for (int from = 0, to; from < p->n_tokens; from = to) {
            to = from + chunk < p->n_tokens ? from + chunk : p->n_tokens;
            fill_codes(&w, kernels[i].write, p->position + from, p->position + to);
            attend(&w, &w.of_codes.view, kernels[i].attention, from, to, parts.data);
        }
        compare(&w, kernels[i].name, &parts, &whole);
        guarded_free(&whole);
        guarded_free(&parts);
        world_free(&w);
    }
}

static enum kv_codes any_codes(void)
{
    return random_between(0, 1) ? KV_E4M3 : KV_INT8;
}

static enum product_order any_order(enum compute_type type)
{
    return type == COMPUTE_BF16 && random_between(0, 1) ? ORDER_TILES : ORDER_PAIRS;
}

// ---- tests ----

static void every_code(void **state)
{
    (void)state;
    number_mode_set();
    for (int code = 0; code < 256; code++) {
        const float x = number_of_e4m3(code);
        uint8_t codes[2 * KV_PAGE_TOKENS], back;
        float wide[2 * KV_PAGE_TOKENS];
        uint16_t half[2 * KV_PAGE_TOKENS];
        memset(codes, code, sizeof codes);
        struct kv_expansion e = {
            .codes = codes, .dim = 2, .kind = KV_E4M3, .type = COMPUTE_F32, .out = wide};
        reference_kv_expand(&e);
        assert_true(isnan(x) ? isnan(wide[9]) : bits_of_float(x) == bits_of_float(wide[9]));
        if (isnan(x))
            continue;
        reference_kv_encode(&x, 1, KV_E4M3, &back);
        assert_int_equal(back, code);
        e.out = half;
        e.type = COMPUTE_BF16;
        reference_kv_expand(&e);
        assert_true(float_of_bf16(half[127]) == x); // exact
        e.type = COMPUTE_F16;
        reference_kv_expand(&e);
        assert_true(float_of_f16(half[127]) == x);
    }
}

static void codes_are_the_nearest(void **state)
{
    (void)state;
    number_mode_set();
    for (int round = 0; round < rounds(20000); round++) {
        float x = random_value((enum data_kind)(round % DATA_KINDS));
        if (round % 3 == 0) // between two neighbours, often in the middle
            x = (number_of_e4m3(random_between(0, 0x7d)) + number_of_e4m3(random_between(0, 8))) /
                2;
        if (fabsf(x) < 1.2e-38f)
            continue; // denormal: zero
        uint8_t code;
        reference_kv_encode(&x, 1, KV_E4M3, &code);
        assert_int_equal(code, nearest_e4m3(x));
    }
}

static void integers_of_any_row(void **state)
{
    (void)state;
    number_mode_set();
    for (int round = 0; round < rounds(2000); round++) {
        float x[64], kept[64];
        uint8_t codes[64];
        const int n = random_between(1, 64);
        random_values(x, 64, (enum data_kind)(round % DATA_KINDS));
        numbers_kept(x, n, KV_INT8, kept);
        const float scale = float_of_bf16(reference_kv_encode(x, n, KV_INT8, codes));
        for (int i = 0; i < n; i++) {
            const float got = (float)(int8_t)codes[i] * scale;
            assert_true(isnan(kept[i]) ? isnan(got) : got == kept[i]);
            assert_true((int8_t)codes[i] >= -127);
        }
    }
}

static void head_sizes(void **state)
{
    (void)state;
    number_mode_set();
    static const int dims[] = {2,  4,  6,  8,  14,  16,  18,  30,  32,  34,  48,
                               62, 64, 66, 80, 112, 126, 128, 130, 256, 512, KEY_DIM_MAX};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (int type = 0; type < 3; type++)
            for (int codes = KV_E4M3; codes <= KV_INT8; codes++)
                check(&(struct problem){.type = (enum compute_type)type,
                                        .codes = (enum kv_codes)codes,
                                        .order = any_order((enum compute_type)type),
                                        .head_dim = dims[i],
                                        .value_dim = dims[i],
                                        .n_heads = random_between(1, 3),
                                        .position = 100,
                                        .n_tokens = random_between(1, 14)});
}

static void random_shapes(void **state)
{
    (void)state;
    number_mode_set();
    for (int round = 0; round < rounds(150); round++) {
        const enum compute_type type = (enum compute_type)random_between(0, 2);
        check(&(struct problem){.type = type,
                                .codes = any_codes(),
                                .order = any_order(type),
                                .head_dim = 2 * random_between(1, 64),
                                .value_dim = 2 * random_between(1, 64),
                                .n_heads = random_between(1, 12),
                                .position = random_between(0, 900),
                                .n_tokens = random_between(1, 40),
                                .window = random_between(0, 1) * random_between(1, 300),
                                .softcap = random_between(0, 2) ? 0 : 30,
                                .sinks = random_between(0, 1),
                                .f32_out = random_between(0, 3) == 0});
    }
}

static void extreme_data(void **state)
{
    (void)state;
    number_mode_set();
    for (int round = 0; round < rounds(18); round++)
        for (int kind = 0; kind < DATA_KINDS; kind++) {
            const enum compute_type type = (enum compute_type)(round % 3);
            check(&(struct problem){.type = type,
                                    .codes = any_codes(),
                                    .order = any_order(type),
                                    .head_dim = 2 * random_between(1, 40),
                                    .value_dim = 2 * random_between(1, 40),
                                    .n_heads = random_between(1, 4),
                                    .position = random_between(0, 300),
                                    .n_tokens = random_between(1, 20),
                                    .kind = (enum data_kind)kind});
        }
}

static void chunks_do_not_matter(void **state)
{
    (void)state;
    number_mode_set();
    static const int chunks[] = {1, 3, 7, 33, 64, 101, 200};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
        for (int type = 0; type < 3; type++)
            for (int codes = KV_E4M3; codes <= KV_INT8; codes++)
                check_chunks(&(struct problem){.type = (enum compute_type)type,
                                               .codes = (enum kv_codes)codes,
                                               .order = any_order((enum compute_type)type),
                                               .head_dim = 24,
                                               .value_dim = i % 2 ? 24 : 18,
                                               .n_heads = 3,
                                               .position = i % 2 ? 130 : 0,
                                               .n_tokens = 150,
                                               .window = i % 3 ? 0 : 90,
                                               .kind = i % 2 ? SMALL : ORDINARY},
                             chunks[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code),           cmocka_unit_test(codes_are_the_nearest),
        cmocka_unit_test(integers_of_any_row),  cmocka_unit_test(head_sizes),
        cmocka_unit_test(random_shapes),        cmocka_unit_test(extreme_data),
        cmocka_unit_test(chunks_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
