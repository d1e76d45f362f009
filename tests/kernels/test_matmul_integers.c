// Products of integer codes (docs/numerics.md section 14): the reference is what exact arithmetic
// says, leaves that a rank has alone give its nodes, and every ISA gives the reference's bits, with
// every buffer against a guard page.
#include "testing.h"

#include <math.h>

#include "kernels/integer_data.h"
#include "kernels/matmul_data.h"

struct problem {
    struct panel_layout layout;
    enum compute_type type; // of the input: bf16 or f32
    enum data_kind kind;
    int m, n, k, n_leaves;
    bool activated, pair, bias;
};

struct buffers {
    struct integers integers[2];
    struct guarded weights, a, out, expected, bias;
    size_t out_bytes;
    struct panels w[2];
    struct leaf_plan leaves;
};

static size_t item_bytes(bool halves)
{
    return halves ? 2 : 4;
}

// At most so many leaves at random even places; some are merged.
static struct leaf_plan random_leaves(int k, int n_leaves)
{
    struct leaf_plan plan = {0};
    for (int begin = 0, end; begin < k; begin = end) {
        const int left = n_leaves - plan.n_leaves;
        end = left <= 1 ? k : begin + 2 * random_between(1, (k - begin) / 2);
        int merges = random_between(0, 2), i = plan.n_leaves++;
        merges = merges > plan.n_nodes ? plan.n_nodes : merges;
        plan.leaf[i].k_begin = begin;
        plan.leaf[i].k_end = end;
        plan.leaf[i].merges = merges;
        plan.n_nodes += 1 - merges;
    }
    return plan;
}

static void set_up_weights(const struct problem *p, struct buffers *b, struct matmul *args)
{
    size_t bytes;
    assert_int_equal(panels_layout_bytes(&p->layout, p->n, p->k, &bytes), OK);
    b->weights = guarded_new(2 * bytes, 64);
    memset(b->weights.data, 0x5a, 2 * bytes);
    for (int i = 0; i < 2; i++)
        b->integers[i] = integers_new(&p->layout, p->n, p->k);
    if (p->pair)
        panels_layout_init_pair(&b->w[0], &b->w[1], &p->layout, p->n, p->k, b->weights.data);
    else
        panels_layout_init(&b->w[0], &p->layout, p->n, p->k, (char *)b->weights.data + bytes);
    for (int i = 0; i < 1 + p->pair; i++)
        integers_pack(&b->integers[i], &b->w[i]);
    args->w = &b->w[0];
    args->up = p->pair ? &b->w[1] : NULL;
}

static struct matmul set_up(const struct problem *p, struct buffers *b)
{
    const bool halves = p->type == COMPUTE_BF16;
    const size_t n = (size_t)p->n, m = (size_t)p->m;
    b->leaves = p->activated ? leaf_plan_whole(p->k) : random_leaves(p->k, p->n_leaves);
    struct matmul args = {.leaves = &b->leaves,
                          .m = p->m,
                          .a_is_bf16 = halves,
                          .type = p->type,
                          .activation = {.kind = ACTIVATION_SILU}};
    set_up_weights(p, b, &args);
    args.a_stride = (size_t)p->k + 2 * (size_t)random_between(0, 9);
    const size_t count = (m - 1) * args.a_stride + (size_t)p->k;
    b->a = guarded_new(count * item_bytes(halves), 4);
    for (size_t i = 0; i < count; i++)
        if (halves)
            ((bf16 *)b->a.data)[i] = bf16_of_float(random_value(p->kind));
        else
            ((float *)b->a.data)[i] = random_value(p->kind);
    args.a = b->a.data;
    args.out_stride = n + (size_t)random_between(0, 20);
    args.node_stride = m * args.out_stride + (size_t)random_between(0, 5);
    b->out_bytes = (size_t)(b->leaves.n_nodes - 1) * args.node_stride * 4 +
                   ((m - 1) * args.out_stride + n) * item_bytes(halves && p->activated);
    b->out = guarded_new(b->out_bytes, 2);
    b->expected = guarded_new(b->out_bytes, 2);
    b->bias = guarded_new(2 * n * sizeof(float), 4);
    random_values(b->bias.data, 2 * n, ORDINARY);
    args.bias = p->bias && b->leaves.n_leaves == 1 ? b->bias.data : NULL;
    args.up_bias = args.bias && p->pair ? args.bias + n : NULL;
    static struct guarded scratch; // for all
    if (!scratch.data)
        scratch = guarded_new(MATMUL_SCRATCH_BYTES, 64);
    args.scratch = scratch.data;
    return args;
}

static void tear_down(struct buffers *b)
{
    struct guarded *const all[] = {&b->weights, &b->a, &b->out, &b->expected, &b->bias};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        guarded_free(all[i]);
    for (int i = 0; i < 2; i++)
        integers_free(&b->integers[i]);
}

static void multiply(const struct problem *p, const struct kernels *kernels, struct matmul args,
                     struct guarded *out, size_t out_bytes)
{
    if (p->activated)
        args.activated = out->data;
    else
        args.out = out->data;
    multiply_in_parts(kernels, args, out, out_bytes);
}

static void check(const struct kernels *kernels, const struct problem *p)
{
    struct buffers b = {0};
    struct matmul args = set_up(p, &b);
    multiply(p, kernels_for(ISA_REFERENCE), args, &b.expected, b.out_bytes);
    multiply(p, kernels, args, &b.out, b.out_bytes);
    const struct panel_groups *groups = &p->layout.groups;
    char text[240];
    snprintf(text, sizeof text,
             "%s: int%d, groups of %d, %d before, scales %d, zeros %d, type %d, data %d, m %d, n "
             "%d, k %d, %d leaves, %d nodes, activated %d, pair %d, bias %d",
             kernels->isa, p->layout.format == PANELS_INT4 ? 4 : 8, groups->columns, groups->before,
             (int)groups->scales, groups->zeros, (int)p->type, (int)p->kind, p->m, p->n, p->k,
             b.leaves.n_leaves, b.leaves.n_nodes, p->activated, p->pair, args.bias != NULL);
    const bool halves = p->activated && p->type == COMPUTE_BF16;
    assert_same(b.out.data, b.expected.data, b.out_bytes / item_bytes(halves), halves, text);
    tear_down(&b);
}

static void check_sizes(const struct kernels *kernels, int m, int n, int k)
{
    for (int kind = 0; kind < DATA_KINDS; kind++)
        for (int i = 0; i < 4; i++) {
            struct problem p = {random_layout(i % 2 ? PANELS_INT8 : PANELS_INT4),
                                i / 2 ? COMPUTE_F32 : COMPUTE_BF16,
                                (enum data_kind)kind,
                                m,
                                n,
                                k,
                                random_between(1, 9),
                                random_bits() % 3 == 0,
                                false,
                                random_bits() % 2};
            p.pair = p.activated && random_bits() % 2;
            check(kernels, &p);
        }
}

static void columns(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int n = 1; n <= 110; n += SIZE_STEP * random_between(1, 4))
        check_sizes(kernels, random_between(1, 10), n, 2 * random_between(1, 60));
}

static void chains(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int k = 2; k <= 300; k += 2 * SIZE_STEP * random_between(1, 3))
        check_sizes(kernels, random_between(1, 9), random_between(1, 60), k);
}

static void rows(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int m = 1; m <= 70; m += SIZE_STEP * random_between(1, 3))
        check_sizes(kernels, m, random_between(40, 70), 2 * random_between(1, 80));
}

// Several blocks of rows, chunks of k and groups of panels.
static void large(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    static const struct problem problems[] = {
        {{PANELS_INT4, {128, 0, SOURCE_BF16, false}},
         COMPUTE_BF16,
         ORDINARY,
         1,
         500,
         2048,
         1,
         0,
         0,
         1},
        {{PANELS_INT4, {128, 0, SOURCE_F16, true}},
         COMPUTE_BF16,
         ORDINARY,
         3,
         97,
         4096,
         8,
         0,
         0,
         0},
        {{PANELS_INT4, {32, 0, SOURCE_BF16, true}},
         COMPUTE_BF16,
         ORDINARY,
         8,
         97,
         4352,
         8,
         0,
         0,
         0},
        {{PANELS_INT8, {0, 0, SOURCE_BF16, true}},
         COMPUTE_BF16,
         ORDINARY,
         137,
         97,
         4700,
         8,
         0,
         0,
         0},
        {{PANELS_INT4, {0, 0, SOURCE_F32, false}},
         COMPUTE_BF16,
         ORDINARY,
         130,
         50,
         9000,
         3,
         0,
         0,
         0},
        {{PANELS_INT4, {128, 0, SOURCE_BF16, false}},
         COMPUTE_BF16,
         ORDINARY,
         300,
         70,
         640,
         1,
         1,
         1,
         1},
        {{PANELS_INT8, {128, 64, SOURCE_BF16, false}},
         COMPUTE_BF16,
         ORDINARY,
         33,
         70,
         1600,
         4,
         0,
         0,
         0},
        {{PANELS_INT8, {32, 0, SOURCE_BF16, true}},
         COMPUTE_F32,
         ORDINARY,
         140,
         50,
         2400,
         8,
         0,
         0,
         0},
        {{PANELS_INT4, {64, 6, SOURCE_F32, true}}, COMPUTE_F32, ORDINARY, 9, 900, 70, 1, 1, 1, 0},
    };
    for (size_t i = 0; i < sizeof problems / sizeof problems[0]; i++)
        check(kernels, &problems[i]);
}

// Nothing is merged before the last leaf, and each leaf cuts a group.
static void deep_stacks(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int m = 1; m <= 40; m += 13) {
        struct problem p = {{PANELS_INT4, {32, 4, SOURCE_BF16, true}},
                            COMPUTE_BF16,
                            ORDINARY,
                            m,
                            60,
                            10 * LEAVES_MAX,
                            LEAVES_MAX,
                            false,
                            false,
                            false};
        struct buffers b = {0};
        struct matmul args = set_up(&p, &b);
        b.leaves = (struct leaf_plan){.n_leaves = LEAVES_MAX, .n_nodes = 1};
        for (int i = 0; i < LEAVES_MAX; i++) {
            b.leaves.leaf[i].k_begin = 10 * i;
            b.leaves.leaf[i].k_end = 10 * i + 10;
        }
        b.leaves.leaf[LEAVES_MAX - 1].merges = LEAVES_MAX - 1;
        b.out_bytes = (((size_t)m - 1) * args.out_stride + 60) * 4;
        guarded_free(&b.out);
        guarded_free(&b.expected);
        b.out = guarded_new(b.out_bytes, 4);
        b.expected = guarded_new(b.out_bytes, 4);
        args.bias = NULL;
        multiply(&p, kernels_for(ISA_REFERENCE), args, &b.expected, b.out_bytes);
        multiply(&p, kernels, args, &b.out, b.out_bytes);
        assert_same(b.out.data, b.expected.data, b.out_bytes / 4, false, "64 leaves");
        tear_down(&b);
    }
}

// Sums of doubles of what the weights mean.
static void reference_is_near_the_exact_sum(void **state)
{
    (void)state;
    number_mode_set();
    for (int i = 0; i < 40; i++) {
        struct problem p = {random_layout(i % 2 ? PANELS_INT8 : PANELS_INT4),
                            COMPUTE_BF16,
                            ORDINARY,
                            3,
                            50,
                            2 * random_between(1, 300),
                            random_between(1, 8),
                            false,
                            false,
                            false};
        struct buffers b = {0};
        struct matmul args = set_up(&p, &b);
        multiply(&p, kernels_for(ISA_REFERENCE), args, &b.expected, b.out_bytes);
        float *row = malloc((size_t)p.k * sizeof *row);
        for (int m = 0; m < p.m; m++)
            for (int n = 0; n < p.n; n++) {
                double sum = 0, got = 0, size = 0;
                panels_row(&b.w[0], n, p.k, row);
                for (int k = 0; k < p.k; k++) {
                    const bf16 x = ((const bf16 *)b.a.data)[(size_t)m * args.a_stride + (size_t)k];
                    sum += (double)float_of_bf16(x) * (double)row[k];
                    size += fabs((double)float_of_bf16(x) *
                                 (double)panels_scale(&b.w[0], n, panel_group_of(&b.w[0], k)) *
                                 (p.layout.format == PANELS_INT4 ? 16 : 256));
                }
                for (int node = 0; node < b.leaves.n_nodes; node++)
                    got += (double)((const float *)
                                        b.expected.data)[(size_t)node * args.node_stride +
                                                         (size_t)m * args.out_stride + (size_t)n];
                assert_true(fabs(got - sum) <= 1e-6 * size);
            }
        free(row);
        tear_down(&b);
    }
}

// A rank that has some of the columns, beginning within a group, computes its leaves' sums.
static void parts_of_ranks_are_those_of_one(void **state)
{
    (void)state;
    number_mode_set();
    const struct kernels *kernels = kernels_for(isa_of_machine());
    for (int i = 0; i < 60; i++) {
        struct problem p = {random_layout(i % 2 ? PANELS_INT8 : PANELS_INT4),
                            COMPUTE_BF16,
                            ORDINARY,
                            random_between(1, 20),
                            50,
                            2 * random_between(8, 200),
                            1,
                            false,
                            false,
                            false};
        const int cut = 2 * random_between(1, p.k / 2 - 1);
        struct buffers b = {0};
        struct matmul args = set_up(&p, &b);
        b.leaves = (struct leaf_plan){2, 2, {{0, cut, 0}, {cut, p.k, 0}}};
        const size_t count = (size_t)p.m * (size_t)p.n;
        float *whole = malloc(2 * count * sizeof *whole), *part = malloc(count * sizeof *part);
        args.out = whole;
        args.out_stride = (size_t)p.n;
        args.node_stride = count;
        args.bias = NULL;
        args.panel_end = args.w->n_panels;
        kernels->matmul(&args);
        struct panel_layout layout = p.layout;
        layout.groups.before =
            layout.groups.columns ? (layout.groups.before + cut) % layout.groups.columns : 0;
        struct guarded memory;
        struct panels w = integer_panels_new(&layout, p.n, p.k - cut, &memory);
        const int first = panel_group_of(&b.w[0], cut), n_groups = b.integers[0].n_groups;
        panels_pack_codes(&w, 0, p.n, 0, p.k - cut, b.integers[0].codes + cut, (size_t)p.k);
        panels_pack_scales(&w, 0, p.n, 0, w.n_groups, b.integers[0].scales + first,
                           b.integers[0].zeros + first, (size_t)n_groups);
        const struct leaf_plan own = leaf_plan_whole(p.k - cut);
        args.w = &w;
        args.leaves = &own;
        args.a = (const bf16 *)args.a + cut;
        args.out = part;
        kernels->matmul(&args);
        assert_same(part, whole + count, count, false, "a rank's leaf");
        free(part);
        free(whole);
        guarded_free(&memory);
        tear_down(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_LEVELS(columns),
        TEST_LEVELS(chains),
        TEST_LEVELS(rows),
        TEST_LEVELS(large),
        TEST_LEVELS(deep_stacks),
        cmocka_unit_test(reference_is_near_the_exact_sum),
        cmocka_unit_test(parts_of_ranks_are_those_of_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
