#include "device/memory_limits.h"

#include <ctype.h>
#include <linux/mempolicy.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "device/cgroups.h"

// File pages count as used in a cgroup, active ones (those that were read twice: weights, after
// some starts) as well as inactive ones, but the kernel gives up both before it refuses memory; its
// own MemAvailable counts both as free. So it is with slabs that can be reclaimed. Swap is not
// counted: weights that are swapped out are as good as none.
static uint64_t reclaimable_bytes(const char *folder, bool version2)
{
    static const char *const keys[2][3] = {
        {"total_active_file ", "total_inactive_file ", "total_slab_reclaimable "},
        {"active_file ", "inactive_file ", "slab_reclaimable "}};
    uint64_t sum = 0, bytes;
    for (int i = 0; i < 3; i++)
        if (cgroup_value(folder, "memory.stat", keys[version2][i], &bytes))
            sum += bytes;
    return sum;
}

static void apply_memory_limit(const char *folder, bool version2, void *context)
{
    struct device_memory *memory = context;
    uint64_t limit, high, used;
    bool limited =
        cgroup_value(folder, version2 ? "memory.max" : "memory.limit_in_bytes", "", &limit);
    // Above memory.high a process is slowed down until it stands still.
    if (version2 && cgroup_value(folder, "memory.high", "", &high) && (!limited || high < limit)) {
        limit = high;
        limited = true;
    }
    if (!limited)
        return;
    if (limit < memory->total)
        memory->total = limit;
    if (!cgroup_value(folder, version2 ? "memory.current" : "memory.usage_in_bytes", "", &used))
        return;
    uint64_t reclaimable = reclaimable_bytes(folder, version2);
    used = used > reclaimable ? used - reclaimable : 0;
    uint64_t rest = limit > used ? limit - used : 0;
    if (rest < memory->available)
        memory->available = rest;
}

// "0-1,3" -> 0, 1, 3: calls `visit` for each.
static void visit_nodes(const char *list, void (*visit)(int node, void *context), void *context)
{
    for (const char *at = list; isdigit((unsigned char)*at);) {
        char *end;
        long first = strtol(at, &end, 10), last = first;
        if (*end == '-')
            last = strtol(end + 1, &end, 10);
        for (long node = first; node <= last && node < MEMORY_NODES_MAX; node++)
            visit((int)node, context);
        at = *end == ',' ? end + 1 : end;
    }
}

struct nodes {
    const char *root;
    const struct memory_nodes *bound;
    struct device_memory sum;
    bool found;
};

static void add_node(int node, void *context)
{
    static const char *const free_keys[] = {"MemFree", "Active(file)", "Inactive(file)",
                                            "SReclaimable"};
    struct nodes *nodes = context;
    char folder[FILE_PATH_MAX], key[64];
    uint64_t kilobytes;
    if (nodes->bound && !(nodes->bound->bits[node / 64] >> (node % 64) & 1))
        return;
    snprintf(folder, sizeof folder, "%s/sys/devices/system/node/node%d", nodes->root, node);
    snprintf(key, sizeof key, "Node %d MemTotal:", node);
    if (!cgroup_value(folder, "meminfo", key, &kilobytes))
        return; // a node that could be, but is not
    nodes->found = true;
    nodes->sum.total += kilobytes * 1024;
    for (size_t i = 0; i < sizeof free_keys / sizeof *free_keys; i++) {
        snprintf(key, sizeof key, "Node %d %s:", node, free_keys[i]);
        if (cgroup_value(folder, "meminfo", key, &kilobytes))
            nodes->sum.available += kilobytes * 1024;
    }
}

bool memory_policy_read(struct memory_nodes *out)
{
    int mode;
    // The C library has no function for it. Where it is forbidden, as in many containers, so is
    // setting a policy.
    if (syscall(SYS_get_mempolicy, &mode, out->bits, (unsigned long)MEMORY_NODES_MAX, NULL, 0UL))
        return false;
    // Relative nodes are counted within the cpuset; nothing that people use sets them.
    return (mode & ~MPOL_MODE_FLAGS) == MPOL_BIND && !(mode & MPOL_F_RELATIVE_NODES);
}

// A process whose cpuset, or whose policy, names some nodes gets no memory of the others.
static void apply_nodes(const char *root, const struct memory_nodes *bound,
                        struct device_memory *memory)
{
    char path[FILE_PATH_MAX], line[1024];
    struct nodes nodes = {.root = root, .bound = bound};
    snprintf(path, sizeof path, "%s/proc/self/status", root);
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    static const char key[] = "Mems_allowed_list:";
    while (fgets(line, sizeof line, file))
        if (strncmp(line, key, sizeof key - 1) == 0)
            visit_nodes(line + sizeof key - 1 + strspn(line + sizeof key - 1, " \t"), add_node,
                        &nodes);
    fclose(file);
    if (!nodes.found)
        return;
    if (nodes.sum.total < memory->total)
        memory->total = nodes.sum.total;
    if (nodes.sum.available < memory->available)
        memory->available = nodes.sum.available;
}

// With vm.overcommit_memory 2 what is promised must fit, not only what is touched.
static void read_commit_limit(const char *root, struct device_memory *memory)
{
    char folder[FILE_PATH_MAX];
    uint64_t mode, limit, committed;
    memory->promisable = UINT64_MAX;
    snprintf(folder, sizeof folder, "%s/proc", root);
    if (!cgroup_value(folder, "sys/vm/overcommit_memory", "", &mode) || mode != 2 ||
        !cgroup_value(folder, "meminfo", "CommitLimit:", &limit) ||
        !cgroup_value(folder, "meminfo", "Committed_AS:", &committed))
        return;
    memory->promisable = limit > committed ? (limit - committed) * 1024 : 0;
}

enum status memory_limits_read(const char *root, const struct memory_nodes *bound,
                               struct device_memory *out)
{
    char folder[FILE_PATH_MAX];
    uint64_t kilobytes;
    snprintf(folder, sizeof folder, "%s/proc", root);
    if (!cgroup_value(folder, "meminfo", "MemAvailable:", &kilobytes))
        return fail(ERR_IO, "%s/meminfo: expected a line \"MemAvailable: N kB\"", folder);
    out->available = kilobytes * 1024;
    if (!cgroup_value(folder, "meminfo", "MemTotal:", &kilobytes))
        return fail(ERR_IO, "%s/meminfo: expected a line \"MemTotal: N kB\"", folder);
    out->total = kilobytes * 1024;
    read_commit_limit(root, out);
    apply_nodes(root, bound, out);
    cgroups_visit(root, "memory", apply_memory_limit, out);
    return OK;
}
