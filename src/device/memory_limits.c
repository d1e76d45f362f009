#include "device/memory_limits.h"

#include <stdio.h>

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
    uint64_t *available = context, limit, high, used;
    bool limited =
        cgroup_value(folder, version2 ? "memory.max" : "memory.limit_in_bytes", "", &limit);
    // Above memory.high a process is slowed down until it stands still.
    if (version2 && cgroup_value(folder, "memory.high", "", &high) && (!limited || high < limit)) {
        limit = high;
        limited = true;
    }
    if (!limited ||
        !cgroup_value(folder, version2 ? "memory.current" : "memory.usage_in_bytes", "", &used))
        return;
    uint64_t reclaimable = reclaimable_bytes(folder, version2);
    used = used > reclaimable ? used - reclaimable : 0;
    uint64_t rest = limit > used ? limit - used : 0;
    if (rest < *available)
        *available = rest;
}

enum status memory_limits_read(const char *root, uint64_t *available)
{
    char folder[FILE_PATH_MAX];
    uint64_t kilobytes;
    snprintf(folder, sizeof folder, "%s/proc", root);
    if (!cgroup_value(folder, "meminfo", "MemAvailable:", &kilobytes))
        return fail(ERR_IO, "%s/meminfo: expected a line \"MemAvailable: N kB\"", folder);
    *available = kilobytes * 1024;
    cgroups_visit(root, "memory", apply_memory_limit, available);
    return OK;
}
