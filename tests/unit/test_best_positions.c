// The best of many scores, against a search that looks at them one by one.
#include "testing.h"

#include <math.h>
#include <stdbool.h>

#include "model/best_positions.h"

enum { N_MAX = 700 };

static uint32_t state_of_numbers = 12345;

static uint32_t next_number(void)
{
    state_of_numbers = state_of_numbers * 1664525 + 1013904223;
    return state_of_numbers >> 8;
}

static bool is_better(float a, float b)
{
    a = a != a ? -INFINITY : a;
    b = b != b ? -INFINITY : b;
    return a > b;
}

// One after the other: the best of those that are left, of equal ones the first.
static void choose_slowly(const float *scores, int n, int k, int32_t *out)
{
    bool chosen[N_MAX] = {0};
    for (int i = 0; i < k; i++) {
        int best = -1;
        for (int j = 0; j < n; j++)
            if (!chosen[j] && (best < 0 || is_better(scores[j], scores[best])))
                best = j;
        chosen[best] = true;
    }
    for (int j = 0, used = 0; j < n; j++)
        if (chosen[j])
            out[used++] = j;
}

static void check_all_counts(const float *scores, int n)
{
    int32_t expected[N_MAX], found[N_MAX];
    for (int k = 1; k < n; k += k < 5 || n < 40 ? 1 : n / 7) {
        choose_slowly(scores, n, k, expected);
        best_positions(scores, n, k, found);
        for (int i = 0; i < k; i++)
            assert_int_equal(found[i], expected[i]);
    }
}

static void of_equal_scores_the_lower_position_counts(void **state)
{
    (void)state;
    const float zeros[] = {0, -0.0F, 1, -0.0F, 0, 1, -1};
    static const int32_t expected[] = {0, 1, 2, 5};
    int32_t out[4];
    best_positions(zeros, 7, 4, out);
    assert_memory_equal(out, expected, sizeof out);
    check_all_counts(zeros, 7);
    float equal[N_MAX];
    for (int i = 0; i < N_MAX; i++)
        equal[i] = (float)(next_number() % 3) - 1;
    check_all_counts(equal, N_MAX);
}

static void any_numbers(void **state)
{
    (void)state;
    static const float special[] = {INFINITY, -INFINITY, NAN, -NAN, 0, -0.0F, 1e-38F, -3e38F};
    for (int round = 0; round < 200; round++) {
        float scores[N_MAX];
        const int n = 2 + (int)(next_number() % (round % 20 ? 60 : N_MAX - 2)),
                  odd = round % 3 ? 0 : 6;
        for (int i = 0; i < n; i++) {
            scores[i] = ((float)next_number() / (1 << 23) - 1) * (round % 2 ? 1 : 1e-6F) + 1;
            if (odd && next_number() % (uint32_t)odd == 0)
                scores[i] = special[next_number() % 8];
            else if (next_number() % 2)
                scores[i] = -scores[i];
        }
        check_all_counts(scores, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_equal_scores_the_lower_position_counts),
        cmocka_unit_test(any_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
