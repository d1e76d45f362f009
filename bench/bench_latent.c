// Latent attention in its two forms (docs/numerics.md section 13, docs/decisions.md), a layer's
// attention between its projections, bfloat16, one thread: absorbed, a query meets the latents
// themselves; expanded, keys and values are made of them, anew in each step or once, when they are
// cached instead. Decode: a token at the end of so many positions. Prefill: a prompt in one chunk.
// Times are this thread's CPU time; the forms take turns, and the least of each counts.
//
//   bench_latent [ROUNDS]
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device/device.h"
#include "device/kernels.h"

struct shape {
    const char *name;
    int heads, rank, nope, rope, value;
};
static const struct shape shapes[] = {{"DeepSeek-V2-Lite", 16, 512, 128, 64, 128},
                                      {"GLM-4.7-Flash", 20, 512, 192, 64, 256}};
enum { POSITIONS_MAX = 8192, TOKENS_MAX = 2048, ROWS = 512, HEADS_MAX = 20, WIDTH_MAX = 448 };

static const struct kernels *kernels;
static void *scratch;
static const struct shape *shape;
// Memory for the longest of all: queries and outputs of all heads, one
// matrix for a head's keys, values, or both; the latents and the keys and values that are cached.
static char *queries, *outputs, *made, *weights, *latent_cache, *head_cache;
static int32_t pages[POSITIONS_MAX / KV_PAGE_TOKENS];

static void must(enum status status)
{
    if (status == OK)
        return;
    fprintf(stderr, "%s\n", status_message());
    exit(1);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// out [rows, n] f32 of in [rows, k] bf16, in blocks of rows as a step has them.
static void multiply(int n, int k, int rows)
{
    const struct leaf_plan leaves = leaf_plan_whole(k);
    struct panels panels;
    panels_init(&panels, PANELS_BF16, n, k, weights);
    for (int row = 0; row < rows; row += ROWS)
        kernels->matmul(&(struct matmul){.w = &panels,
                                         .leaves = &leaves,
                                         .panel_end = panels.n_panels,
                                         .m = rows - row < ROWS ? rows - row : ROWS,
                                         .a = queries,
                                         .a_is_bf16 = true,
                                         .a_stride = (size_t)k,
                                         .out = (float *)(void *)made,
                                         .out_stride = (size_t)n,
                                         .scratch = scratch});
}

static void attend(int heads, int key, int value, char *cache, bool of_keys, int position,
                   int tokens)
{
    const size_t keys = (size_t)KV_PAGE_TOKENS * (size_t)key * sizeof(bf16),
                 values = of_keys ? 0 : (size_t)KV_PAGE_TOKENS * (size_t)value * sizeof(bf16);
    kernels->attention(&(struct attention){.kv = {.type = COMPUTE_BF16,
                                                  .head_dim = key,
                                                  .value_dim = value,
                                                  .keys = cache,
                                                  .values = of_keys ? NULL : cache + keys,
                                                  .page_stride = keys + values,
                                                  .pages = pages},
                                           .n_heads = heads,
                                           .n_tokens = tokens,
                                           .position = position,
                                           .scale = 0.1f,
                                           .q = queries,
                                           .q_stride = (size_t)(heads * key),
                                           .out_type = COMPUTE_BF16,
                                           .out = outputs,
                                           .out_stride = (size_t)(heads * value),
                                           .scratch = scratch});
}

static int key_width(void)
{
    return shape->nope + shape->rope;
}

// Keys and values of a head in its part of the cache.
static char *cache_of(int head)
{
    return head_cache +
           (size_t)head * POSITIONS_MAX * (size_t)(key_width() + shape->value) * sizeof(bf16);
}

static void absorbed(int position, int tokens)
{
    const int latent = shape->rank + shape->rope;
    for (int head = 0; head < shape->heads; head++)
        multiply(shape->rank, shape->nope, tokens);
    attend(shape->heads, latent, shape->rank, latent_cache, true, position, tokens);
    for (int head = 0; head < shape->heads; head++)
        multiply(shape->value, shape->rank, tokens);
}

// Of the positions from `first` on.
static void make_heads(int first, int positions)
{
    const int key = key_width(), value = shape->value;
    for (int head = 0; head < shape->heads; head++) {
        multiply(shape->nope + value, shape->rank, positions);
        const struct kv_view kv = {
            .type = COMPUTE_BF16,
            .head_dim = key,
            .value_dim = value,
            .keys = cache_of(head),
            .values = cache_of(head) + (size_t)KV_PAGE_TOKENS * (size_t)key * sizeof(bf16),
            .page_stride = (size_t)KV_PAGE_TOKENS * (size_t)(key + value) * sizeof(bf16),
            .pages = pages};
        for (int at = 0; at < positions; at += ROWS) {
            const int n = positions - at < ROWS ? positions - at : ROWS;
            const float *rows = (const float *)(void *)made;
            kernels->kv_write(&kv, first + at, n, rows, rows, WIDTH_MAX);
        }
    }
}

static void expanded(int position, int tokens)
{
    for (int head = 0; head < shape->heads; head++)
        attend(1, key_width(), shape->value, cache_of(head), false, position, tokens);
}

static void keep_least(double *least, double begun)
{
    const double taken = seconds() - begun;
    *least = taken < *least ? taken : *least;
}

// Prompts know no other form than that in which keys are made once.
static void measure(int position, int tokens, int rounds)
{
    double least[3] = {1e9, 1e9, 1e9};
    for (int round = 0; round < rounds; round++) {
        double begun = seconds();
        absorbed(position, tokens);
        keep_least(&least[0], begun);
        begun = seconds();
        make_heads(0, position + tokens);
        expanded(position, tokens);
        keep_least(&least[1], begun);
        begun = seconds();
        make_heads(position, tokens);
        expanded(position, tokens);
        keep_least(&least[2], begun);
    }
    printf("%-17s %-7s %6d %10.3f ms %12.3f ms %12.3f ms\n", shape->name,
           tokens == 1 ? "decode" : "prefill", position + tokens, least[0] * 1e3, least[1] * 1e3,
           least[2] * 1e3);
    fflush(stdout);
}

static void reserve(size_t bytes, char **memory)
{
    must(device_memory_new(bytes, "a benchmark", (void **)memory));
    for (size_t i = 0; i < bytes / 2; i++) // about 0.01, of either sign
        ((bf16 *)(void *)*memory)[i] = (bf16)(i * 2654435761u >> 9 & 1 ? 0x3c3c : 0xbc3c);
}

int main(int argc, char **argv)
{
    const int rounds = argc > 1 ? atoi(argv[1]) : 5;
    number_mode_set();
    must(kernels_choose(&kernels));
    must(device_memory_new(MATMUL_SCRATCH_BYTES, "scratch", &scratch));
    reserve((size_t)TOKENS_MAX * HEADS_MAX * 576 * sizeof(bf16), &queries);
    reserve((size_t)TOKENS_MAX * HEADS_MAX * 512 * sizeof(bf16), &outputs);
    reserve((size_t)ROWS * 512 * sizeof(float), &made);
    reserve((size_t)512 * 512 * sizeof(bf16), &weights);
    reserve((size_t)POSITIONS_MAX * 576 * sizeof(bf16), &latent_cache);
    reserve((size_t)POSITIONS_MAX * HEADS_MAX * 512 * sizeof(bf16), &head_cache);
    for (int i = 0; i < POSITIONS_MAX / KV_PAGE_TOKENS; i++)
        pages[i] = i;
    printf("%s, order of pairs, one thread, the least of %d rounds\n", kernels->isa, rounds);
    printf("%-17s %-7s %6s %13s %15s %15s\n", "", "", "tokens", "absorbed", "expanded anew",
           "expanded, kept");
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        shape = &shapes[i];
        for (int positions = 512; positions <= POSITIONS_MAX; positions *= 2)
            measure(positions - 1, 1, rounds);
        for (int tokens = 512; tokens <= TOKENS_MAX; tokens *= 4)
            measure(0, tokens, rounds);
    }
    return 0;
}
