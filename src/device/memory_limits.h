// How much memory the machine and the cgroups leave to this process.
#ifndef COLROW_DEVICE_MEMORY_LIMITS_H
#define COLROW_DEVICE_MEMORY_LIMITS_H

#include <stdint.h>

#include "base/status.h"

// The smallest of MemAvailable and what each memory cgroup of the process, version 1 or 2, and its
// parents leave. `root` stands in front of /proc and /sys: "" for the machine, a folder in tests.
enum status memory_limits_read(const char *root, uint64_t *available) STATUS_MUST_USE;

#endif
