#include "device/memory_limits.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

// Files of /proc and /sys have no size: they are read until they end.
static bool read_line_value(const char *path, const char *key, uint64_t *out)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    char line[256];
    bool found = false;
    size_t length = strlen(key);
    while (!found && fgets(line, sizeof line, file)) {
        char *end;
        unsigned long long value;
        if (strncmp(line, key, length) != 0)
            continue;
        value = strtoull(line + length, &end, 10);
        found = end != line + length; // "max" is not a number: no limit
        *out = value;
    }
    fclose(file);
    return found;
}

static bool read_value(const char *folder, const char *name, const char *key, uint64_t *out)
{
    char path[FILE_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    return n < (int)sizeof path && read_line_value(path, key, out);
}

// File pages that the kernel can drop count as used in a cgroup, but they are there for the taking.
static void apply_cgroup(const char *folder, bool version2, uint64_t *available)
{
    uint64_t limit, used, cached = 0;
    if (!read_value(folder, version2 ? "memory.max" : "memory.limit_in_bytes", "", &limit) ||
        !read_value(folder, version2 ? "memory.current" : "memory.usage_in_bytes", "", &used))
        return;
    if (!read_value(folder, "memory.stat", version2 ? "inactive_file " : "total_inactive_file ",
                    &cached))
        cached = 0;
    used = used > cached ? used - cached : 0;
    uint64_t rest = limit > used ? limit - used : 0;
    if (rest < *available)
        *available = rest;
}

// The cgroup and its parents up to the mount. In a container the path may not exist below the
// mount, which then is the container's own cgroup: only the mount itself is read.
static void apply_cgroups(const char *mount, const char *path, bool version2, uint64_t *available)
{
    char folder[FILE_PATH_MAX];
    int n = snprintf(folder, sizeof folder, "%s%s", mount, path);
    if (n >= (int)sizeof folder)
        return;
    size_t mount_length = strlen(mount);
    for (;;) {
        apply_cgroup(folder, version2, available);
        char *slash = strrchr(folder + mount_length, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

// One line of /proc/self/cgroup: "4:memory:/a/b" or, in version 2, "0::/a/b".
static void apply_line(const char *root, char *line, uint64_t *available)
{
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path)
        return;
    *path++ = '\0';
    controllers++;
    if (strcmp(path, "/") == 0)
        path = "";
    char mount[FILE_PATH_MAX];
    static const char *const mounts2[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    if (*controllers == '\0') {
        for (size_t i = 0; i < sizeof mounts2 / sizeof *mounts2; i++) {
            snprintf(mount, sizeof mount, "%s%s", root, mounts2[i]);
            apply_cgroups(mount, path, true, available);
        }
        return;
    }
    for (char *name, *rest = controllers; (name = strtok_r(rest, ",", &rest));)
        if (strcmp(name, "memory") == 0) {
            snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/memory", root);
            apply_cgroups(mount, path, false, available);
        }
}

enum status memory_limits_read(const char *root, uint64_t *available)
{
    char path[FILE_PATH_MAX];
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    uint64_t kilobytes;
    if (!read_line_value(path, "MemAvailable:", &kilobytes))
        return fail(ERR_IO, "%s: expected a line \"MemAvailable: N kB\"", path);
    *available = kilobytes * 1024;

    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    if (!file)
        return OK; // a kernel without cgroups
    char line[FILE_PATH_MAX];
    while (fgets(line, sizeof line, file))
        apply_line(root, line, available);
    fclose(file);
    return OK;
}
