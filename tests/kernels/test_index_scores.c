// Scores of an indexer (docs/numerics.md section 15): every level gives the reference's bits over
// types, orders, sizes, numbers of heads and extreme data; a part of the pages gives those of all.
#include "kernels/kernel_data.h"

#include "device/cpu/reference.h"
#ifdef __x86_64__
#include "device/cpu/x86/x86.h"
#endif

enum { PAGES = 3 };

struct problem {
    enum compute_type type;
    enum product_order order;
    int head_dim, n_heads;
    enum data_kind kind;
};

struct world { // keys in pages in another order than positions, and a query, against guard pages
    struct problem p;
    struct guarded keys, q, weights, scratch;
    struct kv_view view;
};

static const int32_t pages[PAGES] = {2, 0, 1};

static void world_new(struct world *w, const struct problem *p)
{
    const size_t width = (size_t)p->head_dim, n = width * (size_t)p->n_heads,
                 page = KV_PAGE_TOKENS * width * compute_bytes(p->type);
    const int n_positions = PAGES * KV_PAGE_TOKENS;
    float *numbers = malloc((size_t)n_positions * width * sizeof *numbers),
          *q = malloc(n * sizeof *q);
    *w = (struct world){.p = *p,
                        .keys = guarded_new(PAGES * page, 4),
                        .q = guarded_new(n * (p->type == COMPUTE_BF16 ? 2 : 4), 2),
                        .weights = guarded_new((size_t)p->n_heads * sizeof(float), 4),
                        .scratch = guarded_new(ATTENTION_SCRATCH_BYTES, 64)};
    w->view = (struct kv_view){.type = p->type,
                               .head_dim = p->head_dim,
                               .keys = w->keys.data,
                               .page_stride = page,
                               .pages = pages};
    random_values(numbers, (size_t)n_positions * width, p->kind);
    reference_kv_write(&w->view, 0, n_positions, numbers, NULL, width);
    random_values(q, n, p->kind);
    reference_round(q, n, p->type, w->q.data);
    random_values(w->weights.data, (size_t)p->n_heads, p->kind);
    memset(w->scratch.data, 0xff, ATTENTION_SCRATCH_BYTES); // NaNs
    free(numbers);
    free(q);
}

static void world_free(struct world *w)
{
    guarded_free(&w->keys);
    guarded_free(&w->q);
    guarded_free(&w->weights);
    guarded_free(&w->scratch);
}

typedef void index_kernel(const struct index_scoring *);

static void score(const struct world *w, index_kernel *kernel, int begin, int end, float *out)
{
    kernel(&(struct index_scoring){.kv = w->view,
                                   .n_heads = w->p.n_heads,
                                   .page_begin = begin,
                                   .page_end = end,
                                   .q = w->q.data,
                                   .weights = w->weights.data,
                                   .out = out,
                                   .scratch = w->scratch.data,
                                   .order = w->p.order});
}

static void check_kernel(const struct world *w, const char *name, index_kernel *kernel,
                         const float *expected)
{
    const size_t n = PAGES * KV_PAGE_TOKENS;
    struct guarded got = guarded_new(n * sizeof(float), 4);
    char text[160];
    snprintf(text, sizeof text, "%s: %s order %d head_dim %d heads %d data %d", name,
             compute_name(w->p.type), (int)w->p.order, w->p.head_dim, w->p.n_heads, (int)w->p.kind);
    memset(got.data, 0x5a, n * sizeof(float));
    score(w, kernel, 0, 1, got.data);
    score(w, kernel, 1, PAGES, got.data);
    assert_same(got.data, expected, n, false, text);
    guarded_free(&got);
}

static void check(const struct problem *p)
{
    struct world w;
    float expected[PAGES * KV_PAGE_TOKENS];
    world_new(&w, p);
    score(&w, reference_index_scores, 0, PAGES, expected);
    for (size_t i = 0; i < sizeof levels / sizeof *levels && levels[i] <= isa_of_machine(); i++)
        check_kernel(&w, isa_name(levels[i]), kernels_for(levels[i])->index_scores, expected);
#ifdef __x86_64__
    if (isa_of_machine() >= ISA_AVX512BF16 && p->order == ORDER_PAIRS)
        check_kernel(&w, "vdpbf16ps", index_scores_avx512bf16, expected);
#endif
    world_free(&w);
}

static void check_all_types(int head_dim, int n_heads, enum data_kind kind)
{
    number_mode_set();
    for (int type = COMPUTE_BF16; type <= COMPUTE_F32; type++)
        check(&(struct problem){.type = (enum compute_type)type,
                                .head_dim = head_dim,
                                .n_heads = n_heads,
                                .kind = kind});
    check(&(struct problem){.type = COMPUTE_BF16,
                            .order = ORDER_TILES,
                            .head_dim = head_dim,
                            .n_heads = n_heads,
                            .kind = kind});
}

static void sizes_of_heads(void **state)
{
    (void)state;
    static const int sizes[] = {2, 4, 6, 10, 16, 18, 30, 32, 34, 62, 64, 66, 128, 130, 1024};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_all_types(sizes[i], 5, ORDINARY);
}

static void numbers_of_heads(void **state)
{
    (void)state;
    for (int n = 1; n <= 20; n++)
        check_all_types(16, n, ORDINARY);
    check_all_types(128, 64, ORDINARY);
    check_all_types(16, 193, ORDINARY); // more than a tile has rows
    check_all_types(512, 300, ORDINARY);
}

static void extreme_data(void **state)
{
    (void)state;
    for (int kind = 0; kind < DATA_KINDS; kind++)
        for (int i = 0; i < 6; i++)
            check_all_types(32, 13, (enum data_kind)kind);
}

// By hand: what is negative adds nothing, a weight may be.
static void a_score_is_a_sum_of_what_is_positive(void **state)
{
    (void)state;
    const float k[] = {1, 2, -1, 1}, q[] = {3, 1, -1, 0}, weights[] = {2, -4};
    float page[2 * KV_PAGE_TOKENS], out[KV_PAGE_TOKENS];
    const struct kv_view view = {
        .type = COMPUTE_F32, .head_dim = 2, .keys = (char *)page, .pages = pages + 1};
    number_mode_set();
    reference_kv_write(&view, 0, 2, k, NULL, 2);
    reference_index_scores(&(struct index_scoring){
        .kv = view, .n_heads = 2, .page_end = 1, .q = q, .weights = weights, .out = out});
    assert_true(out[0] == 2.0F * 5);  // head 0: 5, head 1: -1
    assert_true(out[1] == -4.0F * 1); // head 0: -2, head 1: 1
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_score_is_a_sum_of_what_is_positive),
        cmocka_unit_test(sizes_of_heads),
        cmocka_unit_test(numbers_of_heads),
        cmocka_unit_test(extreme_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
