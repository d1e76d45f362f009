// Products in the order of tiles: every ISA gives the reference's bits, on ordinary and extreme
// data, all tail sizes, several leaf plans and strides, with every buffer against a guard page.
#include <math.h>

#include "testing.h"

#include "kernels/matmul_data.h"

struct problem {
    int m, n, k;
    enum data_kind kind;
    struct leaf_plan plan;
    bool bias;
};

struct buffers {
    struct guarded weights, a, out, expected, bias, scratch;
    size_t out_count;
    struct panels panels;
};

// At most `n_leaves` leaves of equal pairs of k, merged at random, or to the whole tree where they
// are a power of two.
static struct leaf_plan plan_leaves(int k, int n_leaves, bool whole_tree)
{
    struct leaf_plan plan = {0};
    int depth = 0;
    for (int i = 0; i < n_leaves; i++) {
        int begin = 2 * (i * (k / 2) / n_leaves), end = 2 * ((i + 1) * (k / 2) / n_leaves);
        if (begin == end)
            continue;
        int leaf = plan.n_leaves++;
        plan.leaf[leaf].k_begin = begin;
        plan.leaf[leaf].k_end = end;
        depth++;
        int merges = whole_tree ? __builtin_ctz((unsigned)(leaf + 1)) : random_between(0, 2);
        plan.leaf[leaf].merges = merges < depth ? merges : depth - 1;
        depth -= plan.leaf[leaf].merges;
    }
    if (whole_tree) {
        plan.leaf[plan.n_leaves - 1].merges += depth - 1;
        depth = 1;
    }
    plan.n_nodes = depth;
    return plan;
}

static struct matmul set_up(const struct problem *p, struct buffers *b)
{
    size_t bytes, m = (size_t)p->m, k = (size_t)p->k, n = (size_t)p->n;
    assert_int_equal(panels_bytes(PANELS_BF16, p->n, p->k, &bytes), OK);
    b->weights = guarded_new(bytes, 64);
    panels_init(&b->panels, PANELS_BF16, p->n, p->k, b->weights.data);
    fill_panels(&b->panels, p->kind);
    struct matmul args = {
        .w = &b->panels, .leaves = &p->plan, .m = p->m, .a_is_bf16 = true, .order = ORDER_TILES};
    args.a_stride = k + 2 * (size_t)random_between(0, 9);
    size_t a_count = (m - 1) * args.a_stride + k;
    b->a = guarded_new(a_count * 2, 4);
    for (size_t i = 0; i < a_count; i++)
        ((bf16 *)b->a.data)[i] = bf16_of_float(random_value(p->kind));
    args.a = b->a.data;
    args.out_stride = n + (size_t)random_between(0, 20);
    args.node_stride = m * args.out_stride + (size_t)random_between(0, 5);
    b->out_count = (size_t)(p->plan.n_nodes - 1) * args.node_stride + (m - 1) * args.out_stride + n;
    b->out = guarded_new(b->out_count * 4, 4);
    b->expected = guarded_new(b->out_count * 4, 4);
    b->bias = guarded_new(n * 4, 4);
    random_values(b->bias.data, n, p->kind);
    args.bias = p->bias ? b->bias.data : NULL;
    b->scratch = guarded_new(MATMUL_SCRATCH_BYTES, 64);
    args.scratch = b->scratch.data;
    return args;
}

static void tear_down(struct buffers *b)
{
    guarded_free(&b->weights);
    guarded_free(&b->a);
    guarded_free(&b->out);
    guarded_free(&b->expected);
    guarded_free(&b->bias);
    guarded_free(&b->scratch);
}

static void multiply(const struct kernels *kernels, struct matmul args, struct guarded *out,
                     size_t out_count)
{
    args.out = out->data;
    multiply_in_parts(kernels, args, out, out_count * sizeof(float));
}

static void check(const struct kernels *kernels, const struct problem *p)
{
    struct buffers b;
    struct matmul args = set_up(p, &b);
    multiply(kernels_for(ISA_REFERENCE), args, &b.expected, b.out_count);
    multiply(kernels, args, &b.out, b.out_count);
    char text[160];
    snprintf(text, sizeof text, "m %d, n %d, k %d, data %d, %d leaves, %d nodes, bias %d", p->m,
             p->n, p->k, (int)p->kind, p->plan.n_leaves, p->plan.n_nodes, p->bias);
    assert_same(b.out.data, b.expected.data, b.out_count, false, text);
    tear_down(&b);
}

static void check_sizes(const struct kernels *kernels, int m, int n, int k)
{
    static const int n_leaves[] = {1, 3, 8, 16};
    for (int kind = 0; kind < DATA_KINDS; kind++) {
        int plan = random_between(0, 3);
        struct problem p = {m,
                            n,
                            k,
                            (enum data_kind)kind,
                            plan_leaves(k, n_leaves[plan], random_bits() % 2),
                            plan == 0 && random_bits() % 2};
        check(kernels, &p);
    }
}

static void columns(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int n = 1; n <= 100; n += SIZE_STEP)
        check_sizes(kernels, random_between(1, 12), n, 2 * random_between(1, 30));
}

static void chains(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int k = 2; k <= 200; k += 2 * SIZE_STEP)
        check_sizes(kernels, random_between(1, 40), random_between(1, 60), k);
}

static void rows(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int m = 1; m <= 70; m += SIZE_STEP)
        check_sizes(kernels, m, random_between(40, 110), 2 * random_between(1, 60));
}

// Several blocks of rows, chunks of k and groups of panels.
static void large(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    check_sizes(kernels, 1, 500, 1024);
    check_sizes(kernels, 300, 70, 130);
    check_sizes(kernels, 530, 49, 34);
    for (int m = 511; m <= 519; m += 4) // a block of rows and a few more
        check_sizes(kernels, m, 50, 1100);
    for (int i = 0; i < 4; i++) {
        struct problem p = {i == 0 ? 9 : 257 + i,
                            i == 0 ? 97 : 50,
                            i == 0 ? 12288 : 4300,
                            ORDINARY,
                            plan_leaves(i == 0 ? 12288 : 4300,
                                        i == 1   ? 1
                                        : i == 2 ? 7
                                                 : LEAVES_MAX,
                                        i % 2),
                            i == 1};
        check(kernels, &p);
    }
}

// The deepest stack: nothing is merged before the last leaf, or at all.
static void stacks(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int m = 1; m <= 40; m += 13)
        for (int merged = 0; merged < 2; merged++) {
            struct problem p = {
                .m = m, .n = 130, .k = 900, .plan = plan_leaves(900, LEAVES_MAX, false)};
            for (int i = 0; i < LEAVES_MAX; i++)
                p.plan.leaf[i].merges = 0;
            p.plan.leaf[LEAVES_MAX - 1].merges = merged ? LEAVES_MAX - 1 : 0;
            p.plan.n_nodes = merged ? 1 : LEAVES_MAX;
            check(kernels, &p);
        }
}

// Rows do not depend on their neighbours.
static void single_rows(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int kind = 0; kind < DATA_KINDS; kind++) {
        struct problem p = {.m = 50,
                            .n = 70,
                            .k = 330,
                            .kind = (enum data_kind)kind,
                            .plan = plan_leaves(330, 8, true)};
        struct buffers b;
        struct matmul args = set_up(&p, &b);
        multiply(kernels, args, &b.out, b.out_count);
        args.panel_end = b.panels.n_panels;
        memset(b.expected.data, 0x5a, b.out_count * 4);
        for (int row = 0; row < p.m; row++) {
            struct matmul one = args;
            one.m = 1;
            one.a = (const bf16 *)args.a + (size_t)row * args.a_stride;
            one.out = (float *)b.expected.data + (size_t)row * args.out_stride;
            kernels->matmul(&one);
        }
        assert_same(b.out.data, b.expected.data, b.out_count, false, "rows alone");
        tear_down(&b);
    }
}

// The definition, element by element, against f64: the order is another, the sum is the same.
static void reference_is_a_product(void **state)
{
    (void)state;
    number_mode_set();
    struct problem p = {.m = 3, .n = 50, .k = 700, .plan = plan_leaves(700, 1, true)};
    struct buffers b;
    struct matmul args = set_up(&p, &b);
    multiply(kernels_for(ISA_REFERENCE), args, &b.out, b.out_count);
    float *row = malloc(700 * sizeof *row);
    double worst = 0;
    for (int n = 0; n < p.n; n++) {
        panels_row(&b.panels, n, b.panels.k, row);
        for (int m = 0; m < p.m; m++) {
            double sum = 0;
            for (int k = 0; k < p.k; k++)
                sum += (double)float_of_bf16(
                           ((const bf16 *)args.a)[(size_t)m * args.a_stride + (size_t)k]) *
                       (double)row[k];
            worst = fmax(
                worst,
                fabs(sum - (double)((float *)b.out.data)[(size_t)m * args.out_stride + (size_t)n]));
        }
    }
    free(row);
    assert_true(worst < 1e-4);
    tear_down(&b);
}

#define LEVELS(function)                                                                           \
    TEST_LEVELS(function),                                                                         \
    {                                                                                              \
#function " amx", function, NULL, NULL, &levels[ISA_AMX]                                   \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_is_a_product),
        LEVELS(columns),
        LEVELS(chains),
        LEVELS(rows),
        LEVELS(large),
        LEVELS(stacks),
        LEVELS(single_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
