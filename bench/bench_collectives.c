// Collectives between processes of this machine: microseconds a call and what that means in
// bandwidth, for 64 B to 16 MB. Each figure is the median of batches; a batch is as many calls as
// take about 2 ms.
//
//   bench_collectives [OPERATION [RANKS...]]     all-reduce (default), all-gather, broadcast,
//   barrier; ranks 2 3 4 8
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text_table.h"
#include "comm/comm.h"
#include "comm/group.h"
#include "device/device.h"

enum { SIZES = 10, BATCHES = 301, FLOATS_MAX = 4 << 20 };
static const size_t sizes[SIZES] = {64,    1024,   4096,    16384,   32768,
                                    65536, 262144, 1 << 20, 4 << 20, 16 << 20};

struct figures {
    double median[SIZES], best[SIZES];
};

static enum status call(struct comm *comm, char operation, float *data, float *out, size_t bytes)
{
    switch (operation) {
    case 'g':
        return comm_all_gather(comm, data, bytes / (size_t)comm_size(comm), NULL, out);
    case 'c':
        return comm_broadcast(comm, data, bytes, 0);
    case 'b':
        return comm_barrier(comm);
    default:
        return comm_all_reduce(comm, NULL, data, out, bytes / sizeof *data);
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static enum status measure(struct comm *comm, char operation, float *data, float *out, size_t bytes,
                           double *median, double *best)
{
    double times[BATCHES];
    int n = 4;
    for (int batch = -3; batch < BATCHES; batch++) {
        TRY(comm_barrier(comm));
        double begun = clock_seconds();
        for (int i = 0; i < n; i++)
            TRY(call(comm, operation, data, out, bytes));
        double each = (clock_seconds() - begun) / n;
        if (batch >= 0)
            times[batch] = each;
        else { // the slowest rank's pace decides how many: all must do the same
            n = (int)fmin(fmax(2e-4 / each, 1), 200);
            TRY(comm_broadcast(comm, &n, sizeof n, 0));
        }
    }
    qsort(times, BATCHES, sizeof times[0], ascending);
    *median = times[BATCHES / 2];
    *best = times[0];
    return OK;
}

// As the engine binds its ranks. Which CPUs there are is known only where they are numbered from 0.
static void bind_to_cpu(int rank)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET((size_t)(rank % device_cpu_count()), &cpus);
    (void)sched_setaffinity(0, sizeof cpus, &cpus);
}

static enum status run_rank(char operation)
{
    struct comm *comm;
    TRY(comm_open(&comm));
    bind_to_cpu(comm_rank(comm));
    size_t bytes;
    struct figures *figures = comm_board(comm, &bytes);
    float *data = calloc(FLOATS_MAX, sizeof *data), *out = calloc(FLOATS_MAX, sizeof *out);
    if (!data || !out)
        return fail_memory(2 * FLOATS_MAX * sizeof *data, "the vectors");
    for (size_t i = 0; i < FLOATS_MAX; i++)
        data[i] = (float)i + 1;
    for (int s = 0; s < SIZES; s++) {
        double median, best;
        TRY(measure(comm, operation, data, out, sizes[s], &median, &best));
        if (comm_rank(comm) == 0) {
            figures->median[s] = median;
            figures->best[s] = best;
        }
    }
    free(out);
    free(data);
    comm_close(comm);
    return OK;
}

static enum status run_group(const char *operation, int n_ranks, struct figures *out)
{
    const char *arguments[] = {"bench_collectives", "--rank", operation, NULL};
    const struct group_options options = {.program = "/proc/self/exe",
                                          .arguments = arguments,
                                          .n_ranks = n_ranks,
                                          .board_bytes = sizeof *out};
    struct group *group;
    TRY(group_spawn(&options, &group));
    int exit_status;
    enum status status = group_wait(group, &exit_status);
    if (status == OK)
        memcpy(out, group_board(group), sizeof *out);
    group_close(group, 0);
    return status;
}

static enum status run_all(const char *operation, const int *ranks, int n)
{
    struct table table;
    table_init(&table, 1 + 3 * n);
    struct figures figures[8];
    table_cell(&table, "bytes");
    for (int i = 0; i < n; i++) {
        TRY(run_group(operation, ranks[i], &figures[i]));
        table_cell(&table, "%d ranks: us", ranks[i]);
        table_cell(&table, "best");
        table_cell(&table, "GB/s");
    }
    for (int s = 0; s < SIZES; s++) {
        table_cell(&table, "%zu", sizes[s]);
        for (int i = 0; i < n; i++) {
            table_cell(&table, "%.2f", figures[i].median[s] * 1e6);
            table_cell(&table, "%.2f", figures[i].best[s] * 1e6);
            table_cell(&table, "%.2f", (double)sizes[s] / figures[i].median[s] * 1e-9);
        }
    }
    printf("%s\n", operation);
    enum status status = table_print(&table, stdout);
    table_fini(&table);
    return status;
}

int main(int argc, char **argv)
{
    enum status status;
    if (argc == 3 && strcmp(argv[1], "--rank") == 0) {
        status = run_rank(strcmp(argv[2], "all-gather") == 0  ? 'g'
                          : strcmp(argv[2], "broadcast") == 0 ? 'c'
                                                              : argv[2][0]);
    } else {
        int ranks[8] = {2, 3, 4, 8}, n = 4;
        for (int i = 2; i < argc && i < 10; i++) {
            ranks[i - 2] = atoi(argv[i]);
            n = i - 1;
        }
        status = run_all(argc > 1 ? argv[1] : "all-reduce", ranks, n);
    }
    if (status != OK)
        fprintf(stderr, "%s\n", status_message());
    return status != OK;
}
