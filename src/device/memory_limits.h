// How much memory the machine, its NUMA nodes and the cgroups leave to this process.
#ifndef COLROW_DEVICE_MEMORY_LIMITS_H
#define COLROW_DEVICE_MEMORY_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "device/device.h"

enum { MEMORY_NODES_MAX = 1024 };
struct memory_nodes {
    uint64_t bits[MEMORY_NODES_MAX / 64];
};

// The NUMA nodes to which the task's memory policy holds it (`numactl --membind`); false: to none.
// Policies that only prefer nodes, or take turns between them, go on to others when these are full.
bool memory_policy_read(struct memory_nodes *out);

// total: the smallest of MemTotal, that of the NUMA nodes that the process may use (its cpuset's,
// and of these the ones in `bound`, unless it is NULL), and the limit of each memory cgroup of the
// process, version 1 or 2, and its parents. available: the smallest of MemAvailable and what each
// of these leaves. promisable: what is left of CommitLimit where the kernel keeps to it. `root`
// stands in front of /proc and /sys: "" for the machine, a folder in tests.
enum status memory_limits_read(const char *root, const struct memory_nodes *bound,
                               struct device_memory *out) STATUS_MUST_USE;

#endif
