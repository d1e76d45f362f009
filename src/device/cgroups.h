// The control groups that a process lies in, versions 1 and 2, with all their parents: a limit of
// any of them is its limit.
#ifndef COLROW_DEVICE_CGROUPS_H
#define COLROW_DEVICE_CGROUPS_H

#include <stdbool.h>
#include <stdint.h>

// Calls `visit` with the folder of each group that has `controller` ("memory", "cpu"), from the
// process's own up to the mount. In a container the path may not exist below the mount, which then
// is the container's own group: `visit` finds no files in the folders that are missing. `root`
// stands in front of /proc and /sys: "" for the machine, a folder in tests.
typedef void (*cgroup_visit)(const char *folder, bool version2, void *context);
void cgroups_visit(const char *root, const char *controller, cgroup_visit visit, void *context);

// The number behind `key` at the beginning of a line of the file `name` ("" for its first line);
// false: there is none. "max" and -1 are none.
bool cgroup_value(const char *folder, const char *name, const char *key, uint64_t *out);
// The second number of its first line, "150000 100000"; leaves `*out` alone when there is none.
void cgroup_second_value(const char *folder, const char *name, uint64_t *out);

#endif
