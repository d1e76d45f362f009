#include "device/cgroups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

struct walk {
    const char *root, *controller;
    cgroup_visit visit;
    void *context;
};

bool cgroup_value(const char *folder, const char *name, const char *key, uint64_t *out)
{
    char path[FILE_PATH_MAX], line[256];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return false;
    FILE *file = fopen(path, "re"); // has no size: is read until it ends
    if (!file)
        return false;
    bool found = false;
    size_t length = strlen(key);
    while (!found && fgets(line, sizeof line, file)) {
        char *end;
        if (strncmp(line, key, length) != 0)
            continue;
        unsigned long long value = strtoull(line + length, &end, 10);
        found = end != line + length && line[length] != '-'; // -1: no limit
        *out = value;
    }
    fclose(file);
    return found;
}

void cgroup_second_value(const char *folder, const char *name, uint64_t *out)
{
    char path[FILE_PATH_MAX];
    unsigned long long value;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return;
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%*s %llu", &value) == 1)
        *out = value;
    if (file)
        fclose(file);
}

static void visit_parents(const struct walk *walk, const char *mount, const char *path,
                          bool version2)
{
    char folder[FILE_PATH_MAX];
    int n = snprintf(folder, sizeof folder, "%s%s%s", walk->root, mount, path);
    if (n >= (int)sizeof folder)
        return;
    size_t mount_length = strlen(walk->root) + strlen(mount);
    for (;;) {
        walk->visit(folder, version2, walk->context);
        char *slash = strrchr(folder + mount_length, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

// One line of /proc/self/cgroup: "4:cpu,cpuacct:/a/b" or, in version 2, "0::/a/b". Controllers that
// share a mount lie under a name of all, with links of one's own beside it.
static void visit_line(const struct walk *walk, char *line)
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
    if (*controllers == '\0') {
        visit_parents(walk, "/sys/fs/cgroup", path, true);
        visit_parents(walk, "/sys/fs/cgroup/unified", path, true);
        return;
    }
    char mount[FILE_PATH_MAX], all[FILE_PATH_MAX];
    snprintf(all, sizeof all, "%s", controllers);
    for (char *name, *rest = controllers; (name = strtok_r(rest, ",", &rest));) {
        if (strcmp(name, walk->controller) != 0)
            continue;
        snprintf(mount, sizeof mount, "/sys/fs/cgroup/%s", name);
        visit_parents(walk, mount, path, false);
        if (strcmp(all, name) != 0 &&
            snprintf(mount, sizeof mount, "/sys/fs/cgroup/%s", all) < (int)sizeof mount)
            visit_parents(walk, mount, path, false);
    }
}

void cgroups_visit(const char *root, const char *controller, cgroup_visit visit, void *context)
{
    const struct walk walk = {root, controller, visit, context};
    char path[FILE_PATH_MAX], line[FILE_PATH_MAX];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    if (!file)
        return; // a kernel without cgroups
    while (fgets(line, sizeof line, file))
        visit_line(&walk, line);
    fclose(file);
}
