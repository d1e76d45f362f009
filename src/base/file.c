#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_writer.h"

enum status file_open(const char *path, int *fd, uint64_t *bytes)
{
    struct stat info;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // NONBLOCK: a FIFO must not hold us
    if (*fd < 0)
        return fail_errno("open", path);
    if (fstat(*fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(*fd);
        *fd = -1;
        return fail(ERR_INPUT, "%s: expected a regular file", path);
    }
    *bytes = (uint64_t)info.st_size;
    return OK;
}

enum status file_read(const char *path, size_t bytes_max, struct bytes *out)
{
    int fd;
    uint64_t size;
    TRY(file_open(path, &fd, &size));
    enum status status = OK;
    bytes_clear(out);
    if (size > bytes_max) {
        status = fail(ERR_INPUT, "%s: has %llu bytes, at most %zu are allowed", path,
                      (unsigned long long)size, bytes_max);
        goto done;
    }
    TRY_DONE(memory_grow(&out->data, &out->capacity, (size_t)size + 1, 1, path));
    while (out->length < (size_t)size) {
        ssize_t n = read(fd, out->data + out->length, (size_t)size - out->length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            status = fail_errno("read", path);
            goto done;
        }
        if (n == 0)
            break; // it shrank meanwhile; the parser will say what is missing
        out->length += (size_t)n;
    }
    out->data[out->length] = '\0';
done:
    close(fd);
    return status;
}

static enum status read_to_end(int fd, const char *name, size_t bytes_max, struct bytes *out)
{
    char piece[65536];
    bytes_clear(out);
    for (;;) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno("read", name);
        if (n == 0)
            return OK;
        if (out->length + (size_t)n > bytes_max)
            return fail(ERR_INPUT, "%s: has more than %zu bytes", name, bytes_max);
        TRY(bytes_append(out, piece, (size_t)n));
    }
}

enum status file_read_stdin(size_t bytes_max, struct bytes *out)
{
    return read_to_end(STDIN_FILENO, "standard input", bytes_max, out);
}

enum status file_read_given(const char *path, size_t bytes_max, struct bytes *out)
{
    struct stat info;
    if (strcmp(path, "-") == 0)
        return file_read_stdin(bytes_max, out);
    if (stat(path, &info) != 0 || S_ISREG(info.st_mode) || S_ISDIR(info.st_mode))
        return file_read(path, bytes_max, out);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno("open", path);
    enum status status = read_to_end(fd, path, bytes_max, out);
    close(fd);
    return status;
}

enum status file_write(const char *path, const void *data, size_t length)
{
    struct file_writer writer;
    TRY(file_writer_open(path, &writer));
    enum status status = file_writer_write(&writer, data, length);
    if (status == OK)
        return file_writer_finish(&writer);
    file_writer_abandon(&writer);
    return status;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool file_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool file_has_ending(const char *name, const char *ending)
{
    size_t length = strlen(name), n = strlen(ending);
    return length >= n && strcmp(name + length - n, ending) == 0;
}

enum status file_join(const char *folder, const char *name, char *out)
{
    size_t length = strlen(folder);
    const char *slash = length && folder[length - 1] == '/' ? "" : "/";
    if (snprintf(out, FILE_PATH_MAX, "%s%s%s", folder, slash, name) >= FILE_PATH_MAX)
        return fail(ERR_INPUT, "%.80s...: the path is longer than %d bytes", folder,
                    FILE_PATH_MAX - 1);
    return OK;
}

enum status file_whole_path(const char *path, char *out)
{
    char folder[FILE_PATH_MAX];
    if (path[0] != '/' && path[0] != '\0' && getcwd(folder, sizeof folder))
        return file_join(folder, path, out);
    snprintf(out, FILE_PATH_MAX, "%s", path);
    return OK;
}
