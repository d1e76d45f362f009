#include "device/cpu_limits.h"

#include "device/cgroups.h"

static void apply_quota(const char *folder, bool version2, void *context)
{
    double *least = context;
    uint64_t quota, period = 100000; // microseconds; the kernel's default period
    if (version2) {                  // "150000 100000" or "max 100000"
        if (!cgroup_value(folder, "cpu.max", "", &quota))
            return;
        cgroup_second_value(folder, "cpu.max", &period);
    } else {
        if (!cgroup_value(folder, "cpu.cfs_quota_us", "", &quota))
            return;
        cgroup_value(folder, "cpu.cfs_period_us", "", &period);
    }
    if (quota == 0 || period == 0)
        return;
    double cpus = (double)quota / (double)period;
    if (*least == 0 || cpus < *least)
        *least = cpus;
}

double cpu_quota_read(const char *root)
{
    double least = 0;
    cgroups_visit(root, "cpu", apply_quota, &least);
    return least;
}
