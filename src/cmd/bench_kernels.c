// `colrow bench kernels`: the product and attention kernels of every instruction set against this
// machine's peak.
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/output.h"
#include "base/text_table.h"
#include "cmd/bench_workload.h"
#include "cmd/commands.h"
#include "cmd/json_output.h"
#include "device/device.h"

// Shapes of Llama-3.2-1B at TP=2: gate and up of a rank; 30 of them do not fit the second-level
// cache and, together, exceed most last-level ones, as a model's layers do.
struct shape {
    int n, k, copies;
};

struct product_bench {
    struct panels panels[64];
    int copies;
    void *weights, *a, *out, *scratch;
    size_t weight_bytes, copy_bytes, a_bytes, out_bytes;
    struct leaf_plan leaves;
};

enum { ROWS_MAX = 512 };

static enum status product_new(struct product_bench *b, enum panel_format format,
                               const struct shape *shape)
{
    *b = (struct product_bench){.copies = shape->copies};
    TRY(panels_bytes(format, shape->n, shape->k, &b->copy_bytes));
    b->weight_bytes = b->copy_bytes * (size_t)shape->copies;
    b->a_bytes = (size_t)ROWS_MAX * (size_t)shape->k * sizeof(float);
    b->out_bytes = (size_t)ROWS_MAX * (size_t)shape->n * sizeof(float);
    TRY(device_memory_new(b->weight_bytes, "weights", &b->weights));
    TRY(device_memory_new(b->a_bytes, "inputs", &b->a));
    TRY(device_memory_new(b->out_bytes, "outputs", &b->out));
    TRY(device_memory_new(MATMUL_SCRATCH_BYTES, "scratch", &b->scratch));
    for (int i = 0; i < shape->copies; i++)
        panels_init(&b->panels[i], format, shape->n, shape->k,
                    (char *)b->weights + (size_t)i * b->copy_bytes);
    for (size_t i = 0; i < b->weight_bytes; i += 2) // small normal numbers in every format
        memcpy((char *)b->weights + i, "\x10\x3c", 2);
    b->leaves = leaf_plan_whole(shape->k);
    return OK;
}

static void product_free(struct product_bench *b)
{
    device_memory_free(b->weights, b->weight_bytes);
    device_memory_free(b->a, b->a_bytes);
    device_memory_free(b->out, b->out_bytes);
    device_memory_free(b->scratch, MATMUL_SCRATCH_BYTES);
}

struct format_row {
    enum panel_format format;
    bool a_is_bf16;
    const char *name;
    enum product_order order;
};

// Seconds of one product over one copy, the best of passes over all copies.
static double time_product(struct product_bench *b, const struct kernels *kernels, int m,
                           const struct format_row *format)
{
    double best = 1e9, spent = 0;
    for (int pass = 0; pass < 3 || spent < 0.15; pass++) {
        double begun = clock_seconds();
        for (int i = 0; i < b->copies; i++) {
            const struct panels *w = &b->panels[i];
            const struct matmul args = {.w = w,
                                        .leaves = &b->leaves,
                                        .panel_end = w->n_panels,
                                        .m = m,
                                        .a = b->a,
                                        .a_is_bf16 = format->a_is_bf16,
                                        .order = format->order,
                                        .a_stride = (size_t)w->k,
                                        .out = b->out,
                                        .out_stride = (size_t)w->n,
                                        .scratch = b->scratch};
            kernels->matmul(&args);
        }
        double took = clock_seconds() - begun;
        spent += took;
        best = took / b->copies < best ? took / b->copies : best;
        if (took > 2)
            break;
    }
    return best;
}

static void add_kernel_row(struct table *table, json_t *list, const char *isa,
                           const struct format_row *format, int m, const struct shape *s,
                           double seconds, double bytes, const struct peak *peak)
{
    const char *name = format->name;
    double flops = 2.0 * m * s->n * s->k / seconds, read = bytes / seconds;
    double most = format->order == ORDER_TILES ? peak_tiles_flops(peak) : peak_product_flops(peak);
    table_cell(table, "%s", isa);
    table_cell(table, "%s", name);
    table_cell(table, "%d", m);
    table_cell(table, "%.1f", flops / 1e9);
    table_cell(table, "%.3f", flops / most);
    table_cell(table, "%.1f", read / 1e9);
    table_cell(table, "%.3f", read / peak->read_bytes);
    json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i, s:i, s:f, s:f, s:f}", "isa", isa,
                                          "weights", name, "m", m, "n", s->n, "k", s->k, "seconds",
                                          seconds, "flops_of_peak", flops / most,
                                          "bytes_of_bandwidth", read / peak->read_bytes));
}

struct bench_kernels {
    bool json, quick;
};

static enum status run_kernels(const struct bench_kernels *b)
{
    static const struct format_row formats[] = {{PANELS_BF16, true, "bf16", ORDER_PAIRS},
                                                {PANELS_BF16, true, "bf16, tiles", ORDER_TILES},
                                                {PANELS_BF16, false, "bf16, f32 in", ORDER_PAIRS},
                                                {PANELS_F16, false, "f16", ORDER_PAIRS},
                                                {PANELS_F32, false, "f32", ORDER_PAIRS}};
    static const int rows[] = {1, 2, 4, 8, 16, 64, 512};
    const struct shape shape = {.n = 8192, .k = 2048, .copies = 24};
    struct peak peak;
    struct table table;
    json_t *list = json_array();
    enum status status = peak_measure(1, 0.1, &peak);
    table_init(&table, 7);
    const char *heading[] = {"isa",     "weights", "rows",        "GFLOP/s",
                             "of peak", "GB/s",    "of bandwidth"};
    for (int i = 0; i < 7; i++)
        table_cell(&table, "%s", heading[i]);
    number_mode_set();
    for (size_t f = 0; f < sizeof formats / sizeof formats[0] && status == OK; f++) {
        struct product_bench bench;
        if (b->quick && f > 1)
            break;
        status = product_new(&bench, formats[f].format, &shape);
        for (int isa = (int)isa_of_machine(); isa > (int)ISA_REFERENCE && status == OK; isa--)
            for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
                double seconds =
                    time_product(&bench, kernels_for((enum isa)isa), rows[r], &formats[f]);
                add_kernel_row(&table, list, isa_name((enum isa)isa), &formats[f], rows[r], &shape,
                               seconds, (double)bench.copy_bytes, &peak);
            }
        product_free(&bench);
    }
    if (status == OK && b->json) {
        status =
            json_write(json_pack("{s:o, s:O}", "limits", limits_json(1, &peak), "products", list),
                       JSON_FIGURES, NULL);
    } else if (status == OK) {
        print_limits(output(), 1, &peak);
        output_print(
            "products of weights [%d, %d], %d of them in turn so that they come from memory; "
            "one thread\n\n",
            shape.n, shape.k, shape.copies);
        status = table_print(&table, output());
    }
    table_fini(&table);
    json_decref(list);
    return status;
}

static int bench_kernels_main(int argc, char **argv);
#define AT(field) offsetof(struct bench_kernels, field)
static const struct flag bench_kernels_flags[] = {
    {FLAG_ON, "--quick", NULL, AT(quick), 0, 0, NULL, "bf16 weights only"},
    {FLAG_ON, "--json", NULL, AT(json), 0, 0, NULL, "for machines"},
};
const struct command command_bench_kernels = {
    .name = "bench kernels",
    .brief = "every kernel and instruction set against the peak",
    .summary = "One core: the product kernels of every instruction set and weight type, for 1 "
               "to 512 rows, beside the\n"
               "measured peak and read bandwidth. (`ctest -L kernels` proves that they give "
               "the same bits.)",
    .sections = {FLAG_SECTION(bench_kernels_flags, 0)},
    .run = bench_kernels_main,
};

static int bench_kernels_main(int argc, char **argv)
{
    struct bench_kernels b = {0};
    bool helped;
    int n_positional;
    enum status status =
        flags_parse(&command_bench_kernels, &b, argc, argv, NULL, 0, &n_positional, &helped);
    if (status == OK && !helped)
        status = run_kernels(&b);
    return status == OK ? 0 : flags_failed(status);
}
