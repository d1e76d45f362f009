// Blobs that are being fetched.
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "hf/hub_store.h"

// The file of parts: these three numbers, then what is done of each part.
enum { PARTS_MAGIC, PARTS_BYTES, PARTS_PART_BYTES, PARTS_HEADER };
static const uint64_t parts_magic = UINT64_C(0x31737472617063); // "cparts1"

static enum status paths_of(const struct hub_store *store, const char *blob, char *path,
                            char *parts)
{
    char name[HUB_SHA256_DIGITS + 32];
    snprintf(name, sizeof name, ".colrow/%s", blob);
    TRY(file_join(store->folder, name, path));
    snprintf(name, sizeof name, ".colrow/%s.parts", blob);
    return file_join(store->folder, name, parts);
}

static bool write_at(int fd, const void *data, size_t bytes, uint64_t offset)
{
    const char *next = data;
    while (bytes > 0) {
        ssize_t n = pwrite(fd, next, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        next += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return true;
}

uint64_t hub_partial_part_bytes(const struct hub_partial *p, size_t part)
{
    uint64_t begin = part * p->part_bytes;
    return p->bytes - begin < p->part_bytes ? p->bytes - begin : p->part_bytes;
}

uint64_t hub_partial_have(const struct hub_partial *p)
{
    uint64_t have = 0;
    for (size_t i = 0; i < p->n_parts; i++)
        have += p->done[i];
    return have;
}

enum status hub_partial_restart(struct hub_partial *p)
{
    const uint64_t header[PARTS_HEADER] = {parts_magic, p->bytes, p->part_bytes};
    memset(p->done, 0, p->n_parts * sizeof *p->done);
    if (ftruncate(p->parts_fd, 0) != 0 || !write_at(p->parts_fd, header, sizeof header, 0) ||
        !write_at(p->parts_fd, p->done, p->n_parts * sizeof *p->done, sizeof header))
        return fail_errno("write", p->parts_path);
    if (ftruncate(p->fd, 0) != 0 || ftruncate(p->fd, (off_t)p->bytes) != 0)
        return fail_errno("write", p->path);
    return OK;
}

// False: there is nothing, or nothing of this file in these parts.
static bool read_parts(struct hub_partial *p)
{
    uint64_t header[PARTS_HEADER];
    struct stat info;
    size_t bytes = p->n_parts * sizeof *p->done;
    if (pread(p->parts_fd, header, sizeof header, 0) != (ssize_t)sizeof header ||
        header[PARTS_MAGIC] != parts_magic || header[PARTS_BYTES] != p->bytes ||
        header[PARTS_PART_BYTES] != p->part_bytes ||
        pread(p->parts_fd, p->done, bytes, sizeof header) != (ssize_t)bytes ||
        fstat(p->fd, &info) != 0 || (uint64_t)info.st_size != p->bytes)
        return false;
    for (size_t i = 0; i < p->n_parts; i++)
        if (p->done[i] > hub_partial_part_bytes(p, i))
            return false;
    return true;
}

enum status hub_partial_open(const struct hub_store *store, const char *blob, uint64_t bytes,
                             uint64_t part_bytes, struct hub_partial *out)
{
    assert(part_bytes > 0 && bytes <= HUB_FILE_BYTES_MAX);
    *out = (struct hub_partial){.fd = -1, .parts_fd = -1, .bytes = bytes};
    while ((bytes + part_bytes - 1) / part_bytes > HUB_PARTS_MAX)
        part_bytes *= 2;
    out->part_bytes = part_bytes;
    out->n_parts = (size_t)((bytes + part_bytes - 1) / part_bytes);
    TRY(paths_of(store, blob, out->path, out->parts_path));
    TRY(memory_new(out->n_parts + 1, sizeof *out->done, "the parts of a file", &out->done));
    out->fd = open(out->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    enum status status = out->fd < 0 ? fail_errno("create", out->path) : OK;
    if (status == OK) {
        out->parts_fd = open(out->parts_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
        status = out->parts_fd < 0 ? fail_errno("create", out->parts_path) : OK;
    }
    if (status == OK && !read_parts(out))
        status = hub_partial_restart(out);
    if (status != OK)
        hub_partial_close(out);
    return status;
}

void hub_partial_close(struct hub_partial *p)
{
    if (!p->done)
        return;
    if (p->fd >= 0)
        close(p->fd);
    if (p->parts_fd >= 0)
        close(p->parts_fd);
    free(p->done);
    *p = (struct hub_partial){.fd = -1, .parts_fd = -1};
}

enum status hub_partial_write(struct hub_partial *p, uint64_t offset, const void *data,
                              size_t bytes)
{
    assert(offset <= p->bytes && bytes <= p->bytes - offset);
    if (!write_at(p->fd, data, bytes, offset))
        return fail_errno("write", p->path);
    for (uint64_t end = offset + bytes; offset < end;) { // a whole file goes over all its parts
        size_t part = (size_t)(offset / p->part_bytes);
        uint64_t begin = part * p->part_bytes, part_end = begin + hub_partial_part_bytes(p, part);
        uint64_t reached = (end < part_end ? end : part_end) - begin;
        if (offset - begin <= p->done[part] && reached > p->done[part]) {
            p->done[part] = reached;
            if (!write_at(p->parts_fd, &p->done[part], sizeof p->done[part],
                          (PARTS_HEADER + part) * sizeof(uint64_t)))
                return fail_errno("write", p->parts_path);
        }
        offset = part_end;
    }
    return OK;
}

enum status hub_partial_publish(struct hub_partial *p, const struct hub_store *store,
                                const char *blob)
{
    char name[HUB_SHA256_DIGITS + 16], path[FILE_PATH_MAX];
    snprintf(name, sizeof name, "blobs/%s", blob);
    TRY(file_join(store->folder, name, path));
    if (fsync(p->fd) != 0)
        return fail_errno("write", p->path);
    if (rename(p->path, path) != 0)
        return fail_errno("rename to", path);
    (void)unlink(p->parts_path);
    return OK;
}

void hub_partial_forget(const struct hub_store *store, const char *blob)
{
    char path[FILE_PATH_MAX], parts[FILE_PATH_MAX];
    if (paths_of(store, blob, path, parts) != OK)
        return;
    (void)unlink(path);
    (void)unlink(parts);
}

uint64_t hub_partial_space(const struct hub_store *store, const char *blob)
{
    char path[FILE_PATH_MAX], parts[FILE_PATH_MAX];
    struct stat info;
    if (paths_of(store, blob, path, parts) != OK || stat(path, &info) != 0)
        return 0;
    return (uint64_t)info.st_blocks * 512;
}
