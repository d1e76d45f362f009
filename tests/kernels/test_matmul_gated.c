// Activated products, act(a · w + bias) · (a · up + up_bias) or without `up`: the reference is made
// of what it is written with, and every ISA gives its bits, in both orders, with every buffer
// against a guard page.
#include "testing.h"

#include "kernels/matmul_data.h"

struct problem {
    enum product_order order;
    enum panel_format format;
    enum compute_type type;
    enum data_kind kind;
    int m, n, k;
    bool bias;
    enum activation activation;
    bool plain; // without `up`
};

struct buffers {
    struct guarded weights, a, out, expected, bias, scratch;
    size_t out_bytes;
    struct panels gate, up;
    struct leaf_plan whole;
};

static size_t item_bytes(enum compute_type type)
{
    return type == COMPUTE_BF16 ? 2 : 4;
}

static void set_up_input(const struct problem *p, struct buffers *b, struct matmul *args)
{
    size_t count = ((size_t)p->m - 1) * args->a_stride + (size_t)p->k;
    b->a = guarded_new(count * item_bytes(p->type), 4);
    for (size_t i = 0; i < count; i++)
        if (args->a_is_bf16)
            ((bf16 *)b->a.data)[i] = bf16_of_float(random_value(p->kind));
        else
            ((float *)b->a.data)[i] = random_value(p->kind);
    args->a = b->a.data;
}

static struct matmul set_up(const struct problem *p, struct buffers *b)
{
    size_t bytes, n = (size_t)p->n;
    assert_int_equal(panels_bytes(p->format, p->n, p->k, &bytes), OK);
    b->weights = guarded_new(2 * bytes, 64);
    panels_init_pair(&b->gate, &b->up, p->format, p->n, p->k, b->weights.data);
    fill_panels(&b->gate, p->kind);
    fill_panels(&b->up, p->kind);
    b->whole = (struct leaf_plan){.n_leaves = 1, .n_nodes = 1};
    b->whole.leaf[0].k_end = p->k;
    struct matmul args = {.w = &b->gate,
                          .up = &b->up,
                          .leaves = &b->whole,
                          .m = p->m,
                          .a_is_bf16 = p->type == COMPUTE_BF16,
                          .type = p->type,
                          .activation = {p->activation, 0.8f, 1.3f, 0.5f, -1e-6f, 1.702f, 2.0f},
                          .order = p->order};
    args.a_stride = (size_t)p->k + 2 * (size_t)random_between(0, 9);
    set_up_input(p, b, &args);
    const bool lines = random_bits() % 2; // rows that begin on cache lines, as the model's do
    args.out_stride = lines ? (n + 31) / 32 * 32 : n + (size_t)random_between(0, 20);
    b->out_bytes = (((size_t)p->m - 1) * args.out_stride + n) * item_bytes(p->type);
    b->out = guarded_new(b->out_bytes, lines ? 64 : 2);
    b->expected = guarded_new(b->out_bytes, 2);
    b->bias = guarded_new(2 * n * sizeof(float), 4);
    random_values(b->bias.data, 2 * n, p->kind);
    args.bias = p->bias ? b->bias.data : NULL;
    args.up_bias = p->bias ? args.bias + n : NULL;
    b->scratch = guarded_new(MATMUL_SCRATCH_BYTES, 64);
    args.scratch = b->scratch.data;
    if (p->plain) {
        panels_init(&b->gate, p->format, p->n, p->k, b->weights.data);
        fill_panels(&b->gate, p->kind);
        args.up = NULL;
        args.up_bias = NULL;
    }
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
                     size_t out_bytes)
{
    args.activated = out->data;
    multiply_in_parts(kernels, args, out, out_bytes);
}

static void compare(const struct problem *p, const struct buffers *b, const char *what)
{
    char text[200];
    snprintf(text, sizeof text,
             "%s: %s, format %d, type %d, m %d, n %d, k %d, data %d, bias %d, activation %d%s",
             what, product_order_name(p->order), (int)p->format, (int)p->type, p->m, p->n, p->k,
             (int)p->kind, p->bias, (int)p->activation, p->plain ? " alone" : "");
    assert_same(b->out.data, b->expected.data, b->out_bytes / item_bytes(p->type),
                p->type == COMPUTE_BF16, text);
}

static void check(const struct kernels *kernels, const struct problem *p)
{
    struct buffers b;
    struct matmul args = set_up(p, &b);
    multiply(kernels_for(ISA_REFERENCE), args, &b.expected, b.out_bytes);
    multiply(kernels, args, &b.out, b.out_bytes);
    compare(p, &b, kernels->isa);
    tear_down(&b);
}

// One problem of these sizes for each kind of data, order and pair of types.
static void check_sizes(const struct kernels *kernels, int m, int n, int k)
{
    static const struct {
        enum product_order order;
        enum panel_format format;
        enum compute_type type;
    } cases[] = {
        {ORDER_TILES, PANELS_BF16, COMPUTE_BF16}, {ORDER_PAIRS, PANELS_BF16, COMPUTE_BF16},
        {ORDER_PAIRS, PANELS_F16, COMPUTE_F16},   {ORDER_PAIRS, PANELS_F32, COMPUTE_F32},
        {ORDER_PAIRS, PANELS_BF16, COMPUTE_F32},
    };
    for (int kind = 0; kind < DATA_KINDS; kind++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            check(kernels,
                  &(struct problem){cases[i].order, cases[i].format, cases[i].type,
                                    (enum data_kind)kind, m, n, k, random_bits() % 2,
                                    (enum activation)random_between(0, ACTIVATION_COUNT - 1),
                                    random_bits() % 3 == 0});
}

static void columns(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int n = 1; n <= 150; n += SIZE_STEP * random_between(1, 5))
        check_sizes(kernels, random_between(1, 12), n, 2 * random_between(1, 30));
}

static void rows(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int m = 1; m <= 70; m += SIZE_STEP * random_between(1, 3))
        check_sizes(kernels, m, random_between(40, 110), 2 * random_between(1, 40));
}

// Several blocks of rows, chunks of k and groups of panels.
static void large(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    static const struct problem problems[] = {
        {ORDER_TILES, PANELS_BF16, COMPUTE_BF16, ORDINARY, 9, 97, 4300, true, ACTIVATION_SILU,
         false},
        {ORDER_TILES, PANELS_BF16, COMPUTE_BF16, ORDINARY, 258, 50, 4300, false,
         ACTIVATION_GELU_TANH, false},
        {ORDER_TILES, PANELS_BF16, COMPUTE_BF16, ORDINARY, 530, 49, 1100, true, ACTIVATION_XIELU,
         true},
        {ORDER_PAIRS, PANELS_BF16, COMPUTE_BF16, ORDINARY, 9, 97, 4300, true, ACTIVATION_SILU,
         false},
        {ORDER_PAIRS, PANELS_BF16, COMPUTE_BF16, ORDINARY, 140, 50, 4300, false,
         ACTIVATION_GELU_ERF, false},
        {ORDER_PAIRS, PANELS_BF16, COMPUTE_BF16, ORDINARY, 132, 50, 300, false,
         ACTIVATION_RELU_SQUARED, true},
        {ORDER_PAIRS, PANELS_F16, COMPUTE_F16, ORDINARY, 129, 50, 300, false, ACTIVATION_SILU,
         false},
        {ORDER_PAIRS, PANELS_F16, COMPUTE_F16, ORDINARY, 1, 900, 70, true, ACTIVATION_QUICK_GELU,
         false},
        {ORDER_PAIRS, PANELS_F32, COMPUTE_F32, ORDINARY, 300, 49, 34, true, ACTIVATION_RELU, true},
    };
    for (size_t i = 0; i < sizeof problems / sizeof problems[0]; i++)
        check(kernels, &problems[i]);
}

// One or two products and activate_mul, one after the other.
static void reference_is_what_it_is_made_of(void **state)
{
    (void)state;
    number_mode_set();
    const struct kernels *kernels = kernels_for(ISA_REFERENCE);
    for (int i = 0; i < ORDER_COUNT * ACTIVATION_COUNT * 2; i++) {
        struct problem p = {(enum product_order)(i % ORDER_COUNT),
                            PANELS_BF16,
                            COMPUTE_BF16,
                            ORDINARY,
                            3,
                            110,
                            70,
                            true,
                            (enum activation)(i / ORDER_COUNT % ACTIVATION_COUNT),
                            i >= ORDER_COUNT * ACTIVATION_COUNT};
        struct buffers b;
        struct matmul args = set_up(&p, &b), single = args;
        multiply(kernels, args, &b.out, b.out_bytes);
        float gate[3 * 110], up[3 * 110] = {0};
        single.up = NULL;
        single.panel_end = args.w->n_panels;
        single.out_stride = 110;
        single.out = gate;
        kernels->matmul(&single);
        if (args.up) {
            single.w = args.up;
            single.bias = args.up_bias;
            single.out = up;
            kernels->matmul(&single);
        }
        memset(b.expected.data, 0x5a, b.out_bytes);
        for (size_t row = 0; row < 3; row++)
            kernels->activate_mul(&args.activation, gate + row * 110,
                                  args.up ? up + row * 110 : NULL, 110, p.type,
                                  (bf16 *)b.expected.data + row * args.out_stride);
        compare(&p, &b, "products and activate_mul");
        tear_down(&b);
    }
}

// The pair fills its bytes and neither matrix touches the other's.
static void pairs_lie_side_by_side(void **state)
{
    (void)state;
    for (int n = 1; n <= 200; n += 7) {
        const int k = 6;
        size_t bytes;
        assert_int_equal(panels_bytes(PANELS_F32, n, k, &bytes), OK);
        struct guarded memory = guarded_new(2 * bytes, 64);
        memset(memory.data, 0xff, 2 * bytes);
        struct panels w[2];
        panels_init_pair(&w[0], &w[1], PANELS_F32, n, k, memory.data);
        float row[6];
        for (int r = 0; r < n; r++)
            for (int which = 0; which < 2; which++) {
                for (int i = 0; i < k; i++)
                    row[i] = (float)(1 + which + 2 * (r * k + i));
                panels_pack(&w[which], r, 1, 0, k, row, SOURCE_F32, (size_t)k);
            }
        for (int r = 0; r < n; r++)
            for (int which = 0; which < 2; which++) {
                panels_row(&w[which], r, w[which].k, row);
                for (int i = 0; i < k; i++)
                    assert_true(row[i] == (float)(1 + which + 2 * (r * k + i)));
            }
        size_t zeros = 0;
        for (size_t i = 0; i < 2 * bytes / 4; i++) {
            assert_int_not_equal(((uint32_t *)memory.data)[i], UINT32_MAX);
            zeros += ((uint32_t *)memory.data)[i] == 0;
        }
        assert_int_equal(zeros, 2 * ((n + 15) / 16 * 16 - n) * k);
        guarded_free(&memory);
    }
}

#define LEVELS(function)                                                                           \
    TEST_LEVELS(function),                                                                         \
    {                                                                                              \
#function " amx", function, NULL, NULL, &levels[ISA_AMX]                                   \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_lie_side_by_side),
        cmocka_unit_test(reference_is_what_it_is_made_of),
        LEVELS(columns),
        LEVELS(rows),
        LEVELS(large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
