// `colrow bench KIND`: speed, always beside the machine's own limits.
#include "cmd/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/text_table.h"
#include "cmd/bench_workload.h"
#include "cmd/flags.h"
#include "device/device.h"

static const struct kind {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} kinds[] = {
    {"limits", bench_limits,
     "what this machine can do: read bandwidth, multiply-adds, for 1 to all cores"},
    {"latency", bench_latency, "one batch of requests, as `vllm bench latency`"},
    {"throughput", bench_throughput, "many requests at once, as `vllm bench throughput`"},
    {"scaling", bench_scaling,
     "the same work on 1, 2, 4, 8 ranks: speed-up, efficiency, where the time goes"},
    {"split", bench_split, "the same cores as few ranks with many threads, or the other way round"},
    {"idle", bench_idle, "an open model that nobody asks: CPU time, first token after it"},
    {"memory", bench_memory, "what each rank holds, beside what the plan predicts"},
    {"kernels", bench_kernels, "every kernel and instruction set against the peak"},
    {"comm", bench_comm, "all-reduce between processes, 64 B to 16 MB"},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

int cmd_bench(int argc, char **argv)
{
    if (argc >= 2)
        for (int i = 0; i < KINDS; i++)
            if (strcmp(argv[1], kinds[i].name) == 0)
                return kinds[i].run(argc - 1, argv + 1);
    bool helped = argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    FILE *file = helped ? stdout : stderr;
    if (argc >= 2 && !helped)
        fprintf(file, "colrow: error: unknown benchmark \"%s\"\n", argv[1]);
    fprintf(file,
            "usage: colrow bench KIND [flags]     (colrow bench KIND --help explains it)\n\n");
    for (int i = 0; i < KINDS; i++)
        fprintf(file, "  %-10s %s\n", kinds[i].name, kinds[i].help);
    return helped ? 0 : 2;
}

static enum status run_limits(double seconds, bool memory, bool json)
{
    int cores = device_cpu_count();
    struct table table;
    json_t *list = json_array();
    enum status status = OK;
    const char *heading[] = {
        "cores",   "read GB/s", "memcpy GB/s", "to new pages", "products GFLOP/s",
        "f32 FMA", "from L1",   "bf16 dot",    "int8 GOP/s",   "AMX bf16"};
    int columns = memory ? 4 : 10;
    table_init(&table, columns);
    for (int i = 0; i < columns; i++)
        table_cell(&table, "%s", heading[i]);
    for (int n = memory ? cores : 1; n <= cores && status == OK;
         n = n * 2 <= cores || n == cores ? n * 2 : cores) {
        struct peak p;
        status = memory ? peak_measure_memory(n, &p) : peak_measure(n, seconds, &p);
        const double figures[] = {p.read_bytes,           p.copy_bytes, p.fill_bytes,
                                  peak_product_flops(&p), p.fma_flops,  p.fed_flops,
                                  p.bf16_flops,           p.int8_ops,   p.amx_flops};
        table_cell(&table, "%d", n);
        for (int i = 0; i < columns - 1; i++)
            table_cell(&table, figures[i] < 1e11 ? "%.1f" : "%.0f", figures[i] / 1e9);
        json_array_append_new(list, limits_json(n, &p));
    }
    if (status == OK && json)
        status = write_json(json_incref(list), NULL);
    else if (status == OK)
        status = table_print(&table, stdout);
    table_fini(&table);
    json_decref(list);
    return status;
}

int bench_limits(int argc, char **argv)
{
    bool helped, memory = false, json = false;
    int n_positional;
    double seconds = 0.3;
    const struct flag flags[] = {
        {FLAG_ON, "--memory", NULL, &memory, 0, 0, NULL, "only reading and copying, by all cores"},
        {FLAG_NUMBER, "--seconds", NULL, &seconds, 0.01, 60, "S",
         "time for each figure (default 0.3)"},
        {FLAG_ON, "--json", NULL, &json, 0, 0, NULL, "for machines"},
    };
    const struct usage usage = {
        .command = "bench limits",
        .summary = "Measures what bounds every model here: decoding reads its weights once a "
                   "token, prefill multiplies.\n"
                   "Other benches print these figures as their denominators.",
        .flags = flags,
        .n_flags = sizeof flags / sizeof flags[0],
    };
    enum status status = flags_parse(&usage, argc, argv, NULL, 0, &n_positional, &helped);
    if (status == OK && !helped)
        status = run_limits(seconds, memory, json);
    return status == OK ? 0 : flags_failed(status);
}
