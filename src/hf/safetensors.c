#include "hf/safetensors.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

enum status safetensors_pread(int fd, const char *path, uint64_t offset, void *out, size_t bytes)
{
    assert(fd >= 0 && (out || bytes == 0));
    char *next = out;
    while (bytes > 0) {
        ssize_t n = pread(fd, next, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno("read", path);
        if (n == 0)
            return fail(
                ERR_INPUT,
                "%s: ends at byte %llu, %zu bytes too early; it was cut while it was being read",
                path, (unsigned long long)offset, bytes);
        assert((size_t)n <= bytes);
        next += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return OK;
}

static void start_header(struct safetensors_header *header)
{
    *header = (struct safetensors_header){0};
    arena_init(&header->arena);
}

enum status safetensors_header_length(const char *path, const unsigned char *raw,
                                      uint64_t file_bytes, uint64_t *out)
{
    *out = 0;
    for (int i = SAFETENSORS_LENGTH_BYTES - 1; i >= 0; i--)
        *out = *out << 8 | raw[i];
    uint64_t most = file_bytes - SAFETENSORS_LENGTH_BYTES;
    if (*out > most)
        return fail(
            ERR_INPUT,
            "%s: the header length is %llu bytes; expected at most %llu, the rest of the file (it "
            "is cut, or no safetensors file)",
            path, (unsigned long long)*out, (unsigned long long)most);
    if (*out > SAFETENSORS_HEADER_BYTES_MAX)
        return fail(ERR_INPUT, "%s: the header length is %llu bytes; expected at most %d", path,
                    (unsigned long long)*out, SAFETENSORS_HEADER_BYTES_MAX);
    return OK;
}

static enum status read_length(int fd, const char *path, uint64_t file_bytes, uint64_t *out)
{
    unsigned char raw[SAFETENSORS_LENGTH_BYTES];
    if (file_bytes < sizeof raw)
        return fail(ERR_INPUT,
                    "%s: the file has %llu bytes; expected at least %zu, the header length of a "
                    "safetensors "
                    "file",
                    path, (unsigned long long)file_bytes, sizeof raw);
    TRY(safetensors_pread(fd, path, 0, raw, sizeof raw));
    if (memcmp(raw, "version ", sizeof raw) == 0)
        return fail(ERR_INPUT,
                    "%s: is a Git LFS pointer; expected the weights themselves: run \"git lfs "
                    "pull\" in the "
                    "model's folder",
                    path);
    return safetensors_header_length(path, raw, file_bytes, out);
}

enum status safetensors_read_header(int fd, const char *path, uint64_t file_bytes,
                                    struct safetensors_header *out)
{
    start_header(out);
    uint64_t length = 0;
    char *text = NULL;
    TRY(read_length(fd, path, file_bytes, &length));
    TRY(memory_new((size_t)length, 1, "a safetensors header", &text));
    enum status status =
        safetensors_pread(fd, path, SAFETENSORS_LENGTH_BYTES, text, (size_t)length);
    if (status == OK)
        status = safetensors_parse(path, text, (size_t)length, file_bytes, out);
    free(text);
    return status;
}

enum status safetensors_open(const char *path, struct safetensors_header *out)
{
    int fd;
    uint64_t file_bytes;
    start_header(out);
    TRY(file_open(path, &fd, &file_bytes));
    enum status status = safetensors_read_header(fd, path, file_bytes, out);
    close(fd);
    return status;
}

void safetensors_close(struct safetensors_header *header)
{
    free(header->tensors);
    arena_fini(&header->arena);
    start_header(header);
}
