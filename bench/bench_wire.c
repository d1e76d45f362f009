// All-reduce between nodes that are network namespaces of this machine: `bench_wire NAME:RANKS...`,
// one word for each (`ip netns`). Prints bytes and microseconds, timed as bench/mpi_all_reduce.c
// times MPI: the slowest rank's, median of 7 series. bench/wire_all_reduce.sh makes the namespaces.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "comm/address_book.h"
#include "comm/comm.h"
#include "comm/group.h"
#include "device/device.h"

enum { NODES_MAX = 8, TRIES = 7, BYTES_MOST = 1 << 20 };
static const size_t sizes[] = {4096, 16384, 65536, 262144, 1 << 20};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

struct nodes {
    int n, first[NODES_MAX + 1];
    char name[NODES_MAX][64];
    struct group *group[NODES_MAX];
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static enum status time_one(struct comm *comm, float *data, size_t n, int repeats, double *slowest)
{
    double own, all[COMM_RANKS_MAX];
    TRY(comm_barrier(comm));
    double begun = clock_seconds();
    for (int i = 0; i < repeats; i++)
        TRY(comm_all_reduce(comm, NULL, data, data, n));
    own = (clock_seconds() - begun) / repeats;
    TRY(comm_all_gather(comm, &own, sizeof own, NULL, all));
    *slowest = 0;
    for (int r = 0; r < comm_size(comm); r++)
        *slowest = all[r] > *slowest ? all[r] : *slowest;
    return OK;
}

static enum status measure(struct comm *comm, float *data)
{
    for (int s = 0; s < (int)SIZES; s++) {
        double times[TRIES];
        int repeats = sizes[s] <= 65536 ? 300 : 40;
        memset(data, 0, sizes[s]);
        for (int t = -1; t < TRIES; t++) // the first series warms up
            TRY(time_one(comm, data, sizes[s] / sizeof *data, repeats, &times[t < 0 ? 0 : t]));
        qsort(times, TRIES, sizeof times[0], ascending);
        if (comm_rank(comm) == 0)
            printf("%zu %.3f\n", sizes[s], times[TRIES / 2] * 1e6);
    }
    return OK;
}

static enum status run_rank(void)
{
    struct comm *comm;
    void *memory;
    TRY(device_memory_new(BYTES_MOST, "a message", &memory)); // as activations have it
    TRY(comm_open(&comm));
    enum status status = comm_tune(comm);
    if (status == OK)
        status = measure(comm, memory);
    comm_close(comm);
    device_memory_free(memory, BYTES_MOST);
    return status;
}

// The machine's CPUs are dealt out to the nodes, as if each were a machine. Otherwise two nodes may
// come to lie on one CPU, whose cache then is the wire.
static void cpus_of_node(const struct nodes *nodes, int node, char *out, size_t room)
{
    int n = (int)sysconf(_SC_NPROCESSORS_ONLN), share = n / nodes->n;
    if (share < 1)
        snprintf(out, room, "0-%d", n - 1);
    else
        snprintf(out, room, "%d-%d", node * share, (node + 1) * share - 1);
}

static enum status start_node(struct nodes *nodes, int node, const char *program)
{
    char cpus[32];
    cpus_of_node(nodes, node, cpus, sizeof cpus);
    const char *arguments[] = {"ip", "netns", "exec",  nodes->name[node], "taskset",
                               "-c", cpus,    program, "--rank",          NULL};
    const struct group_options options = {
        .program = "ip",
        .arguments = arguments,
        .n_ranks = nodes->first[node + 1] - nodes->first[node],
        .world_size = nodes->first[nodes->n],
        .first_rank = nodes->first[node],
        .n_nodes = nodes->n,
        .node = node,
    };
    return group_spawn(&options, &nodes->group[node]);
}

// True when all addresses are where they shall be.
static bool carry_addresses(struct nodes *nodes)
{
    bool all = true;
    for (int node = 0; node < nodes->n; node++)
        for (int r = nodes->first[node]; r < nodes->first[node + 1]; r++) {
            const void *address;
            size_t bytes;
            struct segment *segment = group_segment(nodes->group[node]);
            bool here = address_book_take(segment, r - nodes->first[node], &address, &bytes);
            for (int to = 0; here && to < nodes->n; to++)
                (void)address_book_fill(group_segment(nodes->group[to]), r, address, bytes);
            all = all && here;
        }
    for (int to = 0; all && to < nodes->n; to++)
        address_book_complete(group_segment(nodes->group[to]));
    return all;
}

static enum status await_all(struct nodes *nodes)
{
    bool met = false;
    for (int n_left = 1; n_left > 0;) {
        n_left = 0;
        met = met || carry_addresses(nodes);
        for (int node = 0; node < nodes->n; node++) {
            int n_running;
            TRY(group_poll(nodes->group[node], met ? 50 : 2, &n_running));
            n_left += n_running;
        }
    }
    return OK;
}

int main(int argc, char **argv)
{
    struct nodes nodes = {0};
    char program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    enum status status = OK;
    if (argc == 2 && strcmp(argv[1], "--rank") == 0) {
        status = run_rank();
    } else if (argc < 3 || argc - 1 > NODES_MAX || length <= 0) {
        fprintf(stderr, "usage: bench_wire NAMESPACE:RANKS NAMESPACE:RANKS ...\n");
        return 2;
    } else {
        program[length] = '\0';
        for (; nodes.n < argc - 1 && status == OK; nodes.n++) {
            int ranks = 0;
            if (sscanf(argv[nodes.n + 1], "%63[^:]:%d", nodes.name[nodes.n], &ranks) != 2)
                status = fail(ERR_USAGE, "\"%s\" is not NAMESPACE:RANKS", argv[nodes.n + 1]);
            nodes.first[nodes.n + 1] = nodes.first[nodes.n] + ranks;
        }
        for (int i = 0; i < nodes.n && status == OK; i++)
            status = start_node(&nodes, i, program);
        if (status == OK)
            status = await_all(&nodes);
        for (int i = 0; i < nodes.n; i++)
            group_close(nodes.group[i], 0.5);
    }
    if (status != OK)
        fprintf(stderr, "%s\n", status_message());
    return status == OK ? 0 : 1;
}
