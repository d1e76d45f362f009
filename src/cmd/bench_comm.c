// `colrow bench comm`: latency and bandwidth of the all-reduce between processes of this machine.
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/output.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "cmd/bench_comm.h"
#include "cmd/bench_pairs.h"
#include "cmd/bench_workload.h"
#include "cmd/commands.h"
#include "cmd/json_output.h"
#include "comm/comm.h"
#include "comm/group.h"
#include "device/device.h"
#include "device/topology.h"

enum { SIZES_MAX = 16, TRIES = 7, BYTES_MOST = 16 << 20, RUNS_MAX = TABLE_COLUMNS_MAX / 2 - 1 };
static const size_t sizes[] = {64,    256,    1024,    4096,    16384,
                               65536, 262144, 1 << 20, 4 << 20, 16 << 20};
enum { SIZES = sizeof sizes / sizeof sizes[0] };
static const char *const algorithms[] = {"auto", "one-shot", "two-shot"};
enum { ALGORITHMS = sizeof algorithms / sizeof algorithms[0] };

// Shared with the ranks; rank 0 fills it in.
struct comm_results {
    double seconds[SIZES_MAX]; // of one all-reduce, of the slowest rank, median of TRIES
    struct comm_points points;
};

// One group and what it measured.
struct comm_run {
    int n_ranks;
    const char *algorithm;
    struct comm_results results;
};

// As the engine binds the threads of its ranks: each to a core, while there are enough.
static enum status bind_to_core(const struct comm *comm)
{
    struct topology topology;
    int cpus[TOPOLOGY_CORES_MAX];
    cpu_set_t set;
    TRY(topology_read(&topology));
    if (comm_size(comm) > topology.n_cores ||
        topology_share(&topology, comm_rank(comm), comm_size(comm), 1, cpus) != 1)
        return OK;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpus[0], &set);
    (void)sched_setaffinity(0, sizeof set, &set); // a hint, as there
    return OK;
}

static enum status time_one(struct comm *comm, float *data, size_t n, int repeats, double *seconds)
{
    TRY(comm_barrier(comm));
    double begun = clock_seconds();
    for (int i = 0; i < repeats; i++)
        TRY(comm_all_reduce(comm, NULL, data, data, n));
    *seconds = (clock_seconds() - begun) / repeats;
    return OK;
}

static enum status measure_size(struct comm *comm, float *data, size_t bytes, double *seconds)
{
    double own[TRIES], all[FLAG_LIST_MAX][TRIES];
    int repeats = bytes <= 65536 ? 300 : bytes <= 1 << 20 ? 40 : 5;
    memset(data, 0, bytes);          // sums of zeros do not overflow after thousands of rounds
    for (int t = -1; t < TRIES; t++) // the first series warms up
        TRY(time_one(comm, data, bytes / sizeof *data, repeats, &own[t < 0 ? 0 : t]));
    TRY(comm_all_gather(comm, own, sizeof own, NULL, all));
    for (int r = 0; r < comm_size(comm); r++)
        for (int t = 0; t < TRIES; t++)
            own[t] = all[r][t] > own[t] ? all[r][t] : own[t];
    *seconds = median(own, TRIES);
    return OK;
}

static enum status measure_comm(struct comm *comm, struct comm_results *results)
{
    void *memory;
    enum status status;
    TRY(device_memory_new(BYTES_MOST, "a message", &memory)); // as activations have it
    float *data = memory;
    TRY_DONE(bind_to_core(comm));
    TRY_DONE(comm_tune(comm));
    for (int s = 0; s < (int)SIZES; s++) {
        double seconds;
        TRY_DONE(measure_size(comm, data, sizes[s], &seconds));
        if (comm_rank(comm) == 0)
            results->seconds[s] = seconds;
    }
    if (comm_rank(comm) == 0)
        comm_points(comm, &results->points);
done:
    device_memory_free(memory, BYTES_MOST);
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
                 ? measure_comm(comm, results)
                 : fail(ERR_USAGE, "bench comm --as-rank is started by bench comm only");
    comm_close(comm);
    return status == OK ? 0 : flags_failed(status);
}

static enum status run_group(struct comm_run *run)
{
    const char *const arguments[] = {"colrow", "bench", "comm", "--as-rank", NULL};
    const struct group_options options = {.program = "/proc/self/exe",
                                          .arguments = arguments,
                                          .n_ranks = run->n_ranks,
                                          .board_bytes = sizeof run->results};
    struct group *group;
    int exit_status = 0;
    setenv("COLROW_ALL_REDUCE", run->algorithm, 1);
    TRY(group_spawn(&options, &group));
    enum status status = group_wait(group, &exit_status);
    if (status == OK && exit_status != 0)
        status = fail(ERR_GROUP, "a rank left with status %d", exit_status);
    memcpy(&run->results, group_board(group), sizeof run->results);
    group_close(group, 0.5);
    return status;
}

enum status bench_comm_measure(int n_ranks, double *small, double *large)
{
    struct comm_run run = {.n_ranks = n_ranks, .algorithm = "auto"};
    TRY(run_group(&run));
    for (int s = 0; s < (int)SIZES; s++)
        if (sizes[s] == BENCH_COMM_LARGE)
            *large = run.results.seconds[s];
    *small = run.results.seconds[0];
    return OK;
}

static void print_points(const struct comm_run *run)
{
    const struct comm_points *points = &run->results.points;
    output_print("%d ranks, %s: one-shot to %zu bytes", run->n_ranks, run->algorithm,
                 points->one_shot_bytes);
    if (run->n_ranks == 2)
        output_print(" (slots demoted to %zu, spread to %zu), two-shot in chunks of %zu",
                     points->demote_bytes, points->spread_bytes, points->chunk_bytes);
    if (points->stream_bytes != SIZE_MAX)
        output_print(", streamed from %zu", points->stream_bytes);
    if (points->tuning_seconds > 0)
        output_print("; measured in %.1f ms\n", points->tuning_seconds * 1e3);
    else
        output_print("; not measured: ranks share CPUs\n");
}

static enum status print_table(const struct comm_run *runs, int n)
{
    struct table table;
    table_init(&table, 1 + 2 * n);
    table_cell(&table, "bytes");
    for (int i = 0; i < n; i++) {
        table_cell(&table, "%d ranks, %s, us", runs[i].n_ranks, runs[i].algorithm);
        table_cell(&table, "GB/s");
    }
    for (int s = 0; s < (int)SIZES; s++) {
        table_cell(&table, "%zu", sizes[s]);
        for (int i = 0; i < n; i++) {
            double seconds = runs[i].results.seconds[s];
            table_cell(&table, seconds < 1e-5 ? "%.2f" : "%.1f", seconds * 1e6);
            table_cell(&table, "%.2f", (double)sizes[s] / seconds / 1e9);
        }
    }
    enum status status = table_print(&table, output());
    table_fini(&table);
    for (int i = 0; i < n; i++)
        if (runs[i].n_ranks > 1)
            print_points(&runs[i]);
    return status;
}

static enum status print_comm_json(const struct comm_run *runs, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        for (int s = 0; s < (int)SIZES; s++) {
            const struct comm_results *results = &runs[i].results;
            const struct comm_points *points = &results->points;
            json_array_append_new(
                list, json_pack("{s:i, s:s, s:I, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:f}", "ranks",
                                runs[i].n_ranks, "algorithm", runs[i].algorithm, "bytes",
                                (json_int_t)sizes[s], "seconds", results->seconds[s],
                                "bytes_per_second", (double)sizes[s] / results->seconds[s],
                                "one_shot_bytes", (json_int_t)points->one_shot_bytes,
                                "demote_bytes", (json_int_t)points->demote_bytes, "spread_bytes",
                                (json_int_t)points->spread_bytes, "chunk_bytes",
                                (json_int_t)points->chunk_bytes, "stream_bytes",
                                points->stream_bytes == SIZE_MAX ? (json_int_t)-1
                                                                 : (json_int_t)points->stream_bytes,
                                "tuning_seconds", points->tuning_seconds));
        }
    return json_write(list, JSON_FIGURES, NULL);
}

// "auto", "one-shot", "two-shot" or "all".
static enum status choose_algorithms(const char *text, const char **chosen, int *n)
{
    *n = 0;
    for (int i = 0; i < (int)ALGORITHMS; i++)
        if (strcmp(text, "all") == 0 || strcmp(text, algorithms[i]) == 0)
            chosen[(*n)++] = algorithms[i];
    if (*n == 0)
        return fail(ERR_USAGE, "--all-reduce is \"%s\"; expected auto, one-shot, two-shot or all",
                    text);
    return OK;
}

struct bench_comm {
    bool as_rank, as_pair, json;
    const char *ranks, *algorithm, *n_local;
    struct cluster_flags cluster;
};

static enum status run_comm(const struct bench_comm *b)
{
    int ranks[FLAG_LIST_MAX], n_ranks, n_chosen, n = 0;
    const char *chosen[ALGORITHMS];
    struct comm_run runs[RUNS_MAX];
    static struct cluster_plan plan; // holds a key
    TRY(cluster_flags_resolve(&b->cluster, &plan));
    if ((plan.n_nodes > 1 || b->n_local) && b->ranks)
        return fail(ERR_USAGE, "flag --tensor-parallel-size: pairs of ranks are measured with "
                               "--nnodes and --nproc-per-node; expected that instead");
    if (plan.n_nodes > 1 || b->n_local)
        return bench_pairs_start(&b->cluster, b->n_local, b->json);
    TRY(flags_list("--tensor-parallel-size", b->ranks ? b->ranks : "2,4,8", 1, FLAG_LIST_MAX, ranks,
                   &n_ranks));
    TRY(choose_algorithms(b->algorithm, chosen, &n_chosen));
    if (n_ranks * n_chosen > RUNS_MAX)
        return fail(ERR_USAGE, "%d numbers of ranks with %d algorithms each; at most %d fit",
                    n_ranks, n_chosen, RUNS_MAX);
    for (int i = 0; i < n_ranks; i++)
        for (int k = 0; k < n_chosen; k++, n++) {
            runs[n] = (struct comm_run){.n_ranks = ranks[i], .algorithm = chosen[k]};
            TRY(run_group(&runs[n]));
        }
    return b->json ? print_comm_json(runs, n) : print_table(runs, n);
}

static int bench_comm_main(int argc, char **argv);
#define AT(field) offsetof(struct bench_comm, field)
static const struct flag bench_comm_flags[] = {
    {FLAG_TEXT, "--tensor-parallel-size", "-tp --tp --ranks", AT(ranks), 0, 0, "N,...",
     "numbers of ranks (default 2,4,8)"},
    {FLAG_TEXT, "--all-reduce", NULL, AT(algorithm), 0, 0, "HOW",
     "auto (default), one-shot, two-shot, or all of these side by side"},
    {FLAG_ON, "--json", NULL, AT(json), 0, 0, NULL, "for machines"},
    {FLAG_TEXT, "--nproc-per-node", "-n", AT(n_local), 0, 0, "N",
     "ranks of this node, whose links are measured pair by pair (default 1 where there are several "
     "nodes)"},
    {FLAG_ON, "--as-rank", NULL, AT(as_rank), 0, 0, NULL, NULL},
    {FLAG_ON, "--as-pair", NULL, AT(as_pair), 0, 0, NULL, NULL},
};
const struct command command_bench_comm = {
    .name = "bench comm",
    .brief = "all-reduce between processes, and the links between nodes",
    .summary =
        "All-reduce of f32 sums along the canonical tree over shared memory: time of the "
        "slowest rank, median of 7 series.\n"
        "bench/mpi_all_reduce.sh measures Open MPI and MPICH the same way.\n\n"
        "On several nodes, started on each as colrow launch is, or with --nproc-per-node: "
        "latency (8 bytes) and bandwidth\n(1 MB) of every pair of ranks, one pair at a time, "
        "half of the way there and back, median of 5 series. With --json\nplan "
        "--comm-figures reads it.",
    .examples = "  colrow bench comm -tp 2,4 --all-reduce all\n"
                "  colrow bench comm --nnodes 2 --node-rank 0 --master-addr 10.0.0.1 -n 2 --json",
    .sections = {FLAG_SECTION(bench_comm_flags, 0), FLAG_SECTION(cluster_flag_rows, AT(cluster))},
    .run = bench_comm_main,
};

static int bench_comm_main(int argc, char **argv)
{
    struct bench_comm b = {.algorithm = "auto"};
    cluster_flags_init(&b.cluster);
    bool helped;
    int n_positional;
    enum status status =
        flags_parse(&command_bench_comm, &b, argc, argv, NULL, 0, &n_positional, &helped);
    if (status == OK && b.as_rank)
        return run_rank();
    if (status == OK && b.as_pair) {
        status = bench_pairs_rank(b.json);
        return status == OK ? 0 : flags_failed(status);
    }
    if (status == OK && !helped)
        status = run_comm(&b);
    return status == OK ? 0 : flags_failed(status);
}
