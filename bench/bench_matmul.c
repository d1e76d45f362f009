// Products against the machine's limits: for each instruction set and number of rows, GFLOP/s and
// GB/s of weights, each beside the peak that the same process measured in the same second. One
// thread, best of several.
//
//   bench_matmul [ISA [N K]]      weights lie in DRAM (as many copies as fill 768 MB); K, N as in
//   an MLP of 1B models
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/text_table.h"
#include "device/device.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { MEMORY_BYTES = 768 << 20 };

static double best(double old, double now)
{
    return now > old ? now : old;
}

// ---- the machine's limits

#ifdef __x86_64__
#define PEAK(name, isa, vector, zero, instruction, flops)                                          \
    __attribute__((target(isa))) static double name(void)                                          \
    {                                                                                              \
        vector s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero, s6 = zero;        \
        vector s7 = zero, s8 = zero, s9 = zero, x = zero, y = zero;                                \
        const long n = 100000;                                                                     \
        double begin = clock_seconds();                                                            \
        for (long i = 0; i < n; i++)                                                               \
            __asm__ volatile(instruction                                                           \
                             " %10, %11, %0\n" instruction " %10, %11, %1\n" instruction           \
                             " %10, %11, %2\n" instruction " %10, %11, %3\n" instruction           \
                             " %10, %11, %4\n" instruction " %10, %11, %5\n" instruction           \
                             " %10, %11, %6\n" instruction " %10, %11, %7\n" instruction           \
                             " %10, %11, %8\n" instruction " %10, %11, %9\n"                       \
                             : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3), "+v"(s4), "+v"(s5),         \
                               "+v"(s6), "+v"(s7), "+v"(s8), "+v"(s9)                              \
                             : "v"(x), "v"(y));                                                    \
        return (double)n * 10 * (flops) / (clock_seconds() - begin) * 1e-9;                        \
    }
PEAK(peak_avx2, "avx2,fma", __m256, _mm256_setzero_ps(), "vfmadd231ps", 16)
PEAK(peak_avx512, "avx512f", __m512, _mm512_setzero_ps(), "vfmadd231ps", 32)
PEAK(peak_bf16, "avx512f,avx512bf16", __m512, _mm512_setzero_ps(), "vdpbf16ps", 64)

__attribute__((target("avx2"))) static void read_all(const char *memory, size_t bytes)
{
    __m256i sum = _mm256_setzero_si256();
    for (size_t i = 0; i < bytes; i += 128) {
        _mm_prefetch(memory + i + 4096, _MM_HINT_T0);
        _mm_prefetch(memory + i + 4160, _MM_HINT_T0);
        const __m256i *from = (const __m256i *)(const void *)(memory + i);
        sum = _mm256_xor_si256(
            sum, _mm256_xor_si256(_mm256_load_si256(from), _mm256_load_si256(from + 1)));
        sum = _mm256_xor_si256(
            sum, _mm256_xor_si256(_mm256_load_si256(from + 2), _mm256_load_si256(from + 3)));
    }
    __asm__ volatile("" : : "x"(sum));
}
#endif

// GFLOP/s: the best that the units used at this level can do (the higher of f32 FMA and vdpbf16ps).
static double peak_flops(enum isa isa)
{
    double peak = 0;
#ifdef __x86_64__
    for (int i = 0; i < 10; i++) {
        if (isa == ISA_AVX2)
            peak = best(peak, peak_avx2());
        if (isa >= ISA_AVX512)
            peak = best(peak, peak_avx512());
        if (isa >= ISA_AVX512BF16)
            peak = best(peak, peak_bf16());
    }
#endif
    return peak;
}

static double peak_read(const char *memory) // GB/s
{
    double begin = clock_seconds();
#ifdef __x86_64__
    if (isa_of_machine() >= ISA_AVX2)
        read_all(memory, MEMORY_BYTES);
#endif
    return MEMORY_BYTES / (clock_seconds() - begin) * 1e-9;
}

// ---- products

struct bench {
    char *memory;
    float *a, *out;
    void *scratch;
    int n, k;
};

struct figure {
    double gflops, gbs, peak_gflops, peak_gbs;
};

// Repeats over all copies of the weights until half a second has gone; the best single product
// counts for GFLOP/s, the best whole pass for GB/s, since single products may find parts of their
// weights in a cache.
static struct figure measure(const struct bench *bench, enum isa isa, enum panel_format format,
                             int m)
{
    struct figure figure = {0};
    struct leaf_plan plan = {.n_leaves = 1, .n_nodes = 1};
    plan.leaf[0].k_end = bench->k;
    size_t bytes;
    if (panels_bytes(format, bench->n, bench->k, &bytes) != OK || bytes > MEMORY_BYTES)
        return figure;
    struct panels w;
    struct matmul args = {
        .w = &w, .leaves = &plan, .m = m, .a = bench->a, .a_is_bf16 = format == PANELS_BF16};
    args.a_stride = (size_t)bench->k;
    args.out = bench->out;
    args.out_stride = (size_t)bench->n;
    args.scratch = bench->scratch;
    double until = clock_seconds() + 1.0;
    int passes = 0;
    do {
        figure.peak_gbs = best(figure.peak_gbs, peak_read(bench->memory));
        figure.peak_gflops = best(figure.peak_gflops, peak_flops(isa));
        double pass = clock_seconds();
        int copies = 0;
        for (size_t at = 0; at + bytes <= MEMORY_BYTES && clock_seconds() - pass < 1;
             at += bytes, copies++) {
            panels_init(&w, format, bench->n, bench->k, bench->memory + at);
            args.panel_end = w.n_panels;
            double begin = clock_seconds();
            kernels_for(isa)->matmul(&args);
            double seconds = clock_seconds() - begin;
            figure.gflops = best(figure.gflops, 2.0 * m * bench->n * bench->k / seconds * 1e-9);
        }
        figure.gbs = best(figure.gbs, (double)bytes * copies / (clock_seconds() - pass) * 1e-9);
    } while (clock_seconds() < until || ++passes < 2);
    return figure;
}

static void row(struct table *table, const struct bench *bench, enum isa isa,
                enum panel_format format, int m)
{
    static const char *const formats[] = {"bf16", "f16", "f32"};
    struct figure figure = measure(bench, isa, format, m);
    table_cell(table, "%s", isa_name(isa));
    table_cell(table, "%s", formats[format]);
    table_cell(table, "%d", m);
    table_cell(table, "%.1f", figure.gflops);
    table_cell(table, "%.1f", figure.peak_gflops);
    table_cell(table, "%.2f", figure.peak_gflops > 0 ? figure.gflops / figure.peak_gflops : 0);
    table_cell(table, "%.1f", figure.gbs);
    table_cell(table, "%.1f", figure.peak_gbs);
    table_cell(table, "%.2f", figure.gbs / figure.peak_gbs);
}

int main(int argc, char **argv)
{
    static const int rows[] = {1, 2, 4, 8, 16, 32, 64, 128, 512};
    number_mode_set();
    enum isa only = argc > 1 ? isa_from_name(argv[1]) : ISA_COUNT;
    struct bench bench = {.n = argc > 3 ? atoi(argv[2]) : 8192,
                          .k = argc > 3 ? atoi(argv[3]) : 2048};
    void *memory, *a, *out;
    if (device_memory_new(MEMORY_BYTES, "weights", &memory) != OK ||
        device_memory_new((size_t)512 * (size_t)bench.k * 4, "rows", &a) != OK ||
        device_memory_new((size_t)512 * (size_t)bench.n * 4, "results", &out) != OK ||
        device_memory_new(MATMUL_SCRATCH_BYTES, "scratch", &bench.scratch) != OK) {
        fprintf(stderr, "bench_matmul: %s\n", status_message());
        return 1;
    }
    memset(memory, 0x3d, MEMORY_BYTES); // 0.046 as bf16, 1.3 as f16, 0.046 as f32
    memset(a, 0x3d, (size_t)512 * (size_t)bench.k * 4);
    bench.memory = memory;
    bench.a = a;
    bench.out = out;

    struct table table;
    table_init(&table, 9);
    static const char *const heading[] = {"isa",   "weights", "rows", "GFLOP/s", "peak",
                                          "ratio", "GB/s",    "peak", "ratio"};
    for (int i = 0; i < 9; i++)
        table_cell(&table, "%s", heading[i]);
    for (int isa = ISA_AVX2; isa <= (int)isa_of_machine(); isa++) {
        if (only != ISA_COUNT && (int)only != isa)
            continue;
        for (int format = PANELS_BF16; format <= PANELS_F32; format++)
            for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                row(&table, &bench, (enum isa)isa, (enum panel_format)format, rows[i]);
    }
    enum status status = table_print(&table, stdout);
    table_fini(&table);
    device_memory_free(memory, MEMORY_BYTES);
    device_memory_free(a, (size_t)512 * (size_t)bench.k * 4);
    device_memory_free(out, (size_t)512 * (size_t)bench.n * 4);
    device_memory_free(bench.scratch, MATMUL_SCRATCH_BYTES);
    return status == OK ? 0 : 1;
}
