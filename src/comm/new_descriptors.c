#include "comm/new_descriptors.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

void descriptors_read(struct descriptors *out)
{
    memset(out, 0, sizeof *out);
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        long fd = strtol(entry->d_name, NULL, 10); // "." and "..": 0, which is always open
        if (fd >= 0 && fd < DESCRIPTORS_KNOWN_MAX && fd != dirfd(folder))
            out->is_open[fd / 64] |= (uint64_t)1 << fd % 64;
    }
    closedir(folder);
}

void descriptors_close_on_exec(const struct descriptors *before)
{
    struct descriptors now;
    descriptors_read(&now);
    for (int fd = 0; fd < DESCRIPTORS_KNOWN_MAX; fd++)
        if ((now.is_open[fd / 64] & ~before->is_open[fd / 64]) >> fd % 64 & 1)
            (void)fcntl(fd, F_SETFD, FD_CLOEXEC); // of one that has gone meanwhile: nothing
}
