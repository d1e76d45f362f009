#include "engine/kept_file.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static bool can_be_read_again(const char *path)
{
    struct stat info;
    if (strcmp(path, "-") == 0)
        return false;
    return stat(path, &info) != 0 || S_ISREG(info.st_mode) || S_ISDIR(info.st_mode);
}

static enum status copy_to_memory(const char *path, size_t bytes_max, struct bytes *text, int *fd)
{
    TRY(file_read_given(path, bytes_max, text));
    *fd = memfd_create("colrow-file", MFD_CLOEXEC);
    if (*fd < 0)
        return fail_errno("keep in memory", path);
    for (size_t at = 0; at < text->length;) {
        ssize_t n = write(*fd, text->data + at, text->length - at);
        if (n <= 0)
            return fail_errno("keep in memory", path);
        at += (size_t)n;
    }
    return OK;
}

enum status kept_file(const char *path, size_t bytes_max, char *out, int *fd)
{
    assert(path && out && fd && bytes_max > 0);
    *fd = -1;
    if (can_be_read_again(path)) {
        int n = snprintf(out, FILE_PATH_MAX, "%s", path);
        return n < FILE_PATH_MAX ? OK : fail(ERR_USAGE, "%.60s...: the path is too long", path);
    }
    struct bytes text;
    bytes_init(&text);
    enum status status = copy_to_memory(path, bytes_max, &text, fd);
    bytes_fini(&text);
    if (status != OK && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    snprintf(out, FILE_PATH_MAX, "/proc/%d/fd/%d", (int)getpid(), *fd);
    return status;
}
