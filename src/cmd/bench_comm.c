// `colrow bench comm`: latency and bandwidth of the all-reduce between processes of this machine.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "cmd/bench_workload.h"
#include "cmd/flags.h"
#include "comm/comm.h"
#include "comm/group.h"

enum { SIZES_MAX = 16, TRIES = 7, BYTES_MOST = 16 << 20 };
static const size_t sizes[] = {64,    256,    1024,    4096,    16384,
                               65536, 262144, 1 << 20, 4 << 20, 16 << 20};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

// Shared with the ranks; rank 0 fills it in.
struct comm_results {
    double seconds[SIZES_MAX]; // of one all-reduce, median of TRIES
};

static double time_one(struct comm *comm, float *data, size_t n, int repeats, enum status *status)
{
    double begun = clock_seconds();
    for (int i = 0; i < repeats && *status == OK; i++)
        *status = comm_all_reduce(comm, NULL, data, data, n);
    return (clock_seconds() - begun) / repeats;
}

static enum status measure(struct comm *comm, struct comm_results *results)
{
    float *data;
    enum status status = memory_new(BYTES_MOST, 1, "a message", &data);
    for (int s = 0; s < (int)SIZES && status == OK; s++) {
        double times[TRIES];
        size_t n = sizes[s] / sizeof(float);
        int repeats = sizes[s] <= 65536 ? 300 : sizes[s] <= 1 << 20 ? 40 : 5;
        memset(data, 0, sizes[s]); // sums of zeros do not overflow after thousands of rounds
        (void)time_one(comm, data, n, repeats / 5 + 1, &status);
        for (int t = 0; t < TRIES && status == OK; t++) {
            status = comm_barrier(comm);
            times[t] = time_one(comm, data, n, repeats, &status);
        }
        if (status == OK && comm_rank(comm) == 0)
            results->seconds[s] = median(times, TRIES);
    }
    free(data);
    return status;
}

static int run_rank(void)
{
    struct comm *comm;
    size_t bytes;
    enum status status = comm_open(&comm);
    if (status != OK)
        return flags_failed(status);
    struct comm_results *results = comm_board(comm, &bytes);
    status = results && bytes >= sizeof *results
                 ? measure(comm, results)
                 : fail(ERR_INPUT, "bench comm --as-rank is started by bench comm only");
    comm_close(comm);
    return status == OK ? 0 : flags_failed(status);
}

static enum status run_group(int n_ranks, struct comm_results *out)
{
    const char *const arguments[] = {"colrow", "bench", "comm", "--as-rank", NULL};
    const struct group_options options = {.program = "/proc/self/exe",
                                          .arguments = arguments,
                                          .n_ranks = n_ranks,
                                          .board_bytes = sizeof *out};
    struct group *group;
    int exit_status = 0;
    TRY(group_spawn(&options, &group));
    enum status status = group_wait(group, &exit_status);
    if (status == OK && exit_status != 0)
        status = fail(ERR_GROUP, "a rank left with status %d", exit_status);
    memcpy(out, group_board(group), sizeof *out);
    group_close(group, 0.5);
    return status;
}

static enum status run_all(const char *ranks_text, bool json)
{
    int ranks[FLAG_LIST_MAX], n;
    struct table table;
    json_t *list = json_array();
    TRY(flags_list("--ranks", ranks_text, 1, 64, ranks, &n));
    n = n < TABLE_COLUMNS_MAX / 2 - 1 ? n : TABLE_COLUMNS_MAX / 2 - 1;
    struct comm_results results[FLAG_LIST_MAX];
    enum status status = OK;
    for (int i = 0; i < n && status == OK; i++)
        status = run_group(ranks[i], &results[i]);
    table_init(&table, 1 + 2 * n);
    table_cell(&table, "bytes");
    for (int i = 0; i < n; i++) {
        table_cell(&table, "%d ranks, us", ranks[i]);
        table_cell(&table, "GB/s");
    }
    for (int s = 0; s < (int)SIZES && status == OK; s++) {
        table_cell(&table, "%zu", sizes[s]);
        for (int i = 0; i < n; i++) {
            table_cell(&table, "%.1f", results[i].seconds[s] * 1e6);
            table_cell(&table, "%.2f", (double)sizes[s] / results[i].seconds[s] / 1e9);
            json_array_append_new(list, json_pack("{s:i, s:I, s:f}", "ranks", ranks[i], "bytes",
                                                  (json_int_t)sizes[s], "seconds",
                                                  results[i].seconds[s]));
        }
    }
    if (status == OK && json)
        status = write_json(json_incref(list), NULL);
    else if (status == OK)
        status = table_print(&table, stdout);
    table_fini(&table);
    json_decref(list);
    return status;
}

int bench_comm(int argc, char **argv)
{
    bool helped, as_rank = false, json = false;
    int n_positional;
    const char *ranks = "2,4,8";
    const struct flag flags[] = {
        {FLAG_TEXT, "--ranks", NULL, &ranks, 0, 0, "N,...", "numbers of ranks (default 2,4,8)"},
        {FLAG_ON, "--json", NULL, &json, 0, 0, NULL, "for machines"},
        {FLAG_ON, "--as-rank", NULL, &as_rank, 0, 0, NULL, "(internal)"},
    };
    const struct usage usage = {
        .command = "bench comm",
        .summary = "All-reduce of f32 sums along the canonical tree over shared memory, median of "
                   "7 series.\n"
                   "bench/mpi_all_reduce.sh measures Open MPI and MPICH the same way.",
        .flags = flags,
        .n_flags = sizeof flags / sizeof flags[0],
    };
    enum status status = flags_parse(&usage, argc, argv, NULL, 0, &n_positional, &helped);
    if (status == OK && as_rank)
        return run_rank();
    if (status == OK && !helped)
        status = run_all(ranks, json);
    return status == OK ? 0 : flags_failed(status);
}
