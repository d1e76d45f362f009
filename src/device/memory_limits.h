// How much memory the machine, its NUMA nodes and the cgroups leave to this process.
#ifndef COLROW_DEVICE_MEMORY_LIMITS_H
#define COLROW_DEVICE_MEMORY_LIMITS_H

#include <stdint.h>

#include "base/status.h"
#include "device/device.h"

// total: the smallest of MemTotal, that of the NUMA nodes that the process may use (its cpuset's),
// and the limit of each memory cgroup of the process, version 1 or 2, and its parents. available:
// the smallest of MemAvailable and what each of these leaves. `root` stands in front of /proc and
// /sys: "" for the machine, a folder in tests.
enum status memory_limits_read(const char *root, struct device_memory *out) STATUS_MUST_USE;

#endif
