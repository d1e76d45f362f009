// Attention against the machine's limits, one thread. Decode: bytes of keys and values a second
// beside the read bandwidth measured right before and after. Prefill: multiply-adds that the causal
// mask leaves, beside the peak of the order's instruction. Element-wise kernels: nanoseconds a
// call. Time is this thread's CPU time: other programs disturb it less.
//
// Caches: decode over 8k positions that lie in memory as bf16, fp8 and int8, taken in turns, and
// the least time of each, which other programs disturb least.
//
//   bench_attention [ISA [pairs|tiles [decode|prefill|elementwise|caches]]]
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device/device.h"
#include "device/peak.h"

enum { CACHE_BYTES = 512 << 20, ROUNDS = 7 };

static const struct kernels *kernels;
static void *scratch, *cache, *queries, *out;
static double peak_flops;
static enum product_order order;

static void must(enum status status)
{
    if (status == OK)
        return;
    fprintf(stderr, "%s\n", status_message());
    exit(1);
}

static void fill(float *x, size_t n)
{
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) / (float)(1 << 23) - 1.0f;
    }
}

static double median(double *x, int n)
{
    for (int i = 1; i < n; i++)
        for (int k = i; k > 0 && x[k] < x[k - 1]; k--) {
            double swap = x[k];
            x[k] = x[k - 1];
            x[k - 1] = swap;
        }
    return x[n / 2];
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

typedef uint64_t words __attribute__((vector_size(16)));

static double read_rate(void) // of the whole cache
{
    const words *at = cache, *end = at + CACHE_BYTES / sizeof *at;
    double begin = seconds();
    words a = {0}, b = {0}, c = {0}, d = {0};
    for (; at < end; at += 4) {
        __builtin_prefetch(at + 256);
        a ^= at[0];
        b ^= at[1];
        c ^= at[2];
        d ^= at[3];
    }
    a ^= b ^ c ^ d;
    __asm__ volatile("" : : "x"(a));
    return CACHE_BYTES / (seconds() - begin);
}

struct shape {
    enum compute_type type;
    int head_dim, n_heads, n_tokens;
    int64_t position, window;
    enum kv_codes codes;
};

// Keys or values of a page.
static size_t half_page_bytes(const struct shape *shape)
{
    return (size_t)(KV_PAGE_TOKENS * shape->head_dim) * kv_number_bytes(shape->type, shape->codes);
}

static size_t page_bytes_of(const struct shape *shape)
{
    return 2 * half_page_bytes(shape) + kv_scales_bytes(shape->codes);
}

// Sequence `i` of as many as the cache holds: its pages are every n_sequences-th, keys and values
// side by side.
static void attend(const struct shape *shape, int i, int n_sequences)
{
    static int32_t pages[1 << 16];
    const size_t half = half_page_bytes(shape);
    int64_t n_pages = (shape->position + shape->n_tokens + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    for (int64_t page = 0; page < n_pages; page++)
        pages[page] = (int32_t)(page * n_sequences + i);
    struct attention args = {.kv = {.type = shape->type,
                                    .codes = shape->codes,
                                    .head_dim = shape->head_dim,
                                    .value_dim = shape->head_dim,
                                    .keys = cache,
                                    .values = (char *)cache + half,
                                    .scales = (char *)cache + 2 * half,
                                    .page_stride = page_bytes_of(shape),
                                    .pages = pages},
                             .n_heads = shape->n_heads,
                             .n_tokens = shape->n_tokens,
                             .position = shape->position,
                             .window = shape->window,
                             .scale = 1.0f / sqrtf((float)shape->head_dim),
                             .q = queries,
                             .q_stride = (size_t)(shape->n_heads * shape->head_dim),
                             .out_type = shape->type,
                             .out = out,
                             .out_stride = (size_t)(shape->n_heads * shape->head_dim),
                             .scratch = scratch,
                             .order = order};
    kernels->attention(&args);
}

static void decode(enum compute_type type, int head_dim, int n_heads, int context)
{
    struct shape shape = {type, head_dim, n_heads, 1, context - 1, 0, KV_PLAIN};
    size_t sequence_bytes = (size_t)(context / KV_PAGE_TOKENS) * page_bytes_of(&shape);
    int n_sequences = (int)(CACHE_BYTES / sequence_bytes);
    double ratio[ROUNDS], rate[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        double limit = read_rate(), begin = seconds();
        for (int i = 0; i < n_sequences; i++)
            attend(&shape, i, n_sequences);
        rate[round] = (double)sequence_bytes * n_sequences / (seconds() - begin);
        double after = read_rate();
        ratio[round] = 2 * rate[round] / (limit + after);
    }
    printf("decode   %-9s %4d %6d %9d %10.1f GB/s %8.2f of read bandwidth\n", compute_name(type),
           head_dim, n_heads, context, median(rate, ROUNDS) * 1e-9, median(ratio, ROUNDS));
}

static void prefill(enum compute_type type, int head_dim, int n_heads, int n_tokens, int position,
                    int window)
{
    struct shape shape = {type, head_dim, n_heads, n_tokens, position, window, KV_PLAIN};
    double seen = 0;
    for (int t = position; t < position + n_tokens; t++)
        seen += window && t >= window ? window : t + 1;
    double flops = seen * 4 * head_dim * n_heads, rate[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        double begin = seconds();
        attend(&shape, 0, 1);
        rate[round] = flops / (seconds() - begin);
    }
    char what[64];
    snprintf(what, sizeof what, "%d+%d%s", position, n_tokens, window ? " w" : "");
    printf("prefill  %-9s %4d %6d %9s %10.1f GFLOP/s %5.2f of peak\n", compute_name(type), head_dim,
           n_heads, what, median(rate, ROUNDS) * 1e-9, median(rate, ROUNDS) / peak_flops);
}

// Microseconds of a sequence's query heads of one KV head.
static void caches(int head_dim, int n_heads)
{
    enum { CONTEXT = 8192, SEQUENCES = 64 };
    static const enum kv_codes kinds[] = {KV_PLAIN, KV_E4M3, KV_INT8};
    double least[3] = {INFINITY, INFINITY, INFINITY};
    for (int round = 0; round < 3 * ROUNDS; round++)
        for (int kind = 0; kind < 3; kind++) {
            const struct shape shape = {COMPUTE_BF16, head_dim, n_heads,    1,
                                        CONTEXT - 1,  0,        kinds[kind]};
            double begin = seconds();
            for (int i = 0; i < SEQUENCES; i++)
                attend(&shape, i, SEQUENCES);
            least[kind] = fmin(least[kind], (seconds() - begin) / SEQUENCES);
        }
    printf(
        "caches   %4d %6d %9d   bf16 %7.1f us   fp8 %7.1f us (%.2f x)   int8 %7.1f us (%.2f x)\n",
        head_dim, n_heads, CONTEXT, least[0] * 1e6, least[1] * 1e6, least[0] / least[1],
        least[2] * 1e6, least[0] / least[2]);
}

#define TIME(name, repeats, call)                                                                  \
    do {                                                                                           \
        double times_[ROUNDS];                                                                     \
        for (int round_ = 0; round_ < ROUNDS; round_++) {                                          \
            double begin_ = seconds();                                                             \
            for (int i_ = 0; i_ < (repeats); i_++)                                                 \
                call;                                                                              \
            times_[round_] = (seconds() - begin_) / (repeats);                                     \
        }                                                                                          \
        printf("%-40s %12.0f ns\n", name, median(times_, ROUNDS) * 1e9);                           \
    } while (0)

static void elementwise(void)
{
    float *x = cache, *y = x + (1 << 20), *z = y + (1 << 20);
    fill(x, 3 << 20);
    float largest;
    TIME("rmsnorm 2048 to bf16", 1000, kernels->rmsnorm(x, y, 1e-5f, 2048, COMPUTE_BF16, z));
    static const char *const activations[ACTIVATION_COUNT] = {
        "silu",         "gelu_tanh", "gelu_erf",       "quick_gelu", "relu",
        "relu_squared", "xielu",     "clamped_swiglu", "sigmoid",    "scaled_silu"};
    for (int kind = 0; kind < ACTIVATION_COUNT; kind++) {
        const struct activation_args args = {.kind = (enum activation)kind,
                                             .alpha_p = 0.8f,
                                             .alpha_n = 0.8f,
                                             .beta = 0.5f,
                                             .eps = -1e-6f};
        char name[64];
        snprintf(name, sizeof name, "%s, 8192 times up, to bf16", activations[kind]);
        TIME(name, 1000, kernels->activate_mul(&args, x, y, 8192, COMPUTE_BF16, z));
    }
    TIME("layernorm 2048 to bf16", 1000, kernels->layernorm(x, y, y, 1e-5f, 2048, COMPUTE_BF16, z));
    TIME("softcap 128256", 20, kernels->softcap(z, 30, 128256));
    TIME("round 2048 to bf16", 1000, kernels->round(x, 2048, COMPUTE_BF16, z));
    TIME("rope 64", 1000, kernels->rope(z, x, y, 64));
    TIME("rope 128", 1000, kernels->rope(z, x, y, 128));
    TIME("add 2048", 1000, kernels->add(z, y, 2048));
    TIME("argmax 128256", 20, kernels->argmax(x, 128256, &largest));
    TIME("exp_sum 128256", 20, kernels->exp_sum(x, 1, 128256, z));
    int32_t pages[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    struct kv_view kv = {.type = COMPUTE_BF16,
                         .head_dim = 128,
                         .value_dim = 128,
                         .keys = (char *)(z + (1 << 20)),
                         .values = (char *)(z + (2 << 20)),
                         .page_stride = 16384,
                         .pages = pages};
    TIME("kv_write 512 tokens of 128, bf16", 20, kernels->kv_write(&kv, 0, 512, x, y, 1024));
    TIME("kv_write 1 token of 128, bf16", 1000, kernels->kv_write(&kv, 100, 1, x, y, 1024));
    kv.scales = (char *)(z + (3 << 20));
    kv.codes = KV_INT8;
    TIME("kv_write 512 tokens of 128, int8", 20, kernels->kv_write(&kv, 0, 512, x, y, 1024));
    kv.codes = KV_E4M3;
    TIME("kv_write 512 tokens of 128, fp8", 20, kernels->kv_write(&kv, 0, 512, x, y, 1024));
}

static void decodes(void)
{
    for (int head_dim = 64; head_dim <= 128; head_dim *= 2)
        for (int n_heads = 1; n_heads <= 8; n_heads = n_heads == 1 ? 4 : n_heads + 4)
            decode(COMPUTE_BF16, head_dim, n_heads, 4096);
    decode(COMPUTE_BF16, 64, 4, 64);
    decode(COMPUTE_BF16, 64, 4, 512);
    decode(COMPUTE_BF16, 64, 4, 131072);
    decode(COMPUTE_BF16, 80, 4, 4096);
    decode(COMPUTE_BF16, 24, 4, 4096);
    if (order == ORDER_TILES)
        return;
    decode(COMPUTE_F16, 128, 4, 4096);
    decode(COMPUTE_F32, 128, 4, 4096);
}

static void prefills(void)
{
    for (int head_dim = 64; head_dim <= 128; head_dim *= 2) {
        prefill(COMPUTE_BF16, head_dim, 4, 512, 0, 0);
        prefill(COMPUTE_BF16, head_dim, 4, 2048, 0, 0);
        prefill(COMPUTE_BF16, head_dim, 4, 8192, 0, 0);
        prefill(COMPUTE_BF16, head_dim, 4, 512, 4096, 0);
        prefill(COMPUTE_BF16, head_dim, 4, 512, 4096, 1024);
    }
    prefill(COMPUTE_BF16, 128, 1, 512, 4096, 0);
    prefill(COMPUTE_BF16, 128, 8, 512, 4096, 0);
    prefill(COMPUTE_BF16, 80, 4, 512, 4096, 0);
    if (order == ORDER_TILES)
        return;
    prefill(COMPUTE_F16, 128, 4, 512, 4096, 0);
    prefill(COMPUTE_F32, 128, 4, 512, 4096, 0);
}

int main(int argc, char **argv)
{
    enum isa isa = argc > 1 ? isa_from_name(argv[1]) : isa_of_machine();
    order = argc > 2 ? product_order_from_name(argv[2]) : ORDER_PAIRS;
    const char *part = argc > 3 ? argv[3] : "";
    if (isa == ISA_COUNT || order == ORDER_COUNT || argc > 4) {
        fprintf(stderr, "usage: bench_attention [reference|avx2|avx512|avx512bf16|amx "
                        "[pairs|tiles [decode|prefill|elementwise|caches]]]\n");
        return 2;
    }
    number_mode_set();
    kernels = kernels_for(isa);
    struct peak peak;
    must(peak_measure(1, 0.2, &peak));
    must(device_memory_new(ATTENTION_SCRATCH_BYTES, "scratch", &scratch));
    must(device_memory_new(CACHE_BYTES, "keys and values", &cache));
    must(device_memory_new(64 << 20, "queries", &queries));
    must(device_memory_new(64 << 20, "output", &out));
    peak_flops = order == ORDER_TILES ? peak_tiles_flops(&peak) : peak_product_flops(&peak);
    memset(queries, 0x3c, 64 << 20); // about 0.01 in all types
    memset(cache, 0x3c, CACHE_BYTES);
    printf("%s, order of %s: peak %.1f GFLOP/s, read %.1f GB/s\n", isa_name(isa),
           product_order_name(order), peak_flops * 1e-9, read_rate() * 1e-9);
    printf("%-8s %-9s %4s %6s %9s\n", "", "type", "dim", "heads", "tokens");
    if (!*part || !strcmp(part, "decode"))
        decodes();
    if (!*part || !strcmp(part, "prefill"))
        prefills();
    if (!*part || !strcmp(part, "elementwise"))
        elementwise();
    for (int head_dim = 64; head_dim <= 128 && (!*part || !strcmp(part, "caches")); head_dim *= 2)
        for (int n_heads = 1; n_heads <= 8; n_heads = n_heads == 1 ? 4 : n_heads + 4)
            caches(head_dim, n_heads);
    return 0;
}
