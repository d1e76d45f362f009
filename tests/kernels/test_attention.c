// Attention: every level gives the reference's bits over head sizes, group sizes, positions at the
// edges of pages and groups, windows and extreme data; the same queries in one call, one by one or
// in odd chunks give the same bits.
#include "kernels/kernel_data.h"

#include <math.h>

#include "device/cpu/reference.h"
#ifdef __x86_64__
#include "device/cpu/x86/x86.h"
#endif

enum { PER_HEAD_MAX = 400 };

struct problem {
    enum compute_type type;
    bool f32_cache; // keys, values and queries in f32, whatever `type` is
    bool f32_out;   // the output in f32
    int head_dim, n_heads;
    int64_t position, window;
    int value_dim; // 0: head_dim
    bool of_keys;  // values are the first numbers of keys
    int64_t chunk; // 0: none
    int n_tokens;
    enum data_kind kind;
    float softcap;      // 0: none
    bool sinks, slopes; // of each head
};

struct world { // a sequence: its inputs, and its cache with pages in random order, all against
               // guard pages
    struct problem p;
    int n_positions, n_pages;
    size_t row, out_element; // floats of a query's row, bytes of an output element
    float *k, *v;            // [n_positions][width]
    int32_t pages[64];
    float per_head[2][PER_HEAD_MAX]; // sinks, slopes
    int head;                        // the first one
    struct guarded keys, values, q, scratch;
    struct kv_view view;
};

// Of a row's place for a head: the wider of keys and values.
static int width_of(const struct problem *p)
{
    return p->value_dim > p->head_dim ? p->value_dim : p->head_dim;
}

static enum compute_type cache_type(const struct world *w)
{
    return w->p.f32_cache ? COMPUTE_F32 : w->p.type;
}

static size_t q_bytes(const struct world *w, size_t elements)
{
    return elements * (cache_type(w) == COMPUTE_BF16 ? 2 : 4);
}

static size_t query_elements(const struct world *w) // the last row has no gap after it
{
    return (size_t)(w->p.n_tokens - 1) * w->row + (size_t)(w->p.n_heads * width_of(&w->p));
}

static void cache_new(struct world *w)
{
    size_t page_bytes = (size_t)(KV_PAGE_TOKENS * width_of(&w->p)) * compute_bytes(cache_type(w));
    w->keys = guarded_new((size_t)w->n_pages * page_bytes, 4);
    w->values = guarded_new((size_t)w->n_pages * page_bytes, 4);
    w->view = (struct kv_view){.type = cache_type(w),
                               .head_dim = w->p.head_dim,
                               .value_dim = w->p.value_dim,
                               .keys = w->keys.data,
                               .values = w->p.of_keys ? NULL : w->values.data,
                               .page_stride = page_bytes,
                               .pages = w->pages};
    // What an earlier sequence left: kv_write() clears the values, keys of unwritten positions
    // stay.
    memset(w->keys.data, 0x7f, (size_t)w->n_pages * page_bytes);
    memset(w->values.data, 0x7f, (size_t)w->n_pages * page_bytes);
}

static void cache_free(struct world *w)
{
    guarded_free(&w->keys);
    guarded_free(&w->values);
}

static void cache_fill(struct world *w, int64_t from, int64_t to)
{
    const size_t width = (size_t)width_of(&w->p), at = (size_t)from * width;
    reference_kv_write(&w->view, from, (int)(to - from), w->k + at, w->v + at, width);
}

static void world_new(struct world *w, const struct problem *p)
{
    *w = (struct world){.p = *p};
    w->n_positions = (int)p->position + p->n_tokens;
    w->n_pages = (w->n_positions + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    assert_true(w->n_pages <= 64);
    for (int i = 0; i < w->n_pages; i++) {
        int k = random_between(0, i);
        w->pages[i] = w->pages[k];
        w->pages[k] = i;
    }
    size_t n = (size_t)(w->n_positions * width_of(p));
    w->k = malloc(n * sizeof *w->k);
    w->v = malloc(n * sizeof *w->v);
    random_values(w->k, n, p->kind);
    random_values(w->v, n, p->kind);
    assert_true(p->n_heads <= PER_HEAD_MAX);
    for (int i = 0; i < p->n_heads; i++) {
        w->per_head[0][i] = random_value(p->kind) * 3;
        w->per_head[1][i] = random_value(p->kind) * (p->kind == ORDINARY ? 0.1f : 1);
    }
    w->row = (size_t)(p->n_heads * width_of(p)) + (size_t)random_between(0, 3) * 5;
    w->out_element = p->type == COMPUTE_BF16 && !p->f32_out ? 2 : 4;
    size_t elements = query_elements(w);
    float *q = malloc(elements * sizeof *q);
    for (size_t i = 0; i < elements; i++)
        q[i] = random_value(p->kind) * (p->kind == ORDINARY ? 3 : 1);
    w->q = guarded_new(q_bytes(w, elements), 2);
    reference_round(q, elements, cache_type(w), w->q.data);
    free(q);
    w->scratch = guarded_new(ATTENTION_SCRATCH_BYTES, 64);
    memset(w->scratch.data, 0xff, ATTENTION_SCRATCH_BYTES); // NaNs
    cache_new(w);
}

static void world_free(struct world *w)
{
    cache_free(w);
    guarded_free(&w->q);
    guarded_free(&w->scratch);
    free(w->k);
    free(w->v);
}

// Queries [from, to) of the problem into their rows of `out`.
static void attend(struct world *w, void (*attention)(const struct attention *), int from, int to,
                   void *out)
{
    struct attention args = {.kv = w->view,
                             .n_heads = w->p.n_heads,
                             .n_tokens = to - from,
                             .position = w->p.position + from,
                             .window = w->p.window,
                             .chunk = w->p.chunk,
                             .softcap = w->p.softcap,
                             .sinks = w->p.sinks ? w->per_head[0] + w->head : NULL,
                             .slopes = w->p.slopes ? w->per_head[1] + w->head : NULL,
                             .scale = 1.0f / sqrtf((float)w->p.head_dim),
                             .q = (char *)w->q.data + q_bytes(w, (size_t)from * w->row),
                             .q_stride = w->row,
                             .out_type = w->p.f32_out ? COMPUTE_F32 : w->p.type,
                             .out = (char *)out + (size_t)from * w->row * w->out_element,
                             .out_stride = w->row,
                             .scratch = w->scratch.data};
    attention(&args);
}

static struct guarded out_new(const struct world *w)
{
    struct guarded out = guarded_new(query_elements(w) * w->out_element, w->out_element);
    memset(out.data, 0x5a, query_elements(w) * w->out_element); // the gaps between rows stay so
    return out;
}

static void describe(const struct problem *p, const char *kernel, char *text, size_t bytes)
{
    snprintf(text, bytes,
             "%s: %s%s head_dim %d heads %d position %d tokens %d window %d data %d cap %g sinks "
             "%d slopes %d",
             kernel, compute_name(p->type), p->f32_cache ? " over f32" : "", p->head_dim,
             p->n_heads, (int)p->position, p->n_tokens, (int)p->window, (int)p->kind,
             (double)p->softcap, p->sinks, p->slopes);
}

// The kernels to test: of every level that this machine has, and the one with vdpbf16ps, which the
// tables leave out where the instruction is slow.
struct kernel {
    const char *name;
    void (*attention)(const struct attention *);
};

static int all_kernels(struct kernel out[ISA_COUNT + 1])
{
    int n = 0;
    for (int isa = ISA_REFERENCE + 1; isa <= (int)isa_of_machine(); isa++) {
        struct kernel kernel = {isa_name((enum isa)isa), kernels_for((enum isa)isa)->attention};
        if (n == 0 || kernel.attention != out[n - 1].attention)
            out[n++] = kernel;
    }
#ifdef __x86_64__
    if (isa_of_machine() >= ISA_AVX512BF16)
        out[n++] = (struct kernel){"vdpbf16ps", attention_avx512bf16};
#endif
    return n;
}

static void check(const struct problem *p)
{
    struct world w;
    world_new(&w, p);
    cache_fill(&w, 0, w.n_positions);
    struct guarded expected = out_new(&w);
    attend(&w, reference_attention, 0, p->n_tokens, expected.data);
    struct kernel kernels[ISA_COUNT + 1];
    int n_kernels = all_kernels(kernels);
    for (int i = 0; i < n_kernels; i++) {
        struct guarded got = out_new(&w);
        attend(&w, kernels[i].attention, 0, p->n_tokens, got.data);
        char text[240];
        describe(p, kernels[i].name, text, sizeof text);
        assert_same(got.data, expected.data, query_elements(&w), w.out_element == 2, text);
        guarded_free(&got);
    }
    guarded_free(&expected);
    world_free(&w);
}

static void head_sizes(void **state)
{
    (void)state;
    number_mode_set();
    static const int dims[] = {2,  4,  6,  8,  10, 14,  16,  18,  24,  30,  32,  34, 48,
                               62, 64, 66, 80, 96, 112, 126, 128, 130, 256, 510, 512};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (int type = 0; type < 3; type++)
            for (int n_tokens = 1; n_tokens <= 23; n_tokens += 11)
                check(&(struct problem){.type = (enum compute_type)type,
                                        .f32_cache = n_tokens == 12 && i % 2 == 0,
                                        .head_dim = dims[i],
                                        .n_heads = 1 + n_tokens % 3,
                                        .position = 100,
                                        .n_tokens = n_tokens});
}

static void group_sizes(void **state)
{
    (void)state;
    number_mode_set();
    for (int n_heads = 1; n_heads <= 64; n_heads += n_heads < 18 ? 1 : 23)
        for (int i = 0, n_tokens = 1; n_tokens <= 40; i++, n_tokens = n_tokens * 3 + 1)
            check(&(struct problem){.type = (enum compute_type)((i + n_heads) % 3),
                                    .head_dim = n_heads < 18 ? 32 : 16,
                                    .n_heads = n_heads,
                                    .position = 60,
                                    .n_tokens = n_tokens});
}

// More query heads on one KV head than a tile has rows; large heads leave it fewer.
static void more_heads_than_rows(void **state)
{
    (void)state;
    number_mode_set();
    static const int cases[][2] = {{193, 16}, {400, 2}, {130, 512}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int type = COMPUTE_BF16; type <= COMPUTE_F32; type++)
            check(&(struct problem){.type = (enum compute_type)type,
                                    .head_dim = cases[i][1],
                                    .n_heads = cases[i][0],
                                    .position = 62,
                                    .n_tokens = 3});
}

static void positions_at_edges(void **state)
{
    (void)state;
    number_mode_set();
    static const int positions[] = {0,   1,   2,   62,  63,  64,   65,   127,  128, 510,
                                    511, 512, 513, 575, 576, 1023, 1024, 1025, 1600};
    static const int counts[] = {1, 2, 3, 16, 65, 130};
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++)
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
            check(&(struct problem){.type = (enum compute_type)((i + k) % 3),
                                    .head_dim = 16,
                                    .n_heads = 2,
                                    .position = positions[i],
                                    .n_tokens = counts[k]});
}

static void sliding_windows(void **state)
{
    (void)state;
    number_mode_set();
    static const int windows[] = {1, 2, 3, 17, 63, 64, 65, 100, 128, 511, 512, 513, 700, 5000};
    static const int positions[] = {0, 63, 64, 500, 1100};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        for (size_t k = 0; k < sizeof positions / sizeof *positions; k++)
            for (int n_tokens = 1; n_tokens <= 200; n_tokens = n_tokens * 14 + 3)
                check(&(struct problem){.type = (enum compute_type)((i + k) % 3),
                                        .head_dim = 16,
                                        .n_heads = 1,
                                        .position = positions[k],
                                        .n_tokens = n_tokens,
                                        .window = windows[i]});
}

// Keys of the same block alone.
static void chunks_of_positions(void **state)
{
    (void)state;
    number_mode_set();
    static const int chunks[] = {1, 2, 17, 63, 64, 65, 128, 500, 512, 513, 5000};
    static const int positions[] = {0, 63, 64, 500, 1100};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
        for (size_t k = 0; k < sizeof positions / sizeof *positions; k++)
            for (int n_tokens = 1; n_tokens <= 200; n_tokens = n_tokens * 14 + 3)
                check(&(struct problem){.type = (enum compute_type)((i + k) % 3),
                                        .head_dim = 16,
                                        .n_heads = 2,
                                        .position = positions[k],
                                        .n_tokens = n_tokens,
                                        .chunk = chunks[i]});
}

// Values narrower than keys, and wider.
static void widths_of_values(void **state)
{
    (void)state;
    number_mode_set();
    static const int widths[][2] = {{24, 16}, {16, 24}, {2, 64},    {64, 2},    {192, 128},
                                    {34, 18}, {18, 34}, {510, 512}, {128, 512}, {512, 128}};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
        for (int type = 0; type < 3; type++)
            for (int n_tokens = 1; n_tokens <= 45; n_tokens += 22)
                check(&(struct problem){.type = (enum compute_type)type,
                                        .f32_cache = n_tokens == 23 && i % 2 == 0,
                                        .head_dim = widths[i][0],
                                        .value_dim = widths[i][1],
                                        .n_heads = 1 + n_tokens % 3,
                                        .position = 100,
                                        .n_tokens = n_tokens,
                                        .sinks = i % 3 == 0});
}

static void extreme_data(void **state)
{
    (void)state;
    number_mode_set();
    for (int round = 0; round < rounds(40); round++)
        for (int kind = 0; kind < DATA_KINDS; kind++)
            for (int type = 0; type < 5; type++) // three types, two of them over f32
                check(&(struct problem){.type = (enum compute_type)(type % 3),
                                        .f32_cache = type >= 3,
                                        .head_dim = 2 * random_between(1, 40),
                                        .n_heads = random_between(1, 4),
                                        .position = random_between(0, 600),
                                        .n_tokens = random_between(1, 20),
                                        .window = random_between(0, 1) * random_between(1, 300),
                                        .kind = (enum data_kind)kind});
}

static void random_shapes(void **state)
{
    (void)state;
    number_mode_set();
    for (int round = 0; round < rounds(150); round++)
        check(&(struct problem){.type = (enum compute_type)random_between(0, 2),
                                .f32_cache = random_between(0, 2) == 0,
                                .f32_out = random_between(0, 2) == 0,
                                .head_dim = 2 * random_between(1, 64),
                                .n_heads = random_between(1, 12),
                                .position = random_between(0, 300),
                                .n_tokens = random_between(1, 50),
                                .value_dim = random_between(0, 1) * 2 * random_between(1, 64),
                                .window = random_between(0, 1) * random_between(1, 300),
                                .chunk = random_between(0, 2) ? 0 : random_between(1, 300)});
}

// Values that are the keys' own first numbers: a latent, with a key behind it that the rope turns.
static struct problem random_latents(int type, enum data_kind kind)
{
    struct problem p = {.type = (enum compute_type)(type % 3),
                        .f32_cache = type >= 3,
                        .head_dim = 2 * random_between(1, 50),
                        .of_keys = true,
                        .n_heads = random_between(1, 24),
                        .position = random_between(0, 1) * random_between(1, 1200),
                        .n_tokens = random_between(1, 30),
                        .window = random_between(0, 3) ? 0 : random_between(1, 300),
                        .kind = kind};
    p.value_dim = 2 * random_between(1, p.head_dim / 2);
    return p;
}

static void latents(void **state)
{
    (void)state;
    number_mode_set();
    for (int round = 0; round < rounds(20); round++)
        for (int kind = 0; kind < DATA_KINDS; kind++)
            for (int type = 0; type < 5; type++) {
                struct problem p = random_latents(type, (enum data_kind)kind);
                check(&p);
            }
    for (int type = 0; type < 5; type++) // DeepSeek's, and the largest
        for (int large = 0; large < 2; large++)
            check(&(struct problem){.type = (enum compute_type)(type % 3),
                                    .f32_cache = type >= 3,
                                    .head_dim = large ? KEY_DIM_MAX : 576,
                                    .value_dim = large ? KEY_DIM_MAX : 512,
                                    .of_keys = true,
                                    .n_heads = 18,
                                    .position = 120,
                                    .n_tokens = 9});
}

// The cache is filled chunk by chunk, as the engine does it: what is not written yet must not
// matter.
static void check_chunks_of(const struct kernel *kernel, const struct problem *p, int chunk)
{
    struct world w;
    world_new(&w, p);
    cache_fill(&w, 0, w.n_positions);
    struct guarded whole = out_new(&w), parts = out_new(&w);
    attend(&w, kernel->attention, 0, p->n_tokens, whole.data);
    cache_free(&w);
    cache_new(&w);
    if (p->position > 0)
        cache_fill(&w, 0, p->position);
    for (int from = 0; from < p->n_tokens; from += chunk) {
        int to = from + chunk < p->n_tokens ? from + chunk : p->n_tokens;
        cache_fill(&w, p->position + from, p->position + to);
        attend(&w, kernel->attention, from, to, parts.data);
    }
    char text[240];
    describe(p, kernel->name, text, sizeof text);
    assert_same(parts.data, whole.data, query_elements(&w), w.out_element == 2, text);
    guarded_free(&whole);
    guarded_free(&parts);
    world_free(&w);
}

static void check_chunks(const struct problem *p, int chunk)
{
    struct kernel kernels[ISA_COUNT + 1];
    int n_kernels = all_kernels(kernels);
    for (int i = 0; i < n_kernels; i++)
        check_chunks_of(&kernels[i], p, chunk);
}

static void chunks_do_not_matter(void **state)
{
    (void)state;
    number_mode_set();
    static const int chunks[] = {1, 3, 7, 33, 64, 101, 200};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
        for (int type = 0; type < 3; type++)
            for (int window = 0; window <= 150; window += 150) {
                struct problem p = {.type = (enum compute_type)type,
                                    .head_dim = 24,
                                    .n_heads = 3,
                                    .position = window ? 450 : 0,
                                    .n_tokens = 200,
                                    .window = window,
                                    .kind = i % 2 ? SMALL : ORDINARY};
                check_chunks(&p, chunks[i]);
            }
}

// A single head of the group alone gives what it gives among the others: ranks may split a group.
static void check_heads(const struct kernel *kernel, const struct problem *p)
{
    struct world w;
    world_new(&w, p);
    cache_fill(&w, 0, w.n_positions);
    struct guarded all = out_new(&w), alone = out_new(&w);
    attend(&w, kernel->attention, 0, p->n_tokens, all.data);
    void *q = w.q.data;
    for (int head = 0; head < p->n_heads; head++) {
        const size_t at = (size_t)(head * p->head_dim), to = (size_t)(head * kv_value_dim(&w.view));
        w.p.n_heads = 1;
        w.head = head;
        w.q.data = (char *)q + q_bytes(&w, at);
        attend(&w, kernel->attention, 0, p->n_tokens, (char *)alone.data + to * w.out_element);
    }
    w.p.n_heads = p->n_heads;
    w.head = 0;
    w.q.data = q;
    assert_same(alone.data, all.data, query_elements(&w), w.out_element == 2, kernel->name);
    guarded_free(&all);
    guarded_free(&alone);
    world_free(&w);
}

static void heads_do_not_matter(void **state)
{
    (void)state;
    number_mode_set();
    struct kernel kernels[ISA_COUNT + 1];
    int n_kernels = all_kernels(kernels);
    for (int i = 0; i < n_kernels; i++)
        for (int type = 0; type < 3; type++)
            for (int n_tokens = 1; n_tokens < 40; n_tokens += 19)
                check_heads(&kernels[i], &(struct problem){.type = (enum compute_type)type,
                                                           .head_dim = 40,
                                                           .value_dim = n_tokens > 1 ? 24 : 0,
                                                           .n_heads = 7,
                                                           .position = 140,
                                                           .n_tokens = n_tokens});
}

static void latents_in_chunks(void **state)
{
    (void)state;
    number_mode_set();
    struct kernel kernels[ISA_COUNT + 1];
    int n_kernels = all_kernels(kernels);
    for (int i = 0; i < n_kernels; i++)
        for (int round = 0; round < rounds(10); round++) {
            struct problem p = random_latents(round % 5, round % 2 ? SMALL : ORDINARY);
            check_chunks_of(&kernels[i], &p, random_between(1, 9));
            check_heads(&kernels[i], &p);
        }
}

// What the softmax of one token's heads is made of over the pages of one group: with the kernel's
// and the reference's bits, [n_heads, sums].
static void sums_of_group(struct world *w, const struct kernel *kernel, int token, int64_t group,
                          float *sums)
{
    enum { GROUP = KV_PAGE_TOKENS * KV_GROUP_PAGES };
    const int64_t last = w->p.position + token - group * GROUP;
    const size_t width = attention_sums_width(kv_value_dim(&w->view)),
                 n = (size_t)w->p.n_heads * width;
    float *expected = malloc(n * sizeof *expected);
    struct attention args = {.kv = w->view,
                             .n_heads = w->p.n_heads,
                             .n_tokens = 1,
                             .position = last < GROUP ? last : GROUP - 1,
                             .scale = 1.0f / sqrtf((float)w->p.head_dim),
                             .q = (char *)w->q.data + q_bytes(w, (size_t)token * w->row),
                             .out_type = COMPUTE_F32,
                             .sums = sums,
                             .scratch = w->scratch.data};
    args.kv.pages += group * KV_GROUP_PAGES;
    kernel->attention(&args);
    args.sums = expected;
    reference_attention(&args);
    for (size_t i = 0; i < n; i++) { // zeros have either sign
        const float got = sums[i] + 0.0f, wanted = expected[i] + 0.0f;
        assert_memory_equal(&got, &wanted, sizeof got);
    }
    free(expected);
}

// As section 7 merges groups.
static void merge_group(float *all, float *group, int value_dim, bool is_first)
{
    const float m = is_first || group[0] > all[0] ? group[0] : all[0],
                a = is_first ? 0 : number_exp(all[0] - m), b = number_exp(group[0] - m);
    all[1] = is_first ? group[1] : fmaf(all[1], a, group[1] * b);
    for (int d = 2; d < 2 + value_dim; d++)
        all[d] = is_first ? group[d] : fmaf(all[d], a, group[d] * b);
    all[0] = m;
}

// Who attends each group of pages by itself and merges what comes has the bits of one call.
static void check_sums(const struct kernel *kernel, const struct problem *p)
{
    enum { GROUP = KV_PAGE_TOKENS * KV_GROUP_PAGES };
    struct world w;
    world_new(&w, p);
    cache_fill(&w, 0, w.n_positions);
    struct guarded out = out_new(&w);
    attend(&w, kernel->attention, 0, p->n_tokens, out.data);
    const int value_dim = kv_value_dim(&w.view);
    const size_t width = attention_sums_width(value_dim);
    float *all = calloc((size_t)p->n_heads * width, sizeof *all),
          *group = calloc((size_t)p->n_heads * width, sizeof *group);
    for (int t = 0; t < p->n_tokens; t++) {
        for (int64_t g = 0; g * GROUP <= p->position + t; g++) {
            sums_of_group(&w, kernel, t, g, group);
            for (int h = 0; h < p->n_heads; h++)
                merge_group(all + (size_t)h * width, group + (size_t)h * width, value_dim, g == 0);
        }
        for (int h = 0; h < p->n_heads; h++) {
            float *sums = all + (size_t)h * width;
            for (int d = 0; d < value_dim; d++)
                sums[2 + d] = sums[2 + d] * (1.0f / sums[1]) + 0.0f;
            assert_memory_equal(sums + 2,
                                (float *)out.data + (size_t)t * w.row + (size_t)(h * value_dim),
                                (size_t)value_dim * sizeof *sums);
        }
    }
    free(all);
    free(group);
    guarded_free(&out);
    world_free(&w);
}

static void groups_may_be_apart(void **state)
{
    (void)state;
    number_mode_set();
    struct kernel kernels[ISA_COUNT + 2];
    int n_kernels = all_kernels(kernels);
    kernels[n_kernels++] = (struct kernel){"reference", reference_attention};
    for (int i = 0; i < n_kernels; i++) {
        for (int round = 0; round < rounds(10); round++) {
            struct problem p = random_latents(round % 5, round % 2 ? SMALL : ORDINARY);
            p.f32_out = true;
            p.window = 0;
            check_sums(&kernels[i], &p);
        }
        check_sums(&kernels[i], &(struct problem){.type = COMPUTE_BF16, // heads in several parts
                                                  .f32_out = true,
                                                  .head_dim = 40,
                                                  .value_dim = 32,
                                                  .of_keys = true,
                                                  .n_heads = 200,
                                                  .position = 1030,
                                                  .n_tokens = 1});
    }
}

// Soft-capped scores, sinks and ALiBi, one of them or several.
static struct problem random_extras(int type, enum data_kind kind)
{
    const int which = random_between(1, 7);
    return (struct problem){.type = (enum compute_type)(type % 3),
                            .f32_cache = type >= 3,
                            .head_dim = 2 * random_between(1, 40),
                            .n_heads = random_between(1, 7),
                            .position = random_between(0, 1) * random_between(1, 1200),
                            .n_tokens = random_between(1, 30),
                            .window = random_between(0, 1) * random_between(1, 300),
                            .kind = kind,
                            .softcap = which & 1 ? (float)random_between(1, 50) : 0,
                            .sinks = which & 2,
                            .slopes = which & 4};
}

static void extras(void **state)
{
    (void)state;
    number_mode_set();
    for (int round = 0; round < rounds(40); round++)
        for (int kind = 0; kind < DATA_KINDS; kind++)
            for (int type = 0; type < 5; type++) {
                struct problem p = random_extras(type, (enum data_kind)kind);
                check(&p);
            }
    check(&(struct problem){.head_dim = 8, // heads in several parts
                            .n_heads = 400,
                            .position = 70,
                            .n_tokens = 2,
                            .softcap = 20,
                            .sinks = true,
                            .slopes = true});
    struct kernel kernels[ISA_COUNT + 1];
    int n_kernels = all_kernels(kernels);
    for (int i = 0; i < n_kernels; i++)
        for (int round = 0; round < rounds(10); round++) {
            struct problem p = random_extras(round % 5, round % 2 ? SMALL : ORDINARY);
            check_chunks_of(&kernels[i], &p, random_between(1, 9));
            check_heads(&kernels[i], &p);
        }
}

// Head h's output for token t in f64: softmax(q k^T) v.
static void attend_in_f64(const struct world *w, int t, int h, double o[32])
{
    const struct problem *p = &w->p;
    const float *q = (const float *)w->q.data + (size_t)t * w->row + (size_t)(h * 32);
    const int last = (int)p->position + t;
    double l = p->sinks ? exp((double)w->per_head[0][h]) : 0;
    for (int d = 0; d < 32; d++)
        o[d] = 0;
    for (int j = last - (int)p->window + 1; j <= last; j++) {
        double s = 0;
        for (int d = 0; d < 32; d++)
            s += (double)q[d] * (double)w->k[j * 32 + d];
        s /= sqrt(32);
        if (p->softcap != 0)
            s = (double)p->softcap * tanh(s / (double)p->softcap);
        if (p->slopes)
            s += (double)w->per_head[1][h] * j;
        double e = exp(s);
        l += e;
        for (int d = 0; d < 32; d++)
            o[d] += e * (double)w->v[j * 32 + d];
    }
    for (int d = 0; d < 32; d++)
        o[d] /= l;
}

// The reference itself.
static void reference_is_attention(void **state)
{
    (void)state;
    number_mode_set();
    for (int which = 0; which < 8; which++) {
        struct problem p = {.type = COMPUTE_F32,
                            .head_dim = 32,
                            .n_heads = 2,
                            .position = 1000,
                            .n_tokens = 30,
                            .window = 900,
                            .softcap = which & 1 ? 5 : 0,
                            .sinks = which & 2,
                            .slopes = which & 4};
        struct world w;
        world_new(&w, &p);
        w.per_head[1][0] /= 8; // keep all of the window in sight
        w.per_head[1][1] /= 8;
        cache_fill(&w, 0, w.n_positions);
        struct guarded out = out_new(&w);
        attend(&w, reference_attention, 0, p.n_tokens, out.data);
        double worst = 0, o[32];
        for (int t = 0; t < p.n_tokens; t++)
            for (int h = 0; h < 2; h++) {
                attend_in_f64(&w, t, h, o);
                const float *got = (const float *)out.data + (size_t)t * w.row + (size_t)(h * 32);
                for (int d = 0; d < 32; d++)
                    worst = fmax(worst, fabs(o[d] - (double)got[d]));
            }
        printf("largest error of the f32 reference: %.3g\n", worst);
        assert_true(worst < (p.slopes ? 5e-5 : 1e-5)); // with slopes scores are in the hundreds
        guarded_free(&out);
        world_free(&w);
    }
}

// Says which levels the tests above covered.
static void level(void **state)
{
    kernels_under_test(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_is_attention),
        cmocka_unit_test(head_sizes),
        cmocka_unit_test(group_sizes),
        cmocka_unit_test(more_heads_than_rows),
        cmocka_unit_test(positions_at_edges),
        cmocka_unit_test(sliding_windows),
        cmocka_unit_test(chunks_of_positions),
        cmocka_unit_test(widths_of_values),
        cmocka_unit_test(extreme_data),
        cmocka_unit_test(random_shapes),
        cmocka_unit_test(chunks_do_not_matter),
        cmocka_unit_test(heads_do_not_matter),
        cmocka_unit_test(extras),
        cmocka_unit_test(latents),
        cmocka_unit_test(latents_in_chunks),
        cmocka_unit_test(groups_may_be_apart),
        TEST_LEVELS(level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
