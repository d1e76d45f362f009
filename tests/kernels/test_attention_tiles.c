// Attention in the order of tiles: every level gives the reference's bits over head sizes, group
// sizes, positions at the edges of pages and groups, windows and extreme data; chunks and
// neighbouring heads change nothing.
#include <math.h>

#include "kernels/kernel_data.h"

#include "device/cpu/reference.h"

enum { PER_HEAD_MAX = 400 };

struct problem {
    int head_dim, n_heads, position, n_tokens, window;
    enum data_kind kind;
    float softcap;      // 0: none
    bool sinks, slopes; // of each head
    int value_dim;      // 0: head_dim
    int chunk;          // 0: none
};

struct world { // a sequence with its pages in random order, all against guard pages
    struct problem p;
    int n_positions, n_pages;
    size_t row; // elements of a query's row
    float *k, *v;
    int32_t pages[64];
    float per_head[2][PER_HEAD_MAX]; // sinks, slopes
    struct guarded keys, values, q, scratch;
    struct kv_view view;
};

// Of a row's place for a head: the wider of keys and values.
static int width_of(const struct problem *p)
{
    return p->value_dim > p->head_dim ? p->value_dim : p->head_dim;
}

static size_t elements(const struct world *w) // the last row has no gap after it
{
    return (size_t)(w->p.n_tokens - 1) * w->row + (size_t)(w->p.n_heads * width_of(&w->p));
}

static void cache_new(struct world *w)
{
    size_t page_bytes = (size_t)(KV_PAGE_TOKENS * width_of(&w->p)) * sizeof(bf16),
           bytes = (size_t)w->n_pages * page_bytes;
    w->keys = guarded_new(bytes, 4);
    w->values = guarded_new(bytes, 4);
    w->view = (struct kv_view){.type = COMPUTE_BF16,
                               .head_dim = w->p.head_dim,
                               .value_dim = w->p.value_dim,
                               .keys = w->keys.data,
                               .values = w->values.data,
                               .page_stride = page_bytes,
                               .pages = w->pages};
    memset(w->keys.data, 0x7f, bytes); // what an earlier sequence left
    memset(w->values.data, 0x7f, bytes);
}

static void cache_free(struct world *w)
{
    guarded_free(&w->keys);
    guarded_free(&w->values);
}

static void cache_fill(struct world *w, int from, int to)
{
    const size_t width = (size_t)width_of(&w->p), at = (size_t)from * width;
    reference_kv_write(&w->view, from, to - from, w->k + at, w->v + at, width);
}

static void world_new(struct world *w, const struct problem *p)
{
    *w = (struct world){.p = *p, .n_positions = p->position + p->n_tokens};
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
    w->q = guarded_new(elements(w) * sizeof(bf16), 2);
    for (size_t i = 0; i < elements(w); i++)
        ((bf16 *)w->q.data)[i] =
            bf16_of_float(random_value(p->kind) * (p->kind == ORDINARY ? 3 : 1));
    w->scratch = guarded_new(ATTENTION_SCRATCH_BYTES, 64);
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

// Queries [from, to) and heads [head, head_end) into their place of `out`.
static void attend(struct world *w, const struct kernels *kernels, int from, int to, int head,
                   int head_end, void *out)
{
    const size_t row = (size_t)from * w->row, at = row + (size_t)(head * w->p.head_dim),
                 to_at = row + (size_t)(head * kv_value_dim(&w->view));
    struct attention args = {.kv = w->view,
                             .n_heads = head_end - head,
                             .n_tokens = to - from,
                             .position = w->p.position + from,
                             .window = w->p.window,
                             .chunk = w->p.chunk,
                             .softcap = w->p.softcap,
                             .sinks = w->p.sinks ? w->per_head[0] + head : NULL,
                             .slopes = w->p.slopes ? w->per_head[1] + head : NULL,
                             .scale = 1.0f / sqrtf((float)w->p.head_dim),
                             .q = (const bf16 *)w->q.data + at,
                             .q_stride = w->row,
                             .out = (bf16 *)out + to_at,
                             .out_stride = w->row,
                             .scratch = w->scratch.data,
                             .order = ORDER_TILES};
    memset(w->scratch.data, 0xff, ATTENTION_SCRATCH_BYTES); // NaNs
    kernels->attention(&args);
}

static struct guarded out_new(const struct world *w)
{
    struct guarded out = guarded_new(elements(w) * sizeof(bf16), 2);
    memset(out.data, 0x5a, elements(w) * sizeof(bf16)); // the gaps between rows stay so
    return out;
}

static void compare(const struct world *w, const struct guarded *got,
                    const struct guarded *expected)
{
    const struct problem *p = &w->p;
    char text[240];
    snprintf(
        text, sizeof text,
        "head_dim %d heads %d position %d tokens %d window %d data %d cap %g sinks %d slopes %d",
        p->head_dim, p->n_heads, p->position, p->n_tokens, p->window, (int)p->kind,
        (double)p->softcap, p->sinks, p->slopes);
    assert_same(got->data, expected->data, elements(w), true, text);
}

// Whole, and head by head.
static void check_whole(struct world *w, const struct kernels *kernels,
                        const struct guarded *expected)
{
    struct guarded whole = out_new(w), heads = out_new(w);
    attend(w, kernels, 0, w->p.n_tokens, 0, w->p.n_heads, whole.data);
    compare(w, &whole, expected);
    for (int head = 0; head < w->p.n_heads; head++)
        attend(w, kernels, 0, w->p.n_tokens, head, head + 1, heads.data);
    compare(w, &heads, expected);
    guarded_free(&whole);
    guarded_free(&heads);
}

// In chunks, with the cache filled as the engine does it.
static void check_parts(struct world *w, const struct kernels *kernels, int chunk,
                        const struct guarded *expected)
{
    const struct problem *p = &w->p;
    struct guarded parts = out_new(w);
    cache_free(w);
    cache_new(w);
    if (p->position > 0)
        cache_fill(w, 0, p->position);
    for (int from = 0, to; from < p->n_tokens; from = to) {
        to = from + chunk < p->n_tokens ? from + chunk : p->n_tokens;
        cache_fill(w, p->position + from, p->position + to);
        attend(w, kernels, from, to, 0, p->n_heads, parts.data);
    }
    if (p->kind == ORDINARY ||
        p->kind == SMALL) // a value after the query's own that is not finite does matter
        compare(w, &parts, expected);
    guarded_free(&parts);
}

// Every level that this machine has against the reference, which takes the longest and is computed
// once.
static void check(const struct problem *p, int chunk)
{
    struct world w;
    void (*done)(const struct attention *) = kernels_for(ISA_REFERENCE)->attention;
    world_new(&w, p);
    cache_fill(&w, 0, w.n_positions);
    struct guarded expected = out_new(&w);
    attend(&w, kernels_for(ISA_REFERENCE), 0, p->n_tokens, 0, p->n_heads, expected.data);
    for (int isa = ISA_REFERENCE + 1; isa <= (int)isa_of_machine(); isa++) {
        const struct kernels *kernels = kernels_for((enum isa)isa);
        if (kernels->attention == done)
            continue;
        done = kernels->attention;
        check_whole(&w, kernels, &expected);
        check_parts(&w, kernels, chunk, &expected);
    }
    guarded_free(&expected);
    world_free(&w);
}

static void head_sizes(void **state)
{
    (void)state;
    number_mode_set();
    static const int dims[] = {2,  8,  10, 16, 18,  30,  32,  34,  48,  62,
                               64, 66, 80, 96, 112, 126, 128, 130, 256, 512};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (int n_tokens = 1; n_tokens <= 23; n_tokens += 11)
            check(&(struct problem){dims[i], 1 + n_tokens % 3, 100, n_tokens, 0, .kind = ORDINARY},
                  5);
}

static void group_sizes(void **state)
{
    (void)state;
    number_mode_set();
    for (int n_heads = 1; n_heads <= 64; n_heads += n_heads < 18 ? 1 : 23)
        for (int n_tokens = 1; n_tokens <= 40; n_tokens = n_tokens * 3 + 1)
            check(&(struct problem){n_heads < 18 ? 32 : 16, n_heads, 60, n_tokens, 0,
                                    .kind = ORDINARY},
                  7);
}

static void positions_and_windows(void **state)
{
    (void)state;
    number_mode_set();
    static const int positions[] = {0, 1, 62, 63, 64, 127, 511, 512, 575, 1024, 1600};
    static const int windows[] = {0, 1, 17, 64, 65, 512, 513, 700};
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++)
        for (size_t k = 0; k < sizeof windows / sizeof *windows; k++)
            check(&(struct problem){16, 2, positions[i], k % 2 ? 70 : 3, windows[k],
                                    .kind = ORDINARY},
                  33);
}

static void extreme_data(void **state)
{
    (void)state;
    number_mode_set();
    for (int round = 0; round < rounds(25); round++)
        for (int kind = 0; kind < DATA_KINDS; kind++)
            check(&(struct problem){2 * random_between(1, 64), random_between(1, 6),
                                    random_between(0, 600), random_between(1, 30),
                                    random_between(0, 1) * random_between(1, 300),
                                    .kind = (enum data_kind)kind},
                  random_between(1, 20));
}

// Soft-capped scores, sinks and ALiBi, one of them or several.
static void extras(void **state)
{
    (void)state;
    number_mode_set();
    for (int round = 0; round < rounds(25); round++)
        for (int kind = 0; kind < DATA_KINDS; kind++) {
            const int which = random_between(1, 7);
            check(&(struct problem){2 * random_between(1, 64), random_between(1, 6),
                                    random_between(0, 600), random_between(1, 30),
                                    random_between(0, 1) * random_between(1, 300),
                                    (enum data_kind)kind,
                                    which & 1 ? (float)random_between(1, 50) : 0, which & 2,
                                    which & 4, 0, 0},
                  random_between(1, 20));
        }
}

// Values narrower and wider than keys; keys of the same block alone.
static void widths_and_chunks(void **state)
{
    (void)state;
    number_mode_set();
    for (int round = 0; round < rounds(60); round++)
        check(&(struct problem){2 * random_between(1, 96), random_between(1, 6),
                                random_between(0, 600), random_between(1, 80), 0, .kind = ORDINARY,
                                .value_dim = 2 * random_between(1, 96), .sinks = round % 2,
                                .chunk = round % 3 ? 0 : random_between(1, 300)},
              random_between(1, 40));
}

// Says which levels the tests above covered.
static void level(void **state)
{
    kernels_under_test(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_sizes),
        cmocka_unit_test(group_sizes),
        cmocka_unit_test(positions_and_windows),
        cmocka_unit_test(extreme_data),
        cmocka_unit_test(extras),
        cmocka_unit_test(widths_and_chunks),
        TEST_LEVELS(level),
        {"level amx", level, NULL, NULL, &levels[ISA_AMX]},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
