// Norms, activations, rounding, rotary embedding, operations on rows, cache writes and vocabulary
// kernels: every level gives the reference's bits, at all tail sizes, on ordinary and extreme data,
// against guard pages.
#include "kernels/kernel_data.h"

#include <math.h>

#include "device/cpu/reference.h"

enum { TYPES = 3 };

static int size_of_step(int step) // 1 ... 80, then a few larger ones
{
    static const int large[] = {95, 127, 128, 129, 255, 257, 511, 513, 2048, 2055, 4096};
    return step < 80 ? step + 1 : large[step - 80];
}
enum { SIZE_STEPS = 91 };

static size_t out_bytes(enum compute_type type)
{
    return type == COMPUTE_BF16 ? 2 : 4;
}

static struct guarded random_buffer(size_t n, enum data_kind kind)
{
    struct guarded g = guarded_new(n * 4, 4);
    random_values(g.data, n, kind);
    return g;
}

struct case_of { // one set of buffers for every element-wise kernel
    int n;
    enum compute_type type;
    struct guarded a, b, got, expected;
};

static void case_new(struct case_of *c, int n, enum compute_type type, enum data_kind kind)
{
    c->n = n;
    c->type = type;
    c->a = random_buffer((size_t)n, kind);
    c->b = random_buffer((size_t)n, kind);
    c->got = guarded_new((size_t)n * out_bytes(type), out_bytes(type));
    c->expected = guarded_new((size_t)n * out_bytes(type), out_bytes(type));
}

static void case_check(struct case_of *c, const char *what)
{
    assert_same(c->got.data, c->expected.data, (size_t)c->n, c->type == COMPUTE_BF16, what);
    guarded_free(&c->a);
    guarded_free(&c->b);
    guarded_free(&c->got);
    guarded_free(&c->expected);
}

static void for_all(const struct kernels *kernels,
                    void (*check)(const struct kernels *, struct case_of *))
{
    for (int step = 0; step < SIZE_STEPS; step++)
        for (int type = 0; type < TYPES; type++)
            for (int kind = 0; kind < DATA_KINDS; kind++) {
                struct case_of c;
                case_new(&c, size_of_step(step), (enum compute_type)type, (enum data_kind)kind);
                check(kernels, &c);
            }
}

static void check_rmsnorm(const struct kernels *kernels, struct case_of *c)
{
    float eps = c->n % 2 ? 1e-5f : 0.0f;
    kernels->rmsnorm(c->a.data, c->b.data, eps, c->n, c->type, c->got.data);
    reference_rmsnorm(c->a.data, c->b.data, eps, c->n, c->type, c->expected.data);
    case_check(c, "rmsnorm");
}

static void check_layernorm(const struct kernels *kernels, struct case_of *c)
{
    const float eps = c->n % 2 ? 1e-5f : 0.0f, *bias = c->n % 3 ? (const float *)c->b.data : NULL;
    kernels->layernorm(c->a.data, c->b.data, bias, eps, c->n, c->type, c->got.data);
    reference_layernorm(c->a.data, c->b.data, bias, eps, c->n, c->type, c->expected.data);
    case_check(c, "layernorm");
}

static void check_activations(const struct kernels *kernels, struct case_of *c)
{
    if (c->n % 3 == 0) // where exp does its work
        for (int i = 0; i < c->n; i++)
            ((float *)c->a.data)[i] = random_value(ORDINARY) * (random_bits() % 2 ? 40 : 4);
    for (int kind = 0; kind < ACTIVATION_COUNT; kind++) {
        const struct activation_args args = {(enum activation)kind,
                                             random_value(ORDINARY),
                                             random_value(ORDINARY),
                                             random_value(ORDINARY),
                                             -1e-6f,
                                             1.702f,
                                             fabsf(random_value(ORDINARY))};
        const float *up = random_bits() % 3 ? (const float *)c->b.data : NULL;
        char text[64];
        snprintf(text, sizeof text, "activation %d%s", kind, up ? ", times up" : "");
        kernels->activate_mul(&args, c->a.data, up, c->n, c->type, c->got.data);
        reference_activate_mul(&args, c->a.data, up, c->n, c->type, c->expected.data);
        assert_same(c->got.data, c->expected.data, (size_t)c->n, c->type == COMPUTE_BF16, text);
    }
    case_check(c, "");
}

static void check_streams(const struct kernels *kernels, struct case_of *c)
{
    const size_t n = (size_t)c->n;
    float *got = c->got.data, *expected = c->expected.data, cutoff = random_value(ORDINARY);
    float sums[2], squares[] = {kernels->spread(c->a.data, n, &sums[0]),
                                reference_spread(c->a.data, n, &sums[1])};
    assert_same(&sums[0], &sums[1], 1, false, "spread's sum");
    assert_same(&squares[0], &squares[1], 1, false, "spread");
    memcpy(got, c->a.data, n * sizeof *got);
    memcpy(expected, c->a.data, n * sizeof *got);
    kernels->add_scaled(got, cutoff, c->b.data, n);
    reference_add_scaled(expected, cutoff, c->b.data, n);
    assert_same(got, expected, n, false, "add_scaled");
    if (c->n % 3 == 0) // the edge itself, from both sides
        got[0] = expected[0] = cutoff;
    kernels->cut_below(got, cutoff, n);
    reference_cut_below(expected, cutoff, n);
    assert_same(got, expected, n, false, "cut_below");
}

// What changes a row of f32 in place.
static void check_in_place(const struct kernels *kernels, struct case_of *c)
{
    const size_t n = (size_t)c->n;
    float *got = c->got.data, *expected = c->expected.data;
    if (c->type == COMPUTE_F32) {
        const float factor = random_value(ORDINARY), cap = c->n % 2 ? 30.0f : 2.5f;
        memcpy(got, c->a.data, n * sizeof *got);
        memcpy(expected, c->a.data, n * sizeof *got);
        kernels->scale(got, factor, n);
        reference_scale(expected, factor, n);
        assert_same(got, expected, n, false, "scale");
        kernels->softcap(got, cap, n);
        reference_softcap(expected, cap, n);
        assert_same(got, expected, n, false, "softcap");
        memcpy(got, c->a.data, n * sizeof *got);
        memcpy(expected, c->a.data, n * sizeof *got);
        kernels->scale_weighted(got, factor, c->b.data, n);
        reference_scale_weighted(expected, factor, c->b.data, n);
        assert_same(got, expected, n, false, "scale_weighted");
        const float sums[] = {kernels->squares(c->a.data, n), reference_squares(c->a.data, n)};
        assert_same(&sums[0], &sums[1], 1, false, "squares");
        check_streams(kernels, c);
    }
    case_check(c, "");
}

static void check_round(const struct kernels *kernels, struct case_of *c)
{
    if (c->n % 3 == 0) // the range of halves, down to their denormals
        for (int i = 0; i < c->n; i++)
            ((float *)c->a.data)[i] =
                random_value(ORDINARY) * float_of_bits((uint32_t)random_between(98, 144) << 23);
    kernels->round(c->a.data, (size_t)c->n, c->type, c->got.data);
    reference_round(c->a.data, (size_t)c->n, c->type, c->expected.data);
    case_check(c, "round");
}

static void check_add(const struct kernels *kernels, struct case_of *c)
{
    float *x = c->type == COMPUTE_BF16 ? NULL : c->got.data;
    if (x) {
        memcpy(c->got.data, c->a.data, (size_t)c->n * 4);
        memcpy(c->expected.data, c->a.data, (size_t)c->n * 4);
        kernels->add(c->got.data, c->b.data, (size_t)c->n);
        reference_add(c->expected.data, c->b.data, (size_t)c->n);
    }
    case_check(c, "add");
}

static void check_add_to(const struct kernels *kernels, struct case_of *c)
{
    if (c->type != COMPUTE_BF16) {
        kernels->add_to(c->got.data, c->a.data, c->b.data, (size_t)c->n);
        reference_add_to(c->expected.data, c->a.data, c->b.data, (size_t)c->n);
    }
    case_check(c, "add_to");
}

static void check_add_to_both(const struct kernels *kernels, struct case_of *c)
{
    if (c->type != COMPUTE_BF16) { // one sum in place of a summand, as the all-reduce does
        reference_add_to(c->expected.data, c->a.data, c->b.data, (size_t)c->n);
        kernels->add_to_both(c->a.data, c->got.data, c->a.data, c->b.data, (size_t)c->n);
        assert_same(c->a.data, c->expected.data, (size_t)c->n, false, "add_to_both's first sum");
    }
    case_check(c, "add_to_both");
}

static void check_copy(const struct kernels *kernels, struct case_of *c)
{
    if (c->type != COMPUTE_BF16) {
        kernels->copy(c->got.data, c->a.data, (size_t)c->n);
        memcpy(c->expected.data, c->a.data, (size_t)c->n * 4);
    }
    case_check(c, "copy");
}

static void check_exp_sum(const struct kernels *kernels, struct case_of *c)
{
    if (c->type == COMPUTE_BF16) {
        case_check(c, "");
        return;
    }
    float shift = c->n % 2 ? 3.5f : 0.0f;
    float got, expected;
    if (c->type == COMPUTE_F16) { // in place
        memcpy(c->got.data, c->a.data, (size_t)c->n * 4);
        got = kernels->exp_sum(c->got.data, shift, c->n, c->got.data);
    } else {
        got = kernels->exp_sum(c->a.data, shift, c->n, c->got.data);
    }
    expected = reference_exp_sum(c->a.data, shift, c->n, c->expected.data);
    assert_same(&got, &expected, 1, false, "exp_sum's result");
    case_check(c, "exp_sum");
}

static void rmsnorm(void **state)
{
    for_all(kernels_under_test(state), check_rmsnorm);
}

static void layernorm(void **state)
{
    for_all(kernels_under_test(state), check_layernorm);
}

static void activations(void **state)
{
    for_all(kernels_under_test(state), check_activations);
}

static void in_place(void **state)
{
    for_all(kernels_under_test(state), check_in_place);
}

static void rounding(void **state)
{
    for_all(kernels_under_test(state), check_round);
}

static void add(void **state)
{
    for_all(kernels_under_test(state), check_add);
}

static void add_to(void **state)
{
    for_all(kernels_under_test(state), check_add_to);
}

static void add_to_both(void **state)
{
    for_all(kernels_under_test(state), check_add_to_both);
}

static void copy(void **state)
{
    for_all(kernels_under_test(state), check_copy);
}

static void exp_sum(void **state)
{
    for_all(kernels_under_test(state), check_exp_sum);
}

// tanh and erf over all floats, through the vector code: a step of the sign, of each edge between
// their formulas, and a sweep.
static void tanh_and_erf_of_all_ranges(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    const struct activation_args gelu = {.kind = ACTIVATION_GELU_ERF};
    static const uint32_t edges[] = {0x3f200000u, 0x3f800000u, 0x40800000u, 0x3fb504f3u};
    enum { N = 4096 };
    static float x[N], got[N], expected[N];
    for (uint32_t block = 0; block < 308; block++) {
        for (uint32_t i = 0; i < N; i++)
            x[i] = float_of_bits(block < 300 ? (block * N + i) * 3499u
                                             : (edges[block % 4] + i - N / 2) ^ (block & 4) << 29);
        memcpy(got, x, sizeof x);
        memcpy(expected, x, sizeof x);
        kernels->softcap(got, 1, N);
        reference_softcap(expected, 1, N);
        assert_same(got, expected, N, false, "tanh");
        kernels->activate_mul(&gelu, x, NULL, N, COMPUTE_F32, got);
        reference_activate_mul(&gelu, x, NULL, N, COMPUTE_F32, expected);
        assert_same(got, expected, N, false, "erf");
    }
}

// Every float near exp's edges and a sweep of all others, through the vector code.
static void exp_of_all_ranges(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    enum { N = 4096 };
    static float x[N], got[N], expected[N];
    for (uint32_t block = 0; block < 1200; block++) {
        for (uint32_t i = 0; i < N; i++) {
            uint32_t index = block * N + i;
            if (block < 1100)
                x[i] = float_of_bits(index * 953u);
            else
                x[i] = float_of_bits(block % 2 ? 0x42b17218u + i - N / 2 : 0xc2aeac4fu + i - N / 2);
        }
        kernels->exp_sum(x, 0, N, got);
        reference_exp_sum(x, 0, N, expected);
        assert_same(got, expected, N, false, "exp");
    }
}

static void weigh(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    enum { N = 5 * WEIGHING_BLOCK };
    for (int round = 0; round < rounds(60); round++) {
        int n = 1 + (int)(random_bits() % N), blocks = (n + WEIGHING_BLOCK - 1) / WEIGHING_BLOCK;
        size_t whole = (size_t)blocks * WEIGHING_BLOCK;
        struct guarded x = random_buffer((size_t)n, (enum data_kind)(round % DATA_KINDS));
        uint64_t sums[2][N / WEIGHING_BLOCK];
        uint32_t weights[2][N];
        float scores[2][N];
        float *values = x.data, largest;
        for (int i = 0; i < n && round >= 30; i++) // as logits are
            values[i] = (float)random_between(-3000, 3000) * 0.01f;
        for (int i = 0; i < n && round >= 50; i++)
            values[i] = random_bits() % 3 ? values[i] : random_bits() % 2 ? -INFINITY : NAN;
        reference_argmax(values, n, &largest);
        struct weighing args = {.x = values, .factor = 0.7f, .shift = largest * 0.7f, .n = n};
        for (int side = 0; side < 2; side++) {
            args.sums = sums[side];
            args.weights = weights[side];
            args.scores = scores[side];
            (side ? kernels->weigh : reference_weigh)(&args);
        }
        assert_memory_equal(sums[0], sums[1], (size_t)blocks * sizeof sums[0][0]);
        assert_memory_equal(weights[0], weights[1], whole * sizeof weights[0][0]);
        assert_same(scores[1], scores[0], whole, false, "scores");
        args.weights = NULL; // only the sums
        args.scores = NULL;
        args.sums = sums[1];
        memset(sums[1], 0, sizeof sums[1]);
        kernels->weigh(&args);
        assert_memory_equal(sums[0], sums[1], (size_t)blocks * sizeof sums[0][0]);
        float tops[2][N / WEIGHING_BLOCK];
        reference_tops(values, n, tops[0]);
        kernels->tops(values, n, tops[1]);
        for (int i = 0; i < blocks; i++) // zeros of either sign are one
            assert_true(tops[0][i] == tops[1][i]);
        guarded_free(&x);
    }
}

// In f64, on a row far from zero.
static void reference_layernorm_is_layer_norm(void **state)
{
    (void)state;
    number_mode_set();
    enum { N = 100 };
    float x[N], weight[N], bias[N], got[N];
    random_values(x, N, ORDINARY);
    random_values(weight, N, ORDINARY);
    random_values(bias, N, ORDINARY);
    double mean = 0, variance = 0;
    for (int i = 0; i < N; i++)
        mean += (double)(x[i] += 10) / N;
    for (int i = 0; i < N; i++)
        variance += ((double)x[i] - mean) * ((double)x[i] - mean) / N;
    for (int with_bias = 0; with_bias < 2; with_bias++) {
        reference_layernorm(x, weight, with_bias ? bias : NULL, 1e-5f, N, COMPUTE_F32, got);
        for (int i = 0; i < N; i++) {
            double y = ((double)x[i] - mean) / sqrt(variance + 1e-5) * (double)weight[i] +
                       (with_bias ? (double)bias[i] : 0);
            assert_true(fabs((double)got[i] - y) < 1e-5);
        }
    }
}

static void check_rope(const struct kernels *kernels, int n_rotated, enum data_kind kind)
{
    const size_t n = (size_t)n_rotated;
    struct guarded got = random_buffer(n, kind), expected = guarded_new(n * 4, 4);
    struct guarded cosines = random_buffer(n / 2, kind), sines = random_buffer(n / 2, kind);
    memcpy(expected.data, got.data, n * 4);
    kernels->rope(got.data, cosines.data, sines.data, n_rotated);
    reference_rope(expected.data, cosines.data, sines.data, n_rotated);
    assert_same(got.data, expected.data, n, false, "rope");
    kernels->rope_interleaved(got.data, cosines.data, sines.data, n_rotated);
    reference_rope_interleaved(expected.data, cosines.data, sines.data, n_rotated);
    assert_same(got.data, expected.data, n, false, "rope_interleaved");
    guarded_free(&got);
    guarded_free(&expected);
    guarded_free(&cosines);
    guarded_free(&sines);
}

static void rope(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int n = 2; n <= 512; n += n < 140 ? 2 : 62)
        for (int kind = 0; kind < DATA_KINDS; kind++)
            check_rope(kernels, n, (enum data_kind)kind);
}

// The interleaved one is the other one on numbers in another order.
static void interleaved_rope_is_rope(void **state)
{
    (void)state;
    number_mode_set();
    for (int n = 2; n <= 32; n += 2) {
        float x[32], halves[32], cosines[16], sines[16];
        random_values(x, (size_t)n, ORDINARY);
        random_values(cosines, 16, ORDINARY);
        random_values(sines, 16, ORDINARY);
        for (int i = 0; i < n; i++)
            halves[i / 2 + i % 2 * (n / 2)] = x[i];
        reference_rope(halves, cosines, sines, n);
        reference_rope_interleaved(x, cosines, sines, n);
        for (int i = 0; i < n; i++)
            assert_true(x[i] == halves[i / 2 + i % 2 * (n / 2)]);
    }
}

static void argmax(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int round = 0; round < rounds(20); round++)
        for (int step = 0; step < SIZE_STEPS; step++) {
            int n = size_of_step(step);
            struct guarded x = random_buffer((size_t)n, (enum data_kind)(round % DATA_KINDS));
            float *values = x.data;
            for (int i = 0; i < n; i++) // many equal ones
                if (round >= 10)
                    values[i] = (float)random_between(-2, round - 12);
            if (round == 19)
                for (int i = 0; i < n; i++)
                    values[i] = random_bits() % 2 ? -INFINITY : NAN;
            float got, expected;
            int index = kernels->argmax(x.data, n, &got);
            assert_int_equal(index, reference_argmax(x.data, n, &expected));
            assert_same(&got, &expected, 1, false, "argmax");
            guarded_free(&x);
        }
}

struct cache { // three pages of one layer and head, the last one against a guard page
    struct guarded keys, values;
    struct kv_view view;
};

// `value_dim` 0: values are the keys' own first numbers.
static void cache_new(struct cache *cache, enum compute_type type, int head_dim, int value_dim,
                      const int32_t *pages, int fill)
{
    const int wider = value_dim > head_dim ? value_dim : head_dim;
    size_t page_bytes = (size_t)KV_PAGE_TOKENS * (size_t)wider * compute_bytes(type);
    cache->keys = guarded_new(3 * page_bytes, 2);
    cache->values = guarded_new(3 * page_bytes, 2);
    memset(cache->keys.data, fill, 3 * page_bytes);
    memset(cache->values.data, fill, 3 * page_bytes);
    cache->view = (struct kv_view){.type = type,
                                   .head_dim = head_dim,
                                   .value_dim = value_dim ? value_dim : head_dim / 2,
                                   .keys = cache->keys.data,
                                   .values = value_dim ? cache->values.data : NULL,
                                   .page_stride = page_bytes,
                                   .pages = pages};
}

static void cache_free(struct cache *cache)
{
    guarded_free(&cache->keys);
    guarded_free(&cache->values);
}

static void check_kv_write(const struct kernels *kernels, enum compute_type type, int head_dim,
                           int value_dim, int64_t position, int n_tokens, enum data_kind kind)
{
    static const int32_t pages[] = {1, 2, 0};
    const int wider = value_dim > head_dim ? value_dim : head_dim;
    size_t stride = (size_t)wider * 3 + 1, n = (size_t)(n_tokens - 1) * stride + (size_t)wider;
    struct guarded k = random_buffer(n, kind), v = random_buffer(n, kind);
    struct cache got, expected;
    cache_new(&got, type, head_dim, value_dim, pages, 0x3c);
    cache_new(&expected, type, head_dim, value_dim, pages, 0x3c);
    kernels->kv_write(&got.view, position, n_tokens, k.data, v.data, stride);
    reference_kv_write(&expected.view, position, n_tokens, k.data, v.data, stride);
    size_t count = 3 * (size_t)KV_PAGE_TOKENS * (size_t)wider;
    if (type == COMPUTE_F16) {
        assert_memory_equal(got.keys.data, expected.keys.data, count * 2);
        assert_memory_equal(got.values.data, expected.values.data, count * 2);
    } else {
        assert_same(got.keys.data, expected.keys.data, count, type == COMPUTE_BF16, "keys");
        assert_same(got.values.data, expected.values.data, count, type == COMPUTE_BF16, "values");
    }
    cache_free(&got);
    cache_free(&expected);
    guarded_free(&k);
    guarded_free(&v);
}

static void kv_write(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    static const int dims[] = {2, 6, 8, 16, 24, 30, 32, 34, 48, 64, 80, 96, 128, 256, 512};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (int type = 0; type < TYPES; type++)
            for (int round = 0; round < rounds(12); round++) {
                int64_t position = round < 2 ? round : random_between(0, 190);
                int n_tokens = round == 0 ? 192 : random_between(1, 192 - (int)position);
                enum data_kind kind = (enum data_kind)(round % DATA_KINDS);
                if (type == COMPUTE_F16 && (kind == NOT_FINITE || kind == ANY_BITS))
                    kind = ORDINARY; // which NaN comes out is not part of the contract
                int value_dim = round % 4 == 3   ? 0
                                : round % 4 == 2 ? dims[(i + 3) % (sizeof dims / sizeof *dims)]
                                                 : dims[i];
                check_kv_write(kernels, (enum compute_type)type, dims[i], value_dim, position,
                               round == 11 ? 1 : n_tokens, kind);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interleaved_rope_is_rope),
        cmocka_unit_test(reference_layernorm_is_layer_norm),
        TEST_LEVELS(rmsnorm),
        TEST_LEVELS(layernorm),
        TEST_LEVELS(activations),
        TEST_LEVELS(in_place),
        TEST_LEVELS(rounding),
        TEST_LEVELS(rope),
        TEST_LEVELS(add),
        TEST_LEVELS(add_to),
        TEST_LEVELS(add_to_both),
        TEST_LEVELS(copy),
        TEST_LEVELS(argmax),
        TEST_LEVELS(exp_sum),
        TEST_LEVELS(exp_of_all_ranges),
        TEST_LEVELS(tanh_and_erf_of_all_ranges),
        TEST_LEVELS(weigh),
        TEST_LEVELS(kv_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
