// `colrow bench KIND`: speed, always beside the machine's own limits.
#include "cmd/commands.h"
#include "cmd/json_output.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/output.h"
#include "base/text_table.h"
#include "cmd/bench_workload.h"
#include "device/device.h"

static const struct command *const bench_kinds[] = {
    &command_bench_limits,
    &command_bench_latency,
    &command_bench_throughput,
    &command_bench_scaling,
    &command_bench_split,
    &command_bench_idle,
    &command_bench_memory,
    &command_bench_kernels,
    &command_bench_comm,
    &command_bench_serve,
    NULL,
};

const struct command command_bench = {
    .name = "bench",
    .brief = "measure speed and memory beside the machine's limits",
    .summary = "Speed and memory, always beside what the machine can do "
               "(colrow bench KIND --help explains each):\n",
    .kinds = bench_kinds,
};

struct bench_limits {
    bool memory, json;
    double seconds;
};

static enum status run_limits(const struct bench_limits *b)
{
    int cores = device_cpu_count();
    struct table table;
    json_t *list = json_array();
    enum status status = OK;
    const char *heading[] = {
        "cores",   "read GB/s", "memcpy GB/s", "to new pages", "products GFLOP/s",
        "f32 FMA", "from L1",   "bf16 dot",    "int8 GOP/s",   "AMX bf16"};
    int columns = b->memory ? 4 : 10;
    table_init(&table, columns);
    for (int i = 0; i < columns; i++)
        table_cell(&table, "%s", heading[i]);
    for (int n = b->memory ? cores : 1; n <= cores && status == OK;
         n = n * 2 <= cores || n == cores ? n * 2 : cores) {
        struct peak p;
        status = b->memory ? peak_measure_memory(n, &p) : peak_measure(n, b->seconds, &p);
        const double figures[] = {p.read_bytes,           p.copy_bytes, p.fill_bytes,
                                  peak_product_flops(&p), p.fma_flops,  p.fed_flops,
                                  p.bf16_flops,           p.int8_ops,   p.amx_flops};
        table_cell(&table, "%d", n);
        for (int i = 0; i < columns - 1; i++)
            table_cell(&table, figures[i] < 1e11 ? "%.1f" : "%.0f", figures[i] / 1e9);
        json_array_append_new(list, limits_json(n, &p));
    }
    if (status == OK && b->json)
        status = json_write(json_incref(list), JSON_FIGURES, NULL);
    else if (status == OK)
        status = table_print(&table, output());
    table_fini(&table);
    json_decref(list);
    return status;
}

static int bench_limits_main(int argc, char **argv);
#define AT(field) offsetof(struct bench_limits, field)
static const struct flag bench_limits_flags[] = {
    {FLAG_ON, "--memory", NULL, AT(memory), 0, 0, NULL, "only reading and copying, by all cores"},
    {FLAG_NUMBER, "--seconds", NULL, AT(seconds), 0.01, 60, "S",
     "time for each figure (default 0.3)"},
    {FLAG_ON, "--json", NULL, AT(json), 0, 0, NULL, "for machines"},
};
const struct command command_bench_limits = {
    .name = "bench limits",
    .brief = "what this machine can do: read bandwidth, multiply-adds, for 1 to all cores",
    .summary = "Measures what bounds every model here: decoding reads its weights once a "
               "token, prefill multiplies.\n"
               "Other benches print these figures as their denominators.",
    .sections = {FLAG_SECTION(bench_limits_flags, 0)},
    .run = bench_limits_main,
};

static int bench_limits_main(int argc, char **argv)
{
    struct bench_limits b = {.seconds = 0.3};
    bool helped;
    int n_positional;
    enum status status =
        flags_parse(&command_bench_limits, &b, argc, argv, NULL, 0, &n_positional, &helped);
    if (status == OK && !helped)
        status = run_limits(&b);
    return status == OK ? 0 : flags_failed(status);
}
