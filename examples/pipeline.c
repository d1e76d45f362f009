// Two pipeline stages, each split over the ranks of its tensor-parallel group: micro-batches pass
// through both, and stages work at once. Every stage is a row-parallel layer, whose sum is one
// all-reduce inside the stage; its output goes to the next stage.
//
//     cc pipeline.c -o pipeline $(pkg-config --cflags --libs colrow) -lm
//     colrow launch --nproc-per-node 4 -- ./pipeline
//     colrow launch --nnodes 2 --node-rank R --master-addr HOST --nproc-per-node 2 -- ./pipeline
#include <colrow/parallel.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { STAGES = 2, BATCHES = 8, ROWS = 4, FEATURES = 64 };

static void check(int result)
{
    if (result == 0)
        return;
    fprintf(stderr, "rank %d: %s\n", colrow_rank(), colrow_parallel_error());
    exit(1);
}

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

// y = W x of one stage, with this rank's columns of W.
static void layer(int stage, const float *x, float *y)
{
    static float whole[FEATURES * FEATURES], part[FEATURES * FEATURES];
    size_t begin, end;
    colrow_tensor_part(FEATURES, &begin, &end);
    fill(whole, FEATURES * FEATURES, 100 + (unsigned)stage);
    for (size_t o = 0; o < FEATURES; o++)
        for (size_t i = begin; i < end; i++)
            part[o * (end - begin) + i - begin] = whole[o * FEATURES + i];
    const struct colrow_linear linear = {
        .in_features = FEATURES, .out_features = FEATURES, .weight = part};
    check(colrow_row_parallel_linear(&linear, x, ROWS, y));
}

static float largest_difference(const float *x, const float *y)
{
    float most = 0, largest = 0;
    for (size_t row = 0; row < ROWS; row++)
        for (size_t o = 0; o < FEATURES; o++) {
            float sum = 0;
            for (size_t i = 0; i < FEATURES; i++)
                sum += x[row * FEATURES + i] * number(100 + STAGES - 1, o * FEATURES + i);
            most = fmaxf(most, fabsf(sum - y[row * FEATURES + o]));
            largest = fmaxf(largest, fabsf(sum));
        }
    return most / largest;
}

int main(void)
{
    float x[ROWS * FEATURES], y[ROWS * FEATURES];
    check(colrow_parallel_init(0, STAGES));
    int stage = colrow_pipeline_parallel_rank();
    int previous = colrow_pipeline_parallel_previous_rank();
    int next = colrow_pipeline_parallel_next_rank();
    int good = 1;
    for (int batch = 0; batch < BATCHES; batch++) {
        if (previous < 0)
            fill(x, ROWS * FEATURES, 1 + (unsigned)batch);
        else
            check(colrow_recv(x, ROWS * FEATURES, previous));
        layer(stage, x, y);
        if (next >= 0) {
            check(colrow_send(y, ROWS * FEATURES, next));
            continue;
        }
        good = good && largest_difference(x, y) <= 1e-5f;
        if (colrow_tensor_parallel_rank() == 0)
            printf("batch %d: %a %a %a\n", batch, (double)y[0], (double)y[1],
                   (double)y[ROWS * FEATURES - 1]);
    }
    if (colrow_rank() == colrow_world_size() - 1)
        printf("%d stages of %d ranks: %s\n", STAGES, colrow_tensor_parallel_world_size(),
               good ? "every batch is right" : "WRONG");
    colrow_parallel_finalize();
    return good ? 0 : 1;
}
