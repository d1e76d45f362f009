#include "cmd/bench_pairs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/output.h"
#include "base/text_table.h"
#include "cmd/bench_workload.h"
#include "cmd/json_output.h"
#include "comm/comm.h"
#include "device/device.h"

enum {
    SMALL_BYTES = 8,
    LARGE_BYTES = 1 << 20,
    SMALL_ROUNDS = 200,
    LARGE_ROUNDS = 6,
    SERIES = 5,
};

// From one rank's memory to another's, half of the way there and back; medians.
struct pair_seconds {
    double small, large;
};
struct pairs_of_rank {
    int node;
    struct pair_seconds with[COMM_RANKS_MAX]; // ranks that come later
};

// ---- starting ----

struct launch_words {
    char numbers[5][32];
    const char *words[40];
    int n, n_numbers;
};

static void add_words(struct launch_words *launch, const char *flag, const char *value)
{
    if (!value)
        return;
    launch->words[launch->n++] = flag;
    launch->words[launch->n++] = value;
}

static void add_figure(struct launch_words *launch, const char *flag, double value)
{
    char *text = launch->numbers[launch->n_numbers++];
    snprintf(text, sizeof launch->numbers[0], "%.15g", value);
    add_words(launch, flag, text);
}

enum status bench_pairs_start(const struct cluster_flags *cluster, const char *n_local, bool json)
{
    struct launch_words launch = {.words = {"colrow", "launch"}, .n = 2};
    add_words(&launch, "--nproc-per-node", n_local ? n_local : "1");
    add_words(&launch, "--nnodes", cluster->nodes_text);
    add_words(&launch, "--master-addr", cluster->master_addr);
    add_words(&launch, "--rdzv-endpoint", cluster->rdzv_endpoint);
    add_words(&launch, "--rdzv-id", *cluster->rdzv_id ? cluster->rdzv_id : NULL);
    add_words(&launch, "--cluster-key-file", cluster->key_file);
    if (cluster->node_rank >= 0)
        add_figure(&launch, "--node-rank", cluster->node_rank);
    if (cluster->master_port)
        add_figure(&launch, "--master-port", cluster->master_port);
    add_figure(&launch, "--join-timeout", cluster->join_timeout);
    add_figure(&launch, "--node-timeout", cluster->node_timeout);
    if (cluster->standalone)
        launch.words[launch.n++] = "--standalone";
    const char *const program[] = {"--", "/proc/self/exe", "bench", "comm", "--as-pair"};
    for (size_t i = 0; i < sizeof program / sizeof program[0]; i++)
        launch.words[launch.n++] = program[i];
    launch.words[launch.n++] = json ? "--json" : NULL;
    launch.words[launch.n] = NULL;
    char *const *arguments;
    const char *const *words = launch.words;
    memcpy(&arguments, &words, sizeof arguments); // execv()'s type is older than const
    execv("/proc/self/exe", arguments);
    return fail_errno("start", "colrow launch");
}

// ---- measuring ----

static enum status bounce(struct comm *comm, int peer, void *data, size_t bytes, int rounds,
                          double *seconds)
{
    bool first = comm_rank(comm) < peer;
    double begun = clock_seconds();
    for (int i = 0; i < rounds; i++) {
        if (first)
            TRY(comm_send(comm, data, bytes, peer));
        TRY(comm_recv(comm, data, bytes, peer));
        if (!first)
            TRY(comm_send(comm, data, bytes, peer));
    }
    *seconds = (clock_seconds() - begun) / rounds / 2;
    return OK;
}

static enum status measure_way(struct comm *comm, int peer, void *data, size_t bytes, int rounds,
                               double *seconds)
{
    double series[SERIES];
    for (int i = -1; i < SERIES; i++) // the first one warms up
        TRY(bounce(comm, peer, data, bytes, rounds, &series[i < 0 ? 0 : i]));
    *seconds = median(series, SERIES);
    return OK;
}

// One pair at a time, while the others wait.
static enum status measure_pairs(struct comm *comm, void *data, struct pairs_of_rank *own)
{
    int rank = comm_rank(comm);
    for (int a = 0; a < comm_size(comm); a++)
        for (int b = a + 1; b < comm_size(comm); b++) {
            struct pair_seconds seconds = {0};
            TRY(comm_barrier(comm));
            if (rank != a && rank != b)
                continue;
            int peer = rank == a ? b : a;
            TRY(measure_way(comm, peer, data, SMALL_BYTES, SMALL_ROUNDS, &seconds.small));
            TRY(measure_way(comm, peer, data, LARGE_BYTES, LARGE_ROUNDS, &seconds.large));
            if (rank == a)
                own->with[b] = seconds;
        }
    return comm_barrier(comm);
}

// ---- showing ----

// The slowest pair of those within a node, or of those between two.
struct slowest_pair {
    int a, b; // a < 0: there is none
    struct pair_seconds seconds;
};

static double bandwidth_of(struct pair_seconds seconds)
{
    return LARGE_BYTES / seconds.large;
}

static struct slowest_pair find_slowest(const struct pairs_of_rank *ranks, int n, bool between)
{
    struct slowest_pair slowest = {.a = -1};
    for (int a = 0; a < n; a++)
        for (int b = a + 1; b < n; b++)
            if ((ranks[a].node != ranks[b].node) == between &&
                (slowest.a < 0 || ranks[a].with[b].large > slowest.seconds.large))
                slowest = (struct slowest_pair){a, b, ranks[a].with[b]};
    return slowest;
}

static void print_slowest(const struct slowest_pair *slowest, const struct pairs_of_rank *ranks)
{
    if (slowest->a < 0)
        return;
    int from = ranks[slowest->a].node, to = ranks[slowest->b].node;
    output_print("slowest link %s: ranks %d and %d", from == to ? "within a node" : "between nodes",
                 slowest->a, slowest->b);
    if (from == to)
        output_print(" of node %d", from);
    else
        output_print(" of nodes %d and %d", from, to);
    output_print(", %.1f us, %.2f GB/s\n", slowest->seconds.small * 1e6,
                 bandwidth_of(slowest->seconds) / 1e9);
}

static enum status print_pairs(const struct pairs_of_rank *ranks, int n)
{
    static const char *const heading[] = {"ranks", "nodes", "latency us", "1 MB us", "GB/s"};
    struct table table;
    table_init(&table, 5);
    for (int i = 0; i < 5; i++)
        table_cell(&table, "%s", heading[i]);
    for (int a = 0; a < n; a++)
        for (int b = a + 1; b < n; b++) {
            const struct pair_seconds *seconds = &ranks[a].with[b];
            table_cell(&table, "%d - %d", a, b);
            table_cell(&table, "%d - %d", ranks[a].node, ranks[b].node);
            table_cell(&table, "%.2f", seconds->small * 1e6);
            table_cell(&table, "%.1f", seconds->large * 1e6);
            table_cell(&table, "%.2f", bandwidth_of(*seconds) / 1e9);
        }
    enum status status = table_print(&table, output());
    table_fini(&table);
    const struct slowest_pair within = find_slowest(ranks, n, false),
                              between = find_slowest(ranks, n, true);
    print_slowest(&within, ranks);
    print_slowest(&between, ranks);
    return status;
}

static json_t *pair_json(const struct pairs_of_rank *ranks, int a, int b)
{
    const struct pair_seconds *seconds = &ranks[a].with[b];
    return json_pack("{s:[i,i], s:[i,i], s:f, s:f}", "ranks", a, b, "nodes", ranks[a].node,
                     ranks[b].node, "latency_us", seconds->small * 1e6, "bandwidth_gb_s",
                     bandwidth_of(*seconds) / 1e9);
}

// As a file of --machine has it.
static void add_link_json(json_t *root, const char *name, const struct slowest_pair *slowest)
{
    char source[96];
    if (slowest->a < 0)
        return;
    snprintf(source, sizeof source, "ranks %d and %d, the slowest pair (bench comm)", slowest->a,
             slowest->b);
    json_object_set_new(root, name,
                        json_pack("{s:{s:f, s:s}, s:{s:f, s:s}}", "latency_seconds", "value",
                                  slowest->seconds.small, "source", source, "bytes_per_second",
                                  "value", bandwidth_of(slowest->seconds), "source", source));
}

static enum status print_pairs_json(const struct pairs_of_rank *ranks, int n)
{
    json_t *root = json_object(), *pairs = json_array();
    for (int a = 0; a < n; a++)
        for (int b = a + 1; b < n; b++)
            json_array_append_new(pairs, pair_json(ranks, a, b));
    const struct slowest_pair within = find_slowest(ranks, n, false),
                              between = find_slowest(ranks, n, true);
    const struct slowest_pair *slowest =
        between.a >= 0 && (within.a < 0 || between.seconds.large > within.seconds.large) ? &between
                                                                                         : &within;
    json_object_set_new(root, "pairs", pairs);
    json_object_set_new(root, "slowest", pair_json(ranks, slowest->a, slowest->b));
    add_link_json(root, "link_in_node", &within);
    add_link_json(root, "link_between_nodes", &between);
    return json_write(root, JSON_FIGURES, NULL);
}

static enum status run_pairs(struct comm *comm, bool json)
{
    struct pairs_of_rank own = {.node = 0}, *all = NULL;
    const char *node = getenv("GROUP_RANK");
    void *data = NULL;
    enum status status;
    if (comm_size(comm) < 2)
        return fail(ERR_USAGE, "one rank has nobody to measure with; expected --nnodes, or "
                               "--nproc-per-node 2 or more");
    own.node = node ? atoi(node) : 0;
    TRY(device_memory_new(LARGE_BYTES, "a message", &data)); // as activations have it
    TRY_DONE(memory_new((size_t)comm_size(comm), sizeof own, "figures of all pairs", &all));
    TRY_DONE(measure_pairs(comm, data, &own));
    TRY_DONE(comm_all_gather(comm, &own, sizeof own, NULL, all));
    if (comm_rank(comm) == 0)
        status = json ? print_pairs_json(all, comm_size(comm)) : print_pairs(all, comm_size(comm));
done:
    free(all);
    device_memory_free(data, LARGE_BYTES);
    return status;
}

enum status bench_pairs_rank(bool json)
{
    struct comm *comm;
    TRY(comm_open(&comm));
    enum status status = run_pairs(comm, json);
    comm_close(comm);
    return status;
}
