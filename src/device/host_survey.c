#include "device/host_survey.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/file.h"
#include "base/name_list.h"
#include "device/cgroups.h"

// The first line of a file of `root`, without its end; false, and "": there is none.
static bool survey_line(const char *root, const char *name, char *out, size_t room)
{
    char path[FILE_PATH_MAX];
    out[0] = '\0';
    if (snprintf(path, sizeof path, "%s%s", root, name) >= (int)sizeof path)
        return false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool read = fgets(out, (int)room, file) != NULL;
    fclose(file);
    out[read ? strcspn(out, "\n") : 0] = '\0';
    return read;
}

static bool survey_has(const char *root, const char *name)
{
    char path[FILE_PATH_MAX];
    return snprintf(path, sizeof path, "%s%s", root, name) < (int)sizeof path && file_exists(path);
}

// "always [madvise] never" -> madvise
static void read_choice(const char *root, const char *name, char *out, size_t room)
{
    char line[256];
    survey_line(root, name, line, sizeof line);
    const char *begin = strchr(line, '['), *end = begin ? strchr(begin, ']') : NULL;
    snprintf(out, room, "%.*s", end ? (int)(end - begin - 1) : 0, end ? begin + 1 : "");
}

// "model name	: ..." of the first CPU that says it.
static void read_cpu_name(const char *root, char *out, size_t room)
{
    static const char key[] = "model name";
    char path[FILE_PATH_MAX], line[512];
    snprintf(path, sizeof path, "%s/proc/cpuinfo", root);
    FILE *file = fopen(path, "re");
    while (file && !out[0] && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (!colon || strncmp(line, key, sizeof key - 1) != 0)
            continue;
        colon += 1 + strspn(colon + 1, " ");
        snprintf(out, room, "%.*s", (int)strcspn(colon, "\n"), colon);
    }
    if (file)
        fclose(file);
}

// The word behind "container=" in the environment of process 1, which only root may read.
static void read_container_of_init(const char *root, char *out, size_t room)
{
    static const char key[] = "container=";
    char path[FILE_PATH_MAX], text[8192];
    snprintf(path, sizeof path, "%s/proc/1/environ", root);
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[n] = '\0';
    for (const char *entry = text; entry < text + n; entry += strlen(entry) + 1)
        if (strncmp(entry, key, sizeof key - 1) == 0)
            snprintf(out, room, "%s", entry + sizeof key - 1);
}

static void find_container(const char *root, char *out, size_t room)
{
    survey_line(root, "/run/systemd/container", out, room); // what systemd itself has found out
    if (!out[0])
        read_container_of_init(root, out, room);
    if (survey_has(root, "/run/secrets/kubernetes.io") ||
        survey_has(root, "/var/run/secrets/kubernetes.io"))
        snprintf(out, room, "kubernetes");
    else if (!out[0] && survey_has(root, "/run/.containerenv"))
        snprintf(out, room, "podman");
    else if (!out[0] && survey_has(root, "/.dockerenv"))
        snprintf(out, room, "docker");
}

static void note_tasks(const char *folder, bool version2, void *context)
{
    (void)version2; // both have the same files
    uint64_t *left = context, most, now;
    if (!cgroup_value(folder, "pids.max", "", &most) ||
        !cgroup_value(folder, "pids.current", "", &now))
        return;
    uint64_t rest = most > now ? most - now : 0;
    if (rest < *left)
        *left = rest;
}

// Class 03 is displays, 12 accelerators.
static void read_pci(const char *root, char *out, size_t room)
{
    static const struct {
        const char *vendor, *name;
    } vendors[] = {{"0x10de", "NVIDIA"}, {"0x1002", "AMD"}, {"0x8086", "Intel"}};
    char folder[FILE_PATH_MAX], name[FILE_PATH_MAX + 300], text[32];
    snprintf(folder, sizeof folder, "%s/sys/bus/pci/devices", root);
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        snprintf(name, sizeof name, "/sys/bus/pci/devices/%s/class", entry->d_name);
        if (!survey_line(root, name, text, sizeof text) ||
            (strncmp(text, "0x03", 4) != 0 && strncmp(text, "0x12", 4) != 0))
            continue;
        snprintf(name, sizeof name, "/sys/bus/pci/devices/%s/vendor", entry->d_name);
        survey_line(root, name, text, sizeof text);
        for (size_t i = 0; i < sizeof vendors / sizeof *vendors; i++)
            if (strcmp(text, vendors[i].vendor) == 0 && !strstr(out, vendors[i].name))
                name_list_add(out, room, vendors[i].name);
    }
    if (dir)
        closedir(dir);
}

// "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 ..." -> 550.54.14
static void read_nvidia(const char *root, struct host_survey *out)
{
    static const char key[] = "Module ";
    char line[256];
    if (!survey_line(root, "/proc/driver/nvidia/version", line, sizeof line))
        return;
    const char *version = strstr(line, key);
    version = version ? version + sizeof key - 1 : "";
    while (*version && (*version < '0' || *version > '9')) // "for x86_64" in newer ones
        version += strcspn(version, " ") + strspn(version + strcspn(version, " "), " ");
    snprintf(out->gpu_driver, sizeof out->gpu_driver, "%.*s", (int)strcspn(version, " "), version);
    if (!strstr(out->gpu, "NVIDIA")) // a container may see the driver and not the bus
        name_list_add(out->gpu, sizeof out->gpu, "NVIDIA");
}

static bool has_entries(const char *root, const char *name)
{
    char path[FILE_PATH_MAX];
    snprintf(path, sizeof path, "%s%s", root, name);
    DIR *dir = opendir(path);
    bool found = false;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        found |= entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return found;
}

static void read_memory(const char *root, struct host_survey *out)
{
    char folder[FILE_PATH_MAX];
    uint64_t kilobytes, free_kilobytes, mode;
    struct statvfs shm;
    snprintf(folder, sizeof folder, "%s/proc", root);
    if (cgroup_value(folder, "meminfo", "MemTotal:", &kilobytes))
        out->memory_bytes = kilobytes * 1024;
    if (cgroup_value(folder, "meminfo", "SwapTotal:", &kilobytes) &&
        cgroup_value(folder, "meminfo", "SwapFree:", &free_kilobytes)) {
        out->swap_bytes = kilobytes * 1024;
        out->swap_used_bytes = (kilobytes > free_kilobytes ? kilobytes - free_kilobytes : 0) * 1024;
    }
    out->strict_overcommit =
        cgroup_value(folder, "sys/vm/overcommit_memory", "", &mode) && mode == 2;
    snprintf(folder, sizeof folder, "%s/dev/shm", root);
    if (statvfs(folder, &shm) == 0)
        out->shm_bytes = (uint64_t)shm.f_blocks * shm.f_frsize;
}

static void read_security(const char *root, struct host_survey *out)
{
    char folder[FILE_PATH_MAX], line[256];
    uint64_t mode;
    snprintf(folder, sizeof folder, "%s/proc/self", root);
    out->filtered = cgroup_value(folder, "status", "Seccomp:", &mode) && mode == 2;
    out->seccomp = survey_line(root, "/proc/sys/kernel/seccomp/actions_avail", line, sizeof line) ||
                   cgroup_value(folder, "status", "Seccomp:", &mode);
    out->landlock = survey_line(root, "/sys/kernel/security/lsm", line, sizeof line) &&
                    strstr(line, "landlock") != NULL;
}

void host_survey_read(const char *root, struct host_survey *out)
{
    static const char clock[] = "/sys/devices/system/clocksource/clocksource0";
    static const char frequency[] = "/sys/devices/system/cpu/cpu0/cpufreq";
    char line[256], name[128];
    *out = (struct host_survey){.tasks_left = UINT64_MAX, .load = -1};
    read_cpu_name(root, out->cpu, sizeof out->cpu);
    survey_line(root, "/proc/sys/kernel/osrelease", out->kernel, sizeof out->kernel);
    read_choice(root, "/sys/kernel/mm/transparent_hugepage/enabled", out->huge_pages,
                sizeof out->huge_pages);
    snprintf(name, sizeof name, "%s/current_clocksource", clock);
    survey_line(root, name, out->clock_source, sizeof out->clock_source);
    snprintf(name, sizeof name, "%s/available_clocksource", clock);
    survey_line(root, name, out->clock_sources, sizeof out->clock_sources);
    snprintf(name, sizeof name, "%s/scaling_governor", frequency);
    survey_line(root, name, out->governor, sizeof out->governor);
    snprintf(name, sizeof name, "%s/scaling_driver", frequency);
    survey_line(root, name, out->governor_driver, sizeof out->governor_driver);
    if (survey_line(root, "/proc/loadavg", line, sizeof line))
        out->load = strtod(line, NULL);
    read_memory(root, out);
    read_security(root, out);
    cgroups_visit(root, "pids", note_tasks, &out->tasks_left);
    find_container(root, out->container, sizeof out->container);
    read_pci(root, out->gpu, sizeof out->gpu);
    read_nvidia(root, out);
    out->infiniband = has_entries(root, "/sys/class/infiniband");
    out->systemd = survey_has(root, "/run/systemd/system");
}
