// The collectives of tensor parallelism, and a column-parallel followed by a row-parallel layer,
// which need one all-reduce.
//
//     cc collectives.c -o collectives $(pkg-config --cflags --libs colrow) -lm
//     colrow launch --nproc-per-node 4 -- ./collectives
#include <colrow/parallel.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { RANKS_MAX = 64 };

static void check(int result)
{
    if (result == 0)
        return;
    fprintf(stderr, "rank %d: %s\n", colrow_rank(), colrow_parallel_error());
    exit(1);
}

// What each rank holds, in the order of ranks.
static void show(const char *title, const float *data, size_t n)
{
    if (colrow_rank() == 0)
        printf("%s\n", title);
    fflush(stdout);
    check(colrow_barrier());
    for (int turn = 0; turn < colrow_world_size(); turn++) {
        if (turn == colrow_rank()) {
            printf("  rank %d: [", turn);
            for (size_t i = 0; i < n; i++)
                printf("%s%g", i ? ", " : "", (double)data[i]);
            printf("]\n");
            fflush(stdout);
        }
        check(colrow_barrier());
    }
}

static void all_reduce(int rank)
{
    float data[3];
    for (int i = 0; i < 3; i++)
        data[i] = (float)(rank * 3 + i + 1);
    show("all-reduce: ranks hold", data, 3);
    check(colrow_all_reduce(data, 3));
    show("their sum, on every rank", data, 3);
}

static void all_gather(int rank, int size)
{
    float data[2] = {(float)(rank * 2 + 1), (float)(rank * 2 + 2)}, all[2 * RANKS_MAX];
    show("all-gather: ranks hold", data, 2);
    check(colrow_all_gather(data, 2, all));
    show("all of it, on every rank", all, 2 * (size_t)size);
}

static void reduce_scatter(int rank, int size)
{
    float data[RANKS_MAX], part[1];
    for (int i = 0; i < size; i++)
        data[i] = (float)(rank * size + i + 1);
    show("reduce-scatter: ranks hold", data, (size_t)size);
    check(colrow_reduce_scatter(data, 1, part));
    show("each rank's part of the sum", part, 1);
}

// ---- y = relu(x W1^T + b1) W2^T + b2

enum { ROWS = 3, IN = 20, HIDDEN = 48, OUT = 12 };

// Numbers between -1 and 1 that are the same on every rank.
static float number(unsigned seed, size_t i)
{
    unsigned x = seed * 2654435761u + (unsigned)i * 40503u;
    x ^= x >> 15;
    x *= 2246822519u;
    x ^= x >> 13;
    return (float)(x >> 8) / (float)(1 << 23) - 1;
}

static void fill(float *data, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        data[i] = number(seed, i);
}

static float relu(float x)
{
    return x > 0 ? x : 0;
}

struct mlp {
    float x[ROWS * IN], w1[HIDDEN * IN], b1[HIDDEN], w2[OUT * HIDDEN], b2[OUT];
};

static void unsharded(const struct mlp *m, float *y)
{
    for (size_t r = 0; r < ROWS; r++) {
        float hidden[HIDDEN];
        for (size_t h = 0; h < HIDDEN; h++) {
            hidden[h] = m->b1[h];
            for (size_t i = 0; i < IN; i++)
                hidden[h] += m->x[r * IN + i] * m->w1[h * IN + i];
            hidden[h] = relu(hidden[h]);
        }
        for (size_t o = 0; o < OUT; o++) {
            float sum = m->b2[o];
            for (size_t h = 0; h < HIDDEN; h++)
                sum += hidden[h] * m->w2[o * HIDDEN + h];
            y[r * OUT + o] = sum;
        }
    }
}

// W1 by rows (its outputs), W2 by columns (its inputs): what lies between stays split.
static void sharded(const struct mlp *m, float *y)
{
    size_t begin, end;
    colrow_tensor_part(HIDDEN, &begin, &end);
    size_t local = end - begin;
    static float w2[OUT * HIDDEN], hidden[ROWS * HIDDEN];
    for (size_t o = 0; o < OUT; o++)
        for (size_t h = 0; h < local; h++)
            w2[o * local + h] = m->w2[o * HIDDEN + begin + h];
    const struct colrow_linear first = {.in_features = IN,
                                        .out_features = HIDDEN,
                                        .weight = m->w1 + begin * IN,
                                        .bias = m->b1 + begin};
    const struct colrow_linear second = {.in_features = HIDDEN,
                                         .out_features = OUT,
                                         .weight = w2,
                                         .bias = m->b2,
                                         .input_is_parallel = 1};
    check(colrow_column_parallel_linear(&first, m->x, ROWS, hidden));
    for (size_t i = 0; i < ROWS * local; i++)
        hidden[i] = relu(hidden[i]);
    check(colrow_row_parallel_linear(&second, hidden, ROWS, y));
}

static int mlp(void)
{
    static struct mlp m;
    static float expected[ROWS * OUT], y[ROWS * OUT];
    fill(m.x, ROWS * IN, 1);
    fill(m.w1, HIDDEN * IN, 2);
    fill(m.b1, HIDDEN, 3);
    fill(m.w2, OUT * HIDDEN, 4);
    fill(m.b2, OUT, 5);
    struct colrow_parallel_statistics before, after;
    colrow_parallel_statistics(&before);
    sharded(&m, y);
    colrow_parallel_statistics(&after);
    unsharded(&m, expected);
    float difference = 0, largest = 0;
    for (size_t i = 0; i < ROWS * OUT; i++) {
        difference = fmaxf(difference, fabsf(y[i] - expected[i]));
        largest = fmaxf(largest, fabsf(expected[i]));
    }
    float relative = difference / largest;
    int good = relative <= 1e-5f;
    show("column-parallel, relu, row-parallel: the first outputs", y, 4);
    if (colrow_rank() == 0) {
        printf("largest difference from the unsharded layers: %.1e of the largest output, %s\n",
               (double)relative, good ? "within 1e-5" : "TOO LARGE");
        printf("collectives used: %llu, of these all-reduces: %llu\n",
               after.collectives - before.collectives, after.all_reduces - before.all_reduces);
    }
    return good && after.collectives - before.collectives == 1;
}

int main(void)
{
    check(colrow_parallel_init(0, 1));
    int rank = colrow_tensor_parallel_rank(), size = colrow_tensor_parallel_world_size();
    all_reduce(rank);
    all_gather(rank, size);
    reduce_scatter(rank, size);
    int good = mlp();
    colrow_parallel_finalize();
    return good ? 0 : 1;
}
