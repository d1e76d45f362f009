// Weighted sums of rows along a tree (docs/numerics.md section 11), each instruction set beside the
// reference, and the reference beside the tree as the page has it.
#include "kernels/kernel_data.h"

#include "device/cpu/reference.h"

enum { ROWS_MAX = 9, COLUMNS_MAX = 150 };

struct sums {
    struct guarded rows[ROWS_MAX], got, expected;
    const float *at[ROWS_MAX];
    float weights[ROWS_MAX];
    uint8_t merges[ROWS_MAX];
};

// Any way of summing n numbers of which one is left, within the depth.
static void draw_merges(int n, uint8_t *merges)
{
    int depth = 0;
    for (int i = 0; i < n; i++) {
        depth++;
        int most = depth - 1, least = depth == WEIGHTED_DEPTH_MAX ? 1 : 0;
        merges[i] =
            (uint8_t)(i == n - 1 ? most : random_between(least < most ? least : most, most));
        depth -= merges[i];
    }
}

static void check_sums(const struct kernels *kernels, int n, int columns, enum data_kind kind)
{
    struct sums s;
    const size_t bytes = (size_t)columns * sizeof(float);
    for (int i = 0; i < n; i++) {
        s.rows[i] = guarded_new(bytes, sizeof(float));
        float *row = s.rows[i].data;
        for (int k = 0; k < columns; k++)
            row[k] = random_value(kind);
        s.at[i] = row;
        s.weights[i] = random_value(kind);
    }
    draw_merges(n, s.merges);
    s.got = guarded_new(bytes, sizeof(float));
    s.expected = guarded_new(bytes, sizeof(float));
    struct weighted_rows args = {.n = n,
                                 .rows = s.at,
                                 .weights = s.weights,
                                 .merges = s.merges,
                                 .columns = columns,
                                 .out = s.got.data};
    kernels->sum_weighted(&args);
    args.out = s.expected.data;
    reference_sum_weighted(&args);
    assert_same(s.got.data, s.expected.data, (size_t)columns, false, "sum_weighted");
    for (int i = 0; i < n; i++)
        guarded_free(&s.rows[i]);
    guarded_free(&s.got);
    guarded_free(&s.expected);
}

static void sums_of_rows(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int round = 0; round < 60; round++)
        for (int n = 0; n <= ROWS_MAX; n++) {
            const int columns = round < 40 ? round + 1 : random_between(1, COLUMNS_MAX);
            check_sums(kernels, n, columns, (enum data_kind)(round % NOT_FINITE));
        }
}

static void a_negative_zero_becomes_positive(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    float row[20], out[20];
    const float *rows[] = {row};
    const float weight = -1;
    const uint8_t merges = 0;
    memset(row, 0, sizeof row);
    const struct weighted_rows args = {
        .n = 1, .rows = rows, .weights = &weight, .merges = &merges, .columns = 20, .out = out};
    kernels->sum_weighted(&args);
    for (int i = 0; i < 20; i++)
        assert_int_equal(bits_of_float(out[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_LEVELS(sums_of_rows),
        TEST_LEVELS(a_negative_zero_becomes_positive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
