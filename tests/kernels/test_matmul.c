// Products: every ISA gives the reference's bits, on ordinary and extreme data, all tail sizes,
// several leaf plans and strides, with every buffer against a guard page.
#include "testing.h"

#include "device/device.h"
#include "kernels/guarded.h"
#ifdef __x86_64__
#include "device/cpu/x86/x86.h"
#endif

#define fail_test(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

static uint64_t state = 88172645463325252u;

static uint32_t random_bits(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

static int between(int least, int most)
{
    return least + (int)(random_bits() % (uint32_t)(most - least + 1));
}

static float normal(void) // near enough
{
    float sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (float)(int32_t)random_bits() / 2147483648.0f;
    return sum;
}

// TINY and HUGE_ make products that are denormal, or overflow; NOT_FINITE adds a few infinities and
// NaNs.
enum data { ORDINARY, TINY, HUGE_, NOT_FINITE, DATA_COUNT };

static float value(enum data data)
{
    static const uint32_t special[] = {0x80000000u, 0u,          0x00000001u, 0x807fffffu,
                                       0x00800000u, 0x80800000u, 0x7f7fffffu, 0xff7f0000u};
    float x = normal();
    switch (data) {
    case ORDINARY:
        return x;
    case TINY:
        if (random_bits() % 8 == 0)
            return float_of_bits(special[random_bits() % 6]);
        return float_of_bits(bits_of_float(x) - ((uint32_t)between(40, 80) << 23));
    case HUGE_:
        if (random_bits() % 64 == 0)
            return float_of_bits(special[random_bits() % 8]);
        return float_of_bits(bits_of_float(x) + ((uint32_t)between(30, 65) << 23));
    case NOT_FINITE:
        if (random_bits() % 128 == 0)
            return float_of_bits(random_bits() | 0x7f800000u);
        if (random_bits() % 64 == 0)
            return float_of_bits((random_bits() & 0x80000000u) | 0x7f800000u);
        return x;
    case DATA_COUNT:
        break;
    }
    return 0;
}

struct problem {
    enum panel_format format;
    bool a_is_bf16;
    enum data data;
    int m, n, k;
    struct leaf_plan plan;
    bool bias;
};

static void plan_one_leaf(struct leaf_plan *plan, int k)
{
    *plan = (struct leaf_plan){.n_leaves = 1, .n_nodes = 1};
    plan->leaf[0].k_end = k;
}

// At most `n_leaves` leaves at random places. `whole_tree`: one node, merged as the contract's tree
// of a power of two; otherwise merges at random, so that any number of nodes may be left.
static void plan_leaves(struct leaf_plan *plan, int k, int n_leaves, bool whole_tree)
{
    *plan = (struct leaf_plan){0};
    int depth = 0, pairs = k / 2;
    for (int i = 0; i < n_leaves; i++) {
        int begin = 2 * (i * pairs / n_leaves), end = 2 * ((i + 1) * pairs / n_leaves);
        if (begin == end)
            continue;
        int leaf = plan->n_leaves++;
        plan->leaf[leaf].k_begin = begin;
        plan->leaf[leaf].k_end = end;
        depth++;
        int merges = whole_tree ? __builtin_ctz((unsigned)(leaf + 1)) : between(0, 2);
        plan->leaf[leaf].merges = merges < depth ? merges : depth - 1;
        depth -= plan->leaf[leaf].merges;
    }
    if (whole_tree) {
        plan->leaf[plan->n_leaves - 1].merges += depth - 1;
        depth = 1;
    }
    plan->n_nodes = depth;
}

struct buffers {
    struct guarded weights, a, out, expected, bias, scratch;
    size_t out_count;
};

static void fill_panels(const struct panels *w, enum data data)
{
    float *row = malloc((size_t)w->k * sizeof *row);
    for (int r = 0; r < w->n; r++) {
        for (int k = 0; k < w->k; k++)
            row[k] = value(data);
        panels_pack(w, r, 1, 0, w->k, row, SOURCE_F32, (size_t)w->k);
    }
    free(row);
}

// The part of the stride's gap after the last row is not there: the guard page follows the last
// element.
static void set_up(const struct problem *problem, struct buffers *buffers, struct panels *w,
                   struct matmul *args)
{
    size_t bytes, m = (size_t)problem->m, k = (size_t)problem->k, n = (size_t)problem->n;
    assert_int_equal(panels_bytes(problem->format, problem->n, problem->k, &bytes), OK);
    buffers->weights = guarded_new(bytes, 64);
    panels_init(w, problem->format, problem->n, problem->k, buffers->weights.data);
    fill_panels(w, problem->data);

    *args = (struct matmul){
        .w = w, .leaves = &problem->plan, .m = problem->m, .a_is_bf16 = problem->a_is_bf16};
    args->a_stride = k + 2 * (size_t)between(0, 9);
    size_t a_count = (m - 1) * args->a_stride + k, a_element = problem->a_is_bf16 ? 2 : 4;
    buffers->a = guarded_new(a_count * a_element, 4);
    for (size_t i = 0; i < a_count; i++) {
        float x = value(problem->data);
        if (problem->a_is_bf16)
            ((bf16 *)buffers->a.data)[i] = bf16_of_float(x);
        else
            ((float *)buffers->a.data)[i] = x;
    }
    args->a = buffers->a.data;

    args->out_stride = n + (size_t)between(0, 20);
    args->node_stride = m * args->out_stride + (size_t)between(0, 5);
    buffers->out_count =
        (size_t)(problem->plan.n_nodes - 1) * args->node_stride + (m - 1) * args->out_stride + n;
    buffers->out = guarded_new(buffers->out_count * 4, 4);
    buffers->expected = guarded_new(buffers->out_count * 4, 4);
    buffers->bias = guarded_new(n * 4, 4);
    for (size_t i = 0; i < n; i++)
        ((float *)buffers->bias.data)[i] = value(problem->data);
    args->bias = problem->bias ? buffers->bias.data : NULL;
    buffers->scratch = guarded_new(MATMUL_SCRATCH_BYTES, 64);
    args->scratch = buffers->scratch.data;
}

static void tear_down(struct buffers *buffers)
{
    guarded_free(&buffers->weights);
    guarded_free(&buffers->a);
    guarded_free(&buffers->out);
    guarded_free(&buffers->expected);
    guarded_free(&buffers->bias);
    guarded_free(&buffers->scratch);
}

// As threads do: two ranges of panels, two calls.
static void run(void (*matmul)(const struct matmul *), struct matmul args, float *out)
{
    int n_panels = args.w->n_panels, middle = between(0, n_panels);
    args.out = out;
    args.panel_begin = 0;
    args.panel_end = middle;
    if (middle > 0)
        matmul(&args);
    args.panel_begin = middle;
    args.panel_end = n_panels;
    if (middle < n_panels)
        matmul(&args);
}

static void compare(const char *name, const struct problem *problem, const struct matmul *args,
                    const float *expected, const float *got, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float x = expected[i], y = got[i];
        if ((x != x && y != y) || bits_of_float(x) == bits_of_float(y))
            continue;
        size_t in_node = i % args->node_stride;
        fail_test("%s: format %d, a_is_bf16 %d, data %d, m %d, n %d, k %d, %d leaves, %d nodes, "
                  "bias %d: node %zu, row %zu, "
                  "column %zu is %a instead of %a",
                  name, problem->format, problem->a_is_bf16, problem->data, problem->m, problem->n,
                  problem->k, problem->plan.n_leaves, problem->plan.n_nodes, problem->bias,
                  i / args->node_stride, in_node / args->out_stride, in_node % args->out_stride,
                  (double)y, (double)x);
    }
}

struct candidate {
    const char *name;
    void (*matmul)(const struct matmul *args);
};

static int candidates(struct candidate out[8])
{
    int n = 0;
    for (int isa = ISA_REFERENCE + 1; isa <= (int)isa_of_machine(); isa++)
        out[n++] = (struct candidate){isa_name((enum isa)isa), kernels_for((enum isa)isa)->matmul};
#ifdef __x86_64__
    // The table holds the faster of two for this machine; both have to be right.
    if (isa_of_machine() >= ISA_AVX512BF16)
        out[n++] = (struct candidate){"avx512bf16, vdpbf16ps for all m", matmul_avx512bf16};
#endif
    return n;
}

static void check(const struct problem *problem)
{
    struct buffers buffers;
    struct panels w;
    struct matmul args;
    struct candidate candidate[8];
    set_up(problem, &buffers, &w, &args);
    memset(buffers.expected.data, 0x5a, buffers.out_count * 4);
    run(kernels_for(ISA_REFERENCE)->matmul, args, buffers.expected.data);
    int n_candidates = candidates(candidate);
    for (int i = 0; i < n_candidates; i++) {
        memset(buffers.out.data, 0x5a, buffers.out_count * 4);
        memset(buffers.scratch.data, 0xff, MATMUL_SCRATCH_BYTES); // NaNs, should they be read
        run(candidate[i].matmul, args, buffers.out.data);
        compare(candidate[i].name, problem, &args, buffers.expected.data, buffers.out.data,
                buffers.out_count);
    }
    tear_down(&buffers);
}

// One problem of these sizes for each pair of types and each kind of data, with a plan that varies.
static void check_sizes(int m, int n, int k)
{
    static const struct {
        enum panel_format format;
        bool a_is_bf16;
    } pair[] = {
        {PANELS_BF16, true}, {PANELS_BF16, false}, {PANELS_F16, false}, {PANELS_F32, false}};
    for (int i = 0; i < 4; i++) {
        for (int data = ORDINARY; data < DATA_COUNT; data++) {
            struct problem problem = {
                pair[i].format, pair[i].a_is_bf16, (enum data)data, m, n, k, {0}, false};
            static const int n_leaves[] = {1, 3, 8, 16};
            int plan = between(0, 4);
            if (plan == 0) {
                plan_one_leaf(&problem.plan, k);
                problem.bias = random_bits() % 2;
            } else {
                plan_leaves(&problem.plan, k, n_leaves[plan - 1], random_bits() % 2);
            }
            check(&problem);
        }
    }
}

static void every_number_of_columns(void **unused)
{
    (void)unused;
    for (int n = 1; n <= 100; n += SIZE_STEP)
        check_sizes(between(1, 12), n, 2 * between(1, 30));
}

static void every_length_of_a_chain(void **unused)
{
    (void)unused;
    for (int k = 2; k <= 200; k += 2 * SIZE_STEP)
        check_sizes(between(1, 10), between(1, 60), k);
}

static void every_number_of_rows(void **unused)
{
    (void)unused;
    for (int m = 1; m <= 70; m += SIZE_STEP)
        check_sizes(m, between(40, 110), 2 * between(1, 24));
}

// Sizes that need several blocks of k, of rows and of panels.
static void large_products(void **unused)
{
    (void)unused;
    check_sizes(1, 500, 1024);
    check_sizes(3, 100, 4100);
    check_sizes(70, 50, 2048);
    for (int m = 127; m <= 137; m += 5) // a block of rows and a few more
        check_sizes(m, 97, 1100);
    check_sizes(300, 70, 130);
    check_sizes(530, 49, 34);
    for (int i = 0; i < 6; i++) {
        struct problem problem = {i % 3 == 2 ? PANELS_F16 : PANELS_BF16,
                                  i % 3 == 0,
                                  ORDINARY,
                                  i % 2 ? 33 : 9,
                                  97,
                                  12288,
                                  {0},
                                  false};
        plan_leaves(&problem.plan, problem.k, i < 3 ? 8 : LEAVES_MAX, i % 2);
        check(&problem);
    }
}

// The deepest stack: nothing is merged before the last leaf, or at all.
static void deep_stacks(void **unused)
{
    (void)unused;
    for (int m = 1; m <= 40; m += 13) {
        for (int merged = 0; merged < 2; merged++) {
            struct problem problem = {PANELS_BF16, true, ORDINARY, m, 130, 300, {0}, false};
            problem.plan.n_leaves = LEAVES_MAX;
            for (int i = 0; i < LEAVES_MAX; i++) {
                problem.plan.leaf[i].k_begin = i * 4;
                problem.plan.leaf[i].k_end = i == LEAVES_MAX - 1 ? 300 : i * 4 + 4;
            }
            problem.plan.leaf[LEAVES_MAX - 1].merges = merged ? LEAVES_MAX - 1 : 0;
            problem.plan.n_nodes = merged ? 1 : LEAVES_MAX;
            check(&problem);
        }
    }
}

int main(void)
{
    number_mode_set();
    for (int isa = (int)isa_of_machine() + 1; isa < ISA_COUNT; isa++)
        print_message("skipped: this machine has no %s\n", isa_name((enum isa)isa));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_of_columns),
        cmocka_unit_test(every_length_of_a_chain),
        cmocka_unit_test(every_number_of_rows),
        cmocka_unit_test(large_products),
        cmocka_unit_test(deep_stacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
