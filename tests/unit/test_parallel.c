// colrow/parallel.h as programs use it: groups, regions, linear layers, pipeline messages; and the
// example, whose output is fixed.
#include "ranks.h"

#include <libgen.h>
#include <math.h>

#include "colrow/parallel.h"

#define CHECK(call) RANK_CHECK((call) == 0)

static float number(uint32_t seed, size_t i)
{
    uint32_t x = seed * 2654435761u + (uint32_t)i * 40503u;
    x ^= x >> 15;
    x *= 2246822519u;
    x ^= x >> 13;
    return (float)(x >> 8) / (float)(1 << 23) - 1;
}

static float *filled(size_t n, uint32_t seed)
{
    float *data = malloc((n + 1) * sizeof *data);
    if (!data)
        abort();
    for (size_t i = 0; i < n; i++)
        data[i] = number(seed, i);
    return data;
}

// ---- what ranks do; the communicator that ranks.h opens is not used here: see main()

static int run_groups(int pipeline_size)
{
    CHECK(colrow_parallel_init(0, pipeline_size));
    int rank = colrow_rank(), tp = colrow_tensor_parallel_world_size();
    RANK_CHECK(colrow_parallel_init(0, pipeline_size) == -1);
    RANK_CHECK(strstr(colrow_parallel_error(), "already"));
    RANK_CHECK(colrow_local_rank() == rank && tp * pipeline_size == colrow_world_size());
    RANK_CHECK(colrow_tensor_parallel_rank() == rank % tp);
    RANK_CHECK(colrow_pipeline_parallel_rank() == rank / tp);
    RANK_CHECK(colrow_pipeline_parallel_world_size() == pipeline_size);
    int stage = rank / tp, first = stage * tp;
    // A value goes from stage to stage, growing by the stage's sum.
    float x[3] = {0};
    int before = colrow_pipeline_parallel_previous_rank();
    int next = colrow_pipeline_parallel_next_rank();
    RANK_CHECK((before < 0) == (stage == 0) && (next < 0) == (stage == pipeline_size - 1));
    if (before >= 0)
        CHECK(colrow_recv(x, 3, before));
    float own[3] = {(float)rank, 1, x[2]};
    CHECK(colrow_all_reduce(own, 2));
    x[0] += own[0];
    x[1] += own[1];
    if (next >= 0)
        CHECK(colrow_send(x, 3, next));
    int below = first + tp; // the sum of all ranks up to this stage
    RANK_CHECK(x[0] == (float)(below * (below - 1) / 2) && x[1] == (float)below);
    float root[2] = {(float)rank, -1};
    CHECK(colrow_broadcast(root, 2, tp - 1));
    RANK_CHECK(root[0] == (float)(first + tp - 1));
    RANK_CHECK(colrow_broadcast(root, 2, tp) == -1 && colrow_send(x, 1, rank) == -1);
    CHECK(colrow_barrier());
    return 0;
}

// Uneven columns: gathered, scattered again, the same.
static int run_regions(void)
{
    enum { ROWS = 3 };
    CHECK(colrow_parallel_init(0, 1));
    int tp = colrow_tensor_parallel_world_size();
    for (size_t columns = 0; columns < 40; columns += 1 + columns / 8) {
        size_t begin, end;
        colrow_tensor_part(columns, &begin, &end);
        RANK_CHECK(begin == columns * (size_t)colrow_rank() / (size_t)tp);
        RANK_CHECK(end == columns * ((size_t)colrow_rank() + 1) / (size_t)tp);
        float *full = filled(ROWS * columns, 7), *local = filled(ROWS * columns, 8);
        float *again = filled(ROWS * columns, 9);
        CHECK(colrow_scatter_to_tensor_region(full, ROWS, columns, local));
        for (size_t r = 0; r < ROWS; r++)
            for (size_t c = begin; c < end; c++)
                RANK_CHECK(local[r * (end - begin) + c - begin] == full[r * columns + c]);
        CHECK(colrow_gather_from_tensor_region(local, ROWS, end - begin, again));
        RANK_CHECK(memcmp(again, full, ROWS * columns * sizeof *full) == 0);
        CHECK(colrow_reduce_from_tensor_region(again, ROWS, columns));
        for (size_t i = 0; i < ROWS * columns; i++)
            RANK_CHECK(fabsf(again[i] - full[i] * (float)tp) <= 1e-5f);
        free(again);
        free(local);
        free(full);
    }
    float part[2] = {1, 2}, *all = filled(2 * (size_t)tp, 1);
    CHECK(colrow_all_gather(part, 2, all));
    CHECK(colrow_reduce_scatter(all, 2, part));
    RANK_CHECK(part[0] == (float)tp && part[1] == 2 * (float)tp);
    free(all);
    return 0;
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static int one_column_linear(size_t rows, size_t in, size_t out, int gather_output, int skip_bias)
{
    float *x = filled(rows * in, 1), *w = filled(out * in, 2), *b = filled(out, 3);
    float *y = filled(rows * out, 4);
    size_t begin, end;
    colrow_tensor_part(out, &begin, &end);
    const struct colrow_linear linear = {.in_features = in,
                                         .out_features = out,
                                         .weight = w + begin * in,
                                         .bias = b + begin,
                                         .skip_bias_add = skip_bias,
                                         .gather_output = gather_output};
    CHECK(colrow_column_parallel_linear(&linear, x, rows, y));
    size_t first = gather_output ? 0 : begin, n = gather_output ? out : end - begin;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) {
            double expected = dot(x + r * in, w + (first + i) * in, in);
            expected += skip_bias ? 0 : (double)b[first + i];
            RANK_CHECK(fabs((double)y[r * n + i] - expected) < 1e-5 * (double)(in + 10));
        }
    free(y);
    free(b);
    free(w);
    free(x);
    return 0;
}

static int one_row_linear(size_t rows, size_t in, size_t out, int input_is_parallel, int skip_bias)
{
    float *x = filled(rows * in, 1), *w = filled(out * in, 2), *b = filled(out, 3);
    float *y = filled(rows * out, 4), *local_w = filled(out * in, 5),
          *local_x = filled(rows * in, 6);
    size_t begin, end;
    colrow_tensor_part(in, &begin, &end);
    CHECK(colrow_scatter_to_tensor_region(w, out, in, local_w));
    CHECK(colrow_scatter_to_tensor_region(x, rows, in, local_x));
    const struct colrow_linear linear = {.in_features = in,
                                         .out_features = out,
                                         .weight = local_w,
                                         .bias = b,
                                         .skip_bias_add = skip_bias,
                                         .input_is_parallel = input_is_parallel};
    CHECK(colrow_row_parallel_linear(&linear, input_is_parallel ? local_x : x, rows, y));
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < out; i++) {
            double expected = dot(x + r * in, w + i * in, in) + (skip_bias ? 0 : (double)b[i]);
            RANK_CHECK(fabs((double)y[r * out + i] - expected) < 1e-5 * (double)(in + 10));
        }
    // The same bits everywhere.
    float *all = filled(rows * out * (size_t)colrow_tensor_parallel_world_size(), 7);
    CHECK(colrow_all_gather(y, rows * out, all));
    for (int r = 0; r < colrow_tensor_parallel_world_size(); r++)
        RANK_CHECK(memcmp(all + (size_t)r * rows * out, y, rows * out * sizeof *y) == 0);
    float *memory[] = {x, w, b, y, local_w, local_x, all};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++)
        free(memory[i]);
    return 0;
}

static int run_linear(void)
{
    static const size_t shapes[][3] = {{1, 1, 1},    {1, 64, 96}, {5, 33, 49},
                                       {2, 7, 200},  {17, 2, 3},  {3, 257, 11},
                                       {4, 100, 48}, {0, 8, 8},   {1, 3, 1000}};
    CHECK(colrow_parallel_init(0, 1));
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int flags = 0; flags < 4; flags++) {
            const size_t *shape = shapes[s];
            RANK_CHECK(one_column_linear(shape[0], shape[1], shape[2], flags & 1, flags >> 1) == 0);
            RANK_CHECK(one_row_linear(shape[0], shape[1], shape[2], flags & 1, flags >> 1) == 0);
        }
    return 0;
}

static int run_wrong(void)
{
    RANK_CHECK(colrow_barrier() == -1 && strstr(colrow_parallel_error(), "has not been called"));
    RANK_CHECK(colrow_rank() == -1 && colrow_tensor_parallel_world_size() == -1);
    RANK_CHECK(colrow_parallel_init(7, 3) == -1);
    RANK_CHECK(strstr(colrow_parallel_error(),
                      "tensor-parallel size 7 x pipeline-parallel size 3 is not the number of "
                      "ranks, 2"));
    return 0;
}

static int run(const char *name)
{
    int result = 101;
    if (strcmp(name, "groups1") == 0 || strcmp(name, "groups2") == 0 ||
        strcmp(name, "groups3") == 0)
        result = run_groups(name[6] - '0');
    else if (strcmp(name, "regions") == 0)
        result = run_regions();
    else if (strcmp(name, "linear") == 0)
        result = run_linear();
    else if (strcmp(name, "wrong") == 0)
        result = run_wrong();
    colrow_parallel_finalize();
    return result;
}

// ---- tests

static void groups_of_tensor_and_pipeline(void **state)
{
    (void)state;
    ranks_pass(1, "groups1", "");
    ranks_pass(4, "groups1", "");
    ranks_pass(4, "groups2", "");
    ranks_pass(6, "groups3", "");
    ranks_pass(3, "groups3", "");
}

static void regions_of_uneven_columns(void **state)
{
    (void)state;
    for (int n = 1; n <= 5; n++)
        ranks_pass(n, "regions", "");
}

static void linear_layers_equal_the_whole(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 3, 4, 8};
    for (int i = 0; i < 5; i++)
        ranks_pass(sizes[i], "linear", "");
}

static void wrong_use_is_an_error(void **state)
{
    (void)state;
    ranks_pass(2, "wrong", "");
    // Without a launcher: a world of one.
    assert_int_equal(colrow_parallel_init(2, 1), -1);
    assert_int_equal(colrow_parallel_init(1, 1), 0);
    float x = 3;
    assert_int_equal(colrow_all_reduce(&x, 1), 0);
    assert_true(x == 3);
    colrow_parallel_finalize();
}

// ---- the example

static char *run_example(const char *name, int n_ranks, int *status)
{
    char binary[] = COLROW_BINARY, command[2 * sizeof binary + 128];
    const char *folder = dirname(binary);
    snprintf(command, sizeof command, "%s/examples/%s", folder, name);
    if (access(command, X_OK) != 0 || access(COLROW_BINARY, X_OK) != 0)
        return NULL;
    snprintf(command, sizeof command, COLROW_BINARY " launch --nproc-per-node %d -- %s/examples/%s",
             n_ranks, folder, name);
    FILE *stream = popen(command, "r");
    char *text = calloc(1, 1 << 16);
    assert_true(stream && text);
    size_t length = fread(text, 1, (1 << 16) - 1, stream);
    text[length] = '\0';
    *status = pclose(stream);
    return text;
}

static void row(char **at, int rank, const double *data, int n)
{
    *at += sprintf(*at, "  rank %d: [", rank);
    for (int i = 0; i < n; i++)
        *at += sprintf(*at, "%s%g", i ? ", " : "", data[i]);
    *at += sprintf(*at, "]\n");
}

// Every rank's numbers by formula.
static void expect(char *at, int n)
{
    double data[3 * 64];
    at += sprintf(at, "all-reduce: ranks hold\n");
    for (int r = 0; r < n; r++)
        row(&at, r, (double[]){3 * r + 1, 3 * r + 2, 3 * r + 3}, 3);
    at += sprintf(at, "their sum, on every rank\n");
    double sum = 3.0 * n * (n - 1) / 2 + n;
    for (int r = 0; r < n; r++)
        row(&at, r, (double[]){sum, sum + n, sum + 2 * n}, 3);
    at += sprintf(at, "all-gather: ranks hold\n");
    for (int r = 0; r < n; r++)
        row(&at, r, (double[]){2 * r + 1, 2 * r + 2}, 2);
    at += sprintf(at, "all of it, on every rank\n");
    for (int i = 0; i < 2 * n; i++)
        data[i] = i + 1;
    for (int r = 0; r < n; r++)
        row(&at, r, data, 2 * n);
    at += sprintf(at, "reduce-scatter: ranks hold\n");
    for (int r = 0; r < n; r++) {
        for (int i = 0; i < n; i++)
            data[i] = r * n + i + 1;
        row(&at, r, data, n);
    }
    at += sprintf(at, "each rank's part of the sum\n");
    for (int r = 0; r < n; r++)
        row(&at, r, (double[]){(double)n * n * (n - 1) / 2 + n * (r + 1)}, 1);
}

static void the_example_prints_what_it_should(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 3, 4, 8};
    static char expected[1 << 16];
    for (int i = 0; i < 5; i++) {
        int status = -1;
        char *text = run_example("collectives", sizes[i], &status);
        if (!text)
            skip();
        expect(expected, sizes[i]);
        if (strncmp(text, expected, strlen(expected)) != 0)
            fprintf(stderr, "at %d ranks:\n%s", sizes[i], text);
        assert_int_equal(status, 0);
        assert_memory_equal(text, expected, strlen(expected));
        assert_non_null(strstr(text, "of the largest output, within 1e-5\n"));
        assert_non_null(strstr(text, "collectives used: 1, of these all-reduces: 1\n"));
        if (sizes[i] == 4) {
            assert_non_null(strstr(text, "rank 3: [22, 26, 30]\n"));
            assert_non_null(strstr(text, "rank 3: [40]\n"));
        }
        free(text);
    }
}

// Each stage a group of its own; what they compute in the end is checked by the example itself.
static void the_pipeline_is_right(void **state)
{
    (void)state;
    for (int n = 2; n <= 6; n += 2) {
        int status = -1;
        char said[64], *text = run_example("pipeline", n, &status);
        if (!text)
            skip();
        snprintf(said, sizeof said, "2 stages of %d ranks: every batch is right\n", n / 2);
        assert_int_equal(status, 0);
        assert_non_null(strstr(text, said));
        assert_non_null(strstr(text, "batch 7: "));
        free(text);
    }
}

int main(int argc, char **argv)
{
    if (ranks_is_rank(argc, argv))
        return run(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_of_tensor_and_pipeline),
        cmocka_unit_test(regions_of_uneven_columns),
        cmocka_unit_test(linear_layers_equal_the_whole),
        cmocka_unit_test(wrong_use_is_an_error),
        cmocka_unit_test(the_example_prints_what_it_should),
        cmocka_unit_test(the_pipeline_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
