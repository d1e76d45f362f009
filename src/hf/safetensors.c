#include "hf/safetensors.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/json.h"

enum { LENGTH_BYTES = 8 }; // the u64 in front of the header

#define KNOWN_TYPES                                                                                \
    "BF16, F16, F32, F64, I8, U8, I16, U16, I32, U32, I64, U64, BOOL, F8_E4M3, F8_E5M2"

enum status safetensors_pread(int fd, const char *path, uint64_t offset, void *out, size_t bytes)
{
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
        next += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return OK;
}

static enum status bad_tensor(const char *file, const char *tensor, const char *what,
                              const json_t *found, const char *expected)
{
    return fail(ERR_INPUT, "%s: tensor \"%.200s\": key \"%s\" is %s; expected %s", file, tensor,
                what, found ? json_show(found) : "missing", expected);
}

static enum status read_shape(const char *file, const json_t *entry, struct tensor_info *out,
                              size_t *bytes)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return bad_tensor(file, out->name, "shape", shape, "an array of sizes");
    if (json_array_size(shape) > TENSOR_DIMENSIONS_MAX)
        return fail(ERR_INPUT,
                    "%s: tensor \"%.200s\": key \"shape\" has %zu dimensions; expected at most %d",
                    file, out->name, json_array_size(shape), TENSOR_DIMENSIONS_MAX);
    out->n_dimensions = (int)json_array_size(shape);
    // Zero sizes do not excuse the others: code that flattens dimensions multiplies some of them
    // only.
    size_t extent = element_bytes(out->type);
    bool empty = false;
    for (int i = 0; i < out->n_dimensions; i++) {
        const json_t *size = json_array_get(shape, (size_t)i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return bad_tensor(file, out->name, "shape", size,
                              "sizes that are integers of at least 0");
        out->shape[i] = json_integer_value(size);
        empty = empty || out->shape[i] == 0;
        if (!checked_mul(extent, out->shape[i] ? (size_t)out->shape[i] : 1, &extent) ||
            extent > INT64_MAX)
            return fail(
                ERR_INPUT,
                "%s: tensor \"%.200s\": key \"shape\" overflows; expected less than 2^63 bytes",
                file, out->name);
    }
    *bytes = empty ? 0 : extent;
    return OK;
}

// `data_begin` is where the data lies in the file, `data_bytes` how much of it there is.
static enum status read_offsets(const char *file, const json_t *entry, uint64_t data_begin,
                                uint64_t data_bytes, size_t wanted, struct tensor_info *out)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return bad_tensor(file, out->name, "data_offsets", offsets, "two integers [begin, end]");
    int64_t first = json_integer_value(begin), last = json_integer_value(end);
    if (first < 0 || last < first || (uint64_t)last > data_bytes)
        return fail(ERR_INPUT,
                    "%s: tensor \"%.200s\": key \"data_offsets\" is [%lld, %lld]; expected an "
                    "ascending pair within "
                    "the %llu bytes of data that the file has",
                    file, out->name, (long long)first, (long long)last,
                    (unsigned long long)data_bytes);
    out->offset = data_begin + (uint64_t)first;
    out->bytes = (uint64_t)(last - first);
    if (out->bytes != wanted)
        return fail(ERR_INPUT,
                    "%s: tensor \"%.200s\": key \"data_offsets\" spans %llu bytes; expected %zu, "
                    "which its shape and "
                    "type %s take",
                    file, out->name, (unsigned long long)out->bytes, wanted,
                    element_name(out->type));
    return OK;
}

static enum status read_tensor(const char *file, const json_t *entry, uint64_t data_begin,
                               uint64_t data_bytes, struct tensor_info *out)
{
    if (!json_is_object(entry))
        return fail(
            ERR_INPUT,
            "%s: tensor \"%.200s\" is %s; expected an object with dtype, shape and data_offsets",
            file, out->name, json_kind(entry));
    const json_t *type = json_object_get(entry, "dtype");
    // An embedded NUL would make another type of it; the length says so.
    if (!json_is_string(type) || strlen(json_string_value(type)) != json_string_length(type))
        return bad_tensor(file, out->name, "dtype", type, "one of " KNOWN_TYPES);
    out->type = element_from_safetensors(json_string_value(type));
    if (out->type == ELEMENT_NONE)
        return bad_tensor(file, out->name, "dtype", type, "one of " KNOWN_TYPES);
    size_t bytes = 0;
    TRY(read_shape(file, entry, out, &bytes));
    return read_offsets(file, entry, data_begin, data_bytes, bytes, out);
}

static enum status read_metadata(const char *file, json_t *metadata, struct safetensors_header *out)
{
    if (!json_is_object(metadata))
        return fail(ERR_INPUT, "%s: key \"__metadata__\" is %s; expected an object of strings",
                    file, json_kind(metadata));
    TRY(arena_take(&out->arena, 2 * json_object_size(metadata), sizeof *out->metadata,
                   &out->metadata));
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return fail(ERR_INPUT, "%s: __metadata__: key \"%.200s\" is %s; expected a string",
                        file, key, json_show(value));
        char *copy;
        TRY(arena_text(&out->arena, key, strlen(key), &copy));
        out->metadata[2 * out->n_metadata] = copy;
        TRY(arena_text(&out->arena, json_string_value(value), json_string_length(value), &copy));
        out->metadata[2 * out->n_metadata + 1] = copy;
        out->n_metadata++;
    }
    return OK;
}

static int by_name(const void *a, const void *b)
{
    const struct tensor_info *left = a, *right = b;
    return strcmp(left->name, right->name);
}

static int by_offset(const void *a, const void *b)
{
    const struct tensor_info *left = a, *right = b;
    if (left->offset != right->offset)
        return left->offset < right->offset ? -1 : 1;
    return left->bytes < right->bytes ? -1 : left->bytes > right->bytes; // empty ones first
}

// The data is covered once and whole: bytes that no tensor owns could hide anything.
static enum status check_cover(const char *file, struct tensor_info *tensors, int n_tensors,
                               uint64_t data_begin, uint64_t file_bytes)
{
    qsort(tensors, (size_t)n_tensors, sizeof *tensors, by_offset);
    uint64_t next = data_begin;
    for (int i = 0; i < n_tensors; i++) {
        if (tensors[i].offset != next)
            return fail(ERR_INPUT,
                        "%s: tensor \"%.200s\": key \"data_offsets\" begins at %llu; expected "
                        "%llu, where the tensor "
                        "before it ends (%s)",
                        file, tensors[i].name, (unsigned long long)(tensors[i].offset - data_begin),
                        (unsigned long long)(next - data_begin),
                        tensors[i].offset < next ? "they overlap" : "a hole");
        next += tensors[i].bytes;
    }
    if (next != file_bytes)
        return fail(ERR_INPUT,
                    "%s: the file has %llu bytes; expected %llu, where the last tensor ends", file,
                    (unsigned long long)file_bytes, (unsigned long long)next);
    return OK;
}

static enum status read_header(const char *name, json_t *root, size_t length, uint64_t file_bytes,
                               struct safetensors_header *out)
{
    if (!json_is_object(root))
        return fail(ERR_INPUT, "%s: the header is %s; expected a JSON object", name,
                    json_kind(root));
    uint64_t data_begin = LENGTH_BYTES + length;
    size_t n_keys = json_object_size(root);
    if (n_keys > SAFETENSORS_TENSORS_MAX)
        return fail(ERR_INPUT, "%s: the header has %zu tensors; expected at most %d", name, n_keys,
                    SAFETENSORS_TENSORS_MAX);
    TRY(arena_take(&out->arena, n_keys, sizeof *out->tensors, &out->tensors));
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        if (strcmp(key, "__metadata__") == 0) {
            TRY(read_metadata(name, value, out));
            continue;
        }
        struct tensor_info *tensor = &out->tensors[out->n_tensors];
        *tensor = (struct tensor_info){0};
        char *copy;
        TRY(arena_text(&out->arena, key, strlen(key), &copy));
        tensor->name = copy;
        TRY(read_tensor(name, value, data_begin, file_bytes - data_begin, tensor));
        out->n_tensors++;
    }
    TRY(check_cover(name, out->tensors, out->n_tensors, data_begin, file_bytes));
    qsort(out->tensors, (size_t)out->n_tensors, sizeof *out->tensors, by_name);
    return OK;
}

static void start(struct safetensors_header *header)
{
    *header = (struct safetensors_header){0};
    arena_init(&header->arena);
}

enum status safetensors_parse(const char *name, const char *text, size_t length,
                              uint64_t file_bytes, struct safetensors_header *out)
{
    start(out);
    if (length > SAFETENSORS_HEADER_BYTES_MAX)
        return fail(ERR_INPUT, "%s: the header length is %zu bytes; expected at most %d", name,
                    length, SAFETENSORS_HEADER_BYTES_MAX);
    if (file_bytes < LENGTH_BYTES || length > file_bytes - LENGTH_BYTES)
        return fail(
            ERR_INPUT,
            "%s: the header length is %zu bytes; expected at most %llu, the rest of the file", name,
            length,
            (unsigned long long)(file_bytes < LENGTH_BYTES ? 0 : file_bytes - LENGTH_BYTES));
    json_t *root;
    TRY(json_parse(name, text, length, &root));
    enum status status = read_header(name, root, length, file_bytes, out);
    json_decref(root);
    if (status != OK)
        safetensors_close(out);
    return status;
}

static enum status read_length(int fd, const char *path, uint64_t file_bytes, uint64_t *out)
{
    unsigned char raw[LENGTH_BYTES];
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
    *out = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        *out = *out << 8 | raw[i];
    uint64_t most = file_bytes - sizeof raw;
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

enum status safetensors_read_header(int fd, const char *path, uint64_t file_bytes,
                                    struct safetensors_header *out)
{
    start(out);
    uint64_t length = 0;
    char *text = NULL;
    TRY(read_length(fd, path, file_bytes, &length));
    TRY(memory_new((size_t)length, 1, "a safetensors header", &text));
    enum status status = safetensors_pread(fd, path, LENGTH_BYTES, text, (size_t)length);
    if (status == OK)
        status = safetensors_parse(path, text, (size_t)length, file_bytes, out);
    free(text);
    return status;
}

enum status safetensors_open(const char *path, struct safetensors_header *out)
{
    int fd;
    uint64_t file_bytes;
    start(out);
    TRY(file_open(path, &fd, &file_bytes));
    enum status status = safetensors_read_header(fd, path, file_bytes, out);
    close(fd);
    return status;
}

void safetensors_close(struct safetensors_header *header)
{
    arena_fini(&header->arena);
    start(header);
}

const struct tensor_info *safetensors_find(const struct safetensors_header *header,
                                           const char *name)
{
    struct tensor_info wanted = {.name = name};
    if (header->n_tensors == 0)
        return NULL;
    return bsearch(&wanted, header->tensors, (size_t)header->n_tensors, sizeof wanted, by_name);
}
