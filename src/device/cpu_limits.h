// How many CPUs the cgroups leave to this process.
#ifndef COLROW_DEVICE_CPU_LIMITS_H
#define COLROW_DEVICE_CPU_LIMITS_H

#include <stdint.h>

// CPUs that the quotas of the process's cgroups and their parents pay for, 0.5 or 6.25: the
// smallest; 0: there is none. Threads beyond it only wait for each other while the quota is used
// up. `root` as for cgroups_visit().
double cpu_quota_read(const char *root);

#endif
