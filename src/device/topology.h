// Sockets, caches and cores of this machine as the cpuset lets us see them, and which of them a
// rank gets. Over hwloc.
#ifndef COLROW_DEVICE_TOPOLOGY_H
#define COLROW_DEVICE_TOPOLOGY_H

#include <stdbool.h>
#include <stdio.h>

#include "base/status.h"

enum { TOPOLOGY_CORES_MAX = 1024 };

// One core that this process may use; hardware threads beyond the first of a core are not counted.
struct topology_core {
    int cpu; // the operating system's number
    int package, numa,
        cache; // logical numbers of the socket, memory node and last-level cache above it
};
struct topology {
    struct topology_core cores[TOPOLOGY_CORES_MAX]; // neighbours share caches
    int n_cores, n_packages, n_numa, n_caches;
    unsigned long long cache_bytes; // of one last-level cache
};
enum status topology_read(struct topology *out) STATUS_MUST_USE;

// The cores of local rank `rank` of `n_ranks`: the cores in order, shared evenly, so that a rank
// stays inside a cache or a memory node wherever the numbers allow. With more ranks than cores they
// share. `threads` 0: all of its share. Returns the number of threads; `cpus` has room for
// TOPOLOGY_CORES_MAX.
int topology_share(const struct topology *topology, int rank, int n_ranks, int threads, int *cpus);

// Memory of this process comes from the nodes of `cpus` from now on, where there is more than one
// node.
void topology_bind_memory(const int *cpus, int n_cpus);

// A picture: packages, memory nodes, caches, cores, and which rank sits where.
void topology_print(const struct topology *topology, int n_ranks, int threads, FILE *file);

#endif
