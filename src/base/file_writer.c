#include "base/file_writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/output.h"

enum { LINKS_MAX = 40, NAMES_TRIED = 100 }; // LINKS_MAX: as the kernel

// The descriptor that a name stands for, or -1.
static int descriptor_named(const char *path)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    if (strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0)
        return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0)
        return STDERR_FILENO;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        size_t length = strlen(folders[i]);
        char *end;
        if (strncmp(path, folders[i], length) != 0 || path[length] < '0' || path[length] > '9')
            continue;
        long fd = strtol(path + length, &end, 10);
        return *end || fd > 1 << 20 ? -1 : (int)fd;
    }
    return -1;
}

// How sentences name it.
static const char *shown_path(const char *path)
{
    return strcmp(path, "-") == 0 ? "standard output" : path;
}

// `path` with the links of its last part followed, also where the last one names nothing yet.
static enum status follow_links(const char *path, char *out)
{
    if (snprintf(out, FILE_PATH_MAX, "%s", path) >= FILE_PATH_MAX)
        return fail(ERR_INPUT, "%.80s...: the path is longer than %d bytes", path,
                    FILE_PATH_MAX - 1);
    for (int i = 0; i < LINKS_MAX; i++) {
        char link[FILE_PATH_MAX], folder[FILE_PATH_MAX];
        ssize_t n = readlink(out, link, sizeof link - 1);
        if (n < 0)
            return OK; // no link
        link[n] = '\0';
        snprintf(folder, sizeof folder, "%s", out);
        char *slash = strrchr(folder, '/');
        if (slash)
            slash[1] = '\0';
        int length = link[0] == '/' || !slash ? snprintf(out, FILE_PATH_MAX, "%s", link)
                                              : snprintf(out, FILE_PATH_MAX, "%s%s", folder, link);
        if (length >= FILE_PATH_MAX)
            return fail(ERR_INPUT, "%s: leads to a path longer than %d bytes", path,
                        FILE_PATH_MAX - 1);
    }
    errno = ELOOP;
    return fail_errno("write", path);
}

static void folder_of(const char *path, char *out)
{
    snprintf(out, FILE_PATH_MAX, "%s", path);
    char *slash = strrchr(out, '/');
    if (!slash)
        snprintf(out, FILE_PATH_MAX, ".");
    else
        slash[slash == out] = '\0';
}

// What is at `path`, as far as it can be written at all. `*replace`: a regular file or nothing.
static enum status look_at_place(const char *path, struct stat *info, bool *replace, bool *exists)
{
    size_t length = strlen(path);
    if (length == 0)
        return fail(ERR_USAGE, "the name of the file to write is empty");
    *exists = stat(path, info) == 0;
    if (!*exists && errno != ENOENT)
        return fail_errno("write", path);
    if (*exists && S_ISDIR(info->st_mode))
        return fail(ERR_USAGE, "%s: is a folder; expected the name of a file to write", path);
    if (path[length - 1] == '/')
        return fail(ERR_USAGE, "%s: there is no such folder; expected the name of a file to write",
                    path);
    // A file that says no is not replaced, although the folder would allow it.
    if (*exists && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0)
        return fail_errno("write", path);
    *replace = !*exists || S_ISREG(info->st_mode);
    return OK;
}

enum status file_writer_check(const char *path)
{
    struct stat info;
    bool replace, exists;
    int fd = descriptor_named(path);
    if (fd >= 0) {
        int flags = fcntl(fd, F_GETFL);
        if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY)
            return OK;
        errno = EBADF;
        return fail_errno("write", shown_path(path));
    }
    TRY(look_at_place(path, &info, &replace, &exists));
    if (exists)
        return OK;
    char target[FILE_PATH_MAX], folder[FILE_PATH_MAX];
    TRY(follow_links(path, target));
    folder_of(target, folder);
    if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) != 0)
        return fail_errno("create", path);
    return OK;
}

// In the folder of the target, so that it can be renamed: without a name where the file system can,
// so that not even SIGKILL leaves it behind.
static bool open_neighbour(struct file_writer *writer)
{
    char folder[FILE_PATH_MAX];
    folder_of(writer->target, folder);
    if (access("/proc/self/fd", X_OK) == 0) // where it gets its name from
        writer->fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    for (int i = 0; writer->fd < 0 && i < NAMES_TRIED; i++) {
        if (snprintf(writer->neighbour, sizeof writer->neighbour, "%s/.colrow-%ld-%d.new", folder,
                     (long)getpid(), i) >= (int)sizeof writer->neighbour)
            break;
        writer->fd = open(writer->neighbour, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (writer->fd < 0 && errno != EEXIST)
            break;
    }
    if (writer->fd < 0)
        writer->neighbour[0] = '\0';
    return writer->fd >= 0;
}

enum status file_writer_open(const char *path, struct file_writer *out)
{
    struct stat info;
    bool replace, exists;
    *out = (struct file_writer){.fd = -1};
    snprintf(out->path, sizeof out->path, "%s", shown_path(path));
    int named = descriptor_named(path);
    if (named >= 0) {
        if (named == STDOUT_FILENO)
            TRY(output_flush());
        out->fd = fcntl(named, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        return out->fd >= 0 ? OK : fail_errno("write", out->path);
    }
    TRY(look_at_place(path, &info, &replace, &exists));
    if (!replace) {
        out->fd = open(path, O_WRONLY | O_CLOEXEC); // of a pipe: waits for its reader
        return out->fd >= 0 ? OK : fail_errno("write", path);
    }
    TRY(follow_links(path, out->target));
    out->replaces = exists;
    if (exists) {
        out->mode = info.st_mode & 07777;
        out->uid = info.st_uid;
        out->gid = info.st_gid;
    }
    if (open_neighbour(out))
        return OK;
    if (!exists)
        return fail_errno("create", path);
    // The folder takes no new file, but the file may be written.
    out->target[0] = '\0';
    out->fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    return out->fd >= 0 ? OK : fail_errno("write", path);
}

enum status file_writer_write(struct file_writer *writer, const void *data, size_t bytes)
{
    assert(writer->fd >= 0);
    const char *next = data;
    while (bytes > 0) {
        ssize_t n = write(writer->fd, next, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno("write", writer->path);
        next += n;
        bytes -= (size_t)n;
    }
    return OK;
}

// A file without a name gets one.
static bool name_neighbour(struct file_writer *writer)
{
    char self[64], folder[FILE_PATH_MAX];
    folder_of(writer->target, folder);
    snprintf(self, sizeof self, "/proc/self/fd/%d", writer->fd);
    for (int i = 0; i < NAMES_TRIED; i++) {
        if (snprintf(writer->neighbour, sizeof writer->neighbour, "%s/.colrow-%ld-%d.new", folder,
                     (long)getpid(), i) >= (int)sizeof writer->neighbour) {
            errno = ENAMETOOLONG;
            break;
        }
        if (linkat(AT_FDCWD, self, AT_FDCWD, writer->neighbour, AT_SYMLINK_FOLLOW) == 0)
            return true;
        if (errno != EEXIST)
            break;
    }
    writer->neighbour[0] = '\0';
    return false;
}

enum status file_writer_finish(struct file_writer *writer)
{
    assert(writer->fd >= 0);
    bool replace = writer->target[0] != '\0', good = true;
    if (replace && writer->replaces) {
        // Whose it was: where that is not ours to give, it is ours from now on.
        (void)!fchown(writer->fd, writer->uid, writer->gid);
        good = fchmod(writer->fd, writer->mode) == 0;
    }
    good = good && (!replace || writer->neighbour[0] || name_neighbour(writer));
    enum status status = good ? OK : fail_errno("write", writer->path);
    if (close(writer->fd) != 0 && status == OK) // a full disk may show itself only here
        status = fail_errno("write", writer->path);
    writer->fd = -1;
    if (status == OK && replace && rename(writer->neighbour, writer->target) != 0)
        status = fail_errno("write", writer->path);
    if (status == OK)
        writer->neighbour[0] = '\0';
    file_writer_abandon(writer);
    return status;
}

void file_writer_abandon(struct file_writer *writer)
{
    if (writer->fd >= 0)
        close(writer->fd);
    writer->fd = -1;
    if (writer->neighbour[0])
        unlink(writer->neighbour);
    writer->neighbour[0] = '\0';
}
