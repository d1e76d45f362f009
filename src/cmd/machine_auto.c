// `--machine auto`: this machine, as `bench limits` and `bench comm` measure it.
#include <stdio.h>

#include "cmd/bench_comm.h"
#include "cmd/prediction.h"
#include "device/device.h"
#include "device/peak.h"

#define SECONDS_FOR_A_FIGURE 0.1

static void take_figure(struct figure *figure, double value, const char *how)
{
    figure->value = value;
    snprintf(figure->source, sizeof figure->source, "measured: %s", how);
}

// What products reach at most: with operands from the first cache, where that is slower.
static double product_flops(const struct peak *p)
{
    double flops = peak_product_flops(p);
    return p->fed_flops > 0 && p->fed_flops < flops && flops == p->fma_flops ? p->fed_flops : flops;
}

static enum status measure_link(int n_ranks, struct machine_link *link)
{
    double small = 0, large = 0;
    char how[64];
    snprintf(how, sizeof how, "all-reduce of %d ranks (bench comm)", n_ranks);
    TRY(bench_comm_measure(n_ranks, &small, &large));
    double moved = 2.0 * (n_ranks - 1) / n_ranks * BENCH_COMM_LARGE;
    double seconds = large > 2 * small ? large - 2 * small : large;
    take_figure(&link->latency_seconds, small, how);
    take_figure(&link->bytes_per_second, moved / seconds, how);
    return OK;
}

enum status machine_measure(int n_ranks, int threads, struct machine *out)
{
    int cores = device_cpu_count(), share = cores / n_ranks > 1 ? cores / n_ranks : 1;
    struct peak own, all;
    struct device_memory memory;
    char how[64];
    if (threads < 1 || threads > cores)
        threads = share;
    *out = (struct machine){.name = ""};
    TRY(device_memory_read(&memory));
    TRY(peak_measure(threads, SECONDS_FOR_A_FIGURE, &own));
    TRY(peak_measure(cores, SECONDS_FOR_A_FIGURE, &all));
    snprintf(out->name, sizeof out->name, "this machine (%d cores, measured now)", cores);
    snprintf(how, sizeof how, "%d core%s (bench limits)", threads, threads == 1 ? "" : "s");
    take_figure(&out->memory_bytes, (double)memory.total, "MemTotal and cgroups");
    take_figure(&out->read_bytes_per_second, own.read_bytes, how);
    take_figure(&out->bfloat16_flops_per_second, product_flops(&own), how);
    take_figure(&out->float32_flops_per_second, own.fed_flops > 0 ? own.fed_flops : own.fma_flops,
                how);
    snprintf(how, sizeof how, "%d cores (bench limits)", cores);
    take_figure(&out->node_memory_bytes, (double)memory.total, "MemTotal and cgroups");
    take_figure(&out->node_read_bytes_per_second, all.read_bytes, how);
    take_figure(&out->node_flops_per_second, product_flops(&all), how);
    if (n_ranks > 1)
        TRY(measure_link(n_ranks < cores ? n_ranks : cores > 1 ? cores : 2, &out->in_node));
    return OK;
}
