#include "hf/safetensors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/file.h"
#include "hf/header_reader.h"

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

// An entry's keys, and which of them have come.
enum { KEY_DTYPE = 1, KEY_SHAPE = 2, KEY_OFFSETS = 4, KEYS_ALL = 7 };

static enum status read_dtype(struct header_reader *reader, struct tensor_info *out)
{
    char type[HEADER_WORD_MAX];
    enum status status = header_word(reader, type);
    if (status != OK)
        return fail_in(status, "tensor \"%.200s\": key \"dtype\"", out->name);
    out->type = element_from_safetensors(type);
    if (out->type != ELEMENT_NONE)
        return OK;
    return fail(ERR_INPUT,
                "%s: tensor \"%.200s\": key \"dtype\" is \"%.40s\"; expected one of " KNOWN_TYPES,
                reader->name, out->name, type);
}

// An array of at most `most` integers.
static enum status read_integers(struct header_reader *reader, const char *tensor, const char *key,
                                 int most, int64_t *out, int *n)
{
    *n = 0;
    enum status status = header_expect(reader, '[');
    if (status == OK && header_accept(reader, ']'))
        return OK;
    while (status == OK) {
        if (*n == most)
            return fail(
                ERR_INPUT,
                "%s: tensor \"%.200s\": key \"%s\" has more than %d numbers; expected at most so "
                "many",
                reader->name, tensor, key, most);
        status = header_integer(reader, &out[(*n)++]);
        if (status == OK && !header_accept(reader, ','))
            break;
    }
    if (status == OK)
        status = header_expect(reader, ']');
    return status == OK ? OK : fail_in(status, "tensor \"%.200s\": key \"%s\"", tensor, key);
}

// The bytes that type and shape take.
static enum status count_bytes(const char *file, const struct tensor_info *tensor, uint64_t *out)
{
    // Zero sizes do not excuse the others: code that flattens dimensions multiplies some of them
    // only.
    size_t extent = element_bytes(tensor->type);
    bool empty = false;
    for (int i = 0; i < tensor->n_dimensions; i++) {
        empty = empty || tensor->shape[i] == 0;
        if (!checked_mul(extent, tensor->shape[i] ? (size_t)tensor->shape[i] : 1, &extent) ||
            extent > INT64_MAX)
            return fail(
                ERR_INPUT,
                "%s: tensor \"%.200s\": key \"shape\" overflows; expected less than 2^63 bytes",
                file, tensor->name);
    }
    *out = empty ? 0 : extent;
    return OK;
}

static enum status check_offsets(const char *file, const int64_t offsets[2], uint64_t data_begin,
                                 uint64_t data_bytes, struct tensor_info *out)
{
    uint64_t wanted = 0;
    TRY(count_bytes(file, out, &wanted));
    if (offsets[1] < offsets[0] || (uint64_t)offsets[1] > data_bytes)
        return fail(ERR_INPUT,
                    "%s: tensor \"%.200s\": key \"data_offsets\" is [%lld, %lld]; expected an "
                    "ascending pair within "
                    "the %llu bytes of data that the file has",
                    file, out->name, (long long)offsets[0], (long long)offsets[1],
                    (unsigned long long)data_bytes);
    out->offset = data_begin + (uint64_t)offsets[0];
    out->bytes = (uint64_t)(offsets[1] - offsets[0]);
    if (out->bytes == wanted)
        return OK;
    return fail(ERR_INPUT,
                "%s: tensor \"%.200s\": key \"data_offsets\" spans %llu bytes; expected %llu, "
                "which its shape and "
                "type %s take",
                file, out->name, (unsigned long long)out->bytes, (unsigned long long)wanted,
                element_name(out->type));
}

static enum status read_entry_key(struct header_reader *reader, int *seen, int64_t offsets[2],
                                  struct tensor_info *out)
{
    char key[HEADER_WORD_MAX];
    TRY(header_word(reader, key));
    TRY(header_expect(reader, ':'));
    int bit = strcmp(key, "dtype") == 0          ? KEY_DTYPE
              : strcmp(key, "shape") == 0        ? KEY_SHAPE
              : strcmp(key, "data_offsets") == 0 ? KEY_OFFSETS
                                                 : 0;
    if (bit == 0 || *seen & bit)
        return fail(
            ERR_INPUT,
            "%s: tensor \"%.200s\": %s key \"%.80s\"; expected dtype, shape and data_offsets, once "
            "each",
            reader->name, out->name, bit ? "second" : "unknown", key);
    *seen |= bit;
    if (bit == KEY_DTYPE)
        return read_dtype(reader, out);
    if (bit == KEY_SHAPE)
        return read_integers(reader, out->name, key, TENSOR_DIMENSIONS_MAX, out->shape,
                             &out->n_dimensions);
    int n;
    TRY(read_integers(reader, out->name, key, 2, offsets, &n));
    if (n == 2)
        return OK;
    return fail(
        ERR_INPUT,
        "%s: tensor \"%.200s\": key \"data_offsets\" has %d numbers; expected two, [begin, end]",
        reader->name, out->name, n);
}

static enum status read_entry(struct header_reader *reader, uint64_t data_begin,
                              uint64_t data_bytes, struct tensor_info *out)
{
    int seen = 0;
    int64_t offsets[2] = {0, 0};
    enum status status = header_expect(reader, '{');
    if (status != OK)
        return fail_in(status, "tensor \"%.200s\"", out->name);
    if (!header_accept(reader, '}')) {
        do {
            TRY(read_entry_key(reader, &seen, offsets, out));
        } while (header_accept(reader, ','));
        TRY(header_expect(reader, '}'));
    }
    if (seen == KEYS_ALL)
        return check_offsets(reader->name, offsets, data_begin, data_bytes, out);
    const char *missing = !(seen & KEY_DTYPE)   ? "dtype"
                          : !(seen & KEY_SHAPE) ? "shape"
                                                : "data_offsets";
    return fail(
        ERR_INPUT,
        "%s: tensor \"%.200s\": key \"%s\" is missing; expected dtype, shape and data_offsets",
        reader->name, out->name, missing);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct pair {
    char *key, *value;
};

static enum status read_pairs(struct header_reader *reader, struct arena *arena,
                              struct pair **pairs, size_t *n)
{
    size_t capacity = 0;
    TRY(header_expect(reader, '{'));
    if (header_accept(reader, '}'))
        return OK;
    do {
        struct pair pair;
        TRY(memory_grow(pairs, &capacity, *n + 1, sizeof pair, "safetensors metadata"));
        TRY(header_string(reader, arena, &pair.key));
        TRY(header_expect(reader, ':'));
        TRY(header_string(reader, arena, &pair.value));
        (*pairs)[(*n)++] = pair;
    } while (header_accept(reader, ','));
    return header_expect(reader, '}');
}

static enum status keep_pairs(const char *file, struct pair *pairs, size_t n,
                              struct safetensors_header *out)
{
    TRY(arena_take(&out->arena, 2 * n, sizeof *out->metadata, &out->metadata));
    if (n > 0)
        qsort(pairs, n, sizeof *pairs, by_text); // a pair begins with its key
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && strcmp(pairs[i - 1].key, pairs[i].key) == 0)
            return fail(ERR_INPUT, "%s: key \"%.200s\" stands twice; expected it once", file,
                        pairs[i].key);
        out->metadata[2 * i] = pairs[i].key;
        out->metadata[2 * i + 1] = pairs[i].value;
    }
    out->n_metadata = (int)n;
    return OK;
}

static enum status read_metadata(struct header_reader *reader, struct safetensors_header *out)
{
    struct pair *pairs = NULL;
    size_t n = 0;
    enum status status = read_pairs(reader, &out->arena, &pairs, &n);
    if (status == OK)
        status = keep_pairs(reader->name, pairs, n, out);
    free(pairs);
    return status == OK ? OK : fail_in(status, "key \"__metadata__\"");
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

// Files are nearly always in order already; qsort() would then cost as much as all the reading.
static void sort_tensors(struct tensor_info *tensors, int n,
                         int (*compare)(const void *, const void *))
{
    for (int i = 1; i < n; i++)
        if (compare(&tensors[i - 1], &tensors[i]) > 0) {
            qsort(tensors, (size_t)n, sizeof *tensors, compare);
            return;
        }
}

// The data is covered once and whole: bytes that no tensor owns could hide anything.
static enum status check_cover(const char *file, const struct safetensors_header *header,
                               uint64_t data_begin, uint64_t file_bytes)
{
    struct tensor_info *tensors = header->tensors;
    sort_tensors(tensors, header->n_tensors, by_offset);
    uint64_t next = data_begin;
    for (int i = 0; i < header->n_tensors; i++) {
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

static enum status check_names(const char *file, const struct safetensors_header *header)
{
    sort_tensors(header->tensors, header->n_tensors, by_name);
    for (int i = 1; i < header->n_tensors; i++)
        if (strcmp(header->tensors[i - 1].name, header->tensors[i].name) == 0)
            return fail(ERR_INPUT,
                        "%s: tensor \"%.200s\" stands twice in the header; expected it once", file,
                        header->tensors[i].name);
    return OK;
}

// What is collected while reading.
struct collection {
    struct tensor_info *tensors;
    size_t n, capacity;
    bool has_metadata;
};

static enum status read_member(struct header_reader *reader, uint64_t data_begin,
                               uint64_t data_bytes, struct collection *into,
                               struct safetensors_header *out)
{
    char *key;
    TRY(header_string(reader, &out->arena, &key));
    TRY(header_expect(reader, ':'));
    if (strcmp(key, "__metadata__") == 0) {
        if (into->has_metadata)
            return fail(ERR_INPUT, "%s: key \"__metadata__\" stands twice; expected it once",
                        reader->name);
        into->has_metadata = true;
        return read_metadata(reader, out);
    }
    if (into->n == SAFETENSORS_TENSORS_MAX)
        return fail(ERR_INPUT, "%s: the header has more than %d tensors; expected at most so many",
                    reader->name, SAFETENSORS_TENSORS_MAX);
    TRY(memory_grow(&into->tensors, &into->capacity, into->n + 1, sizeof *into->tensors,
                    "a list of tensors"));
    struct tensor_info *tensor = &into->tensors[into->n++];
    *tensor = (struct tensor_info){.name = key};
    return read_entry(reader, data_begin, data_bytes, tensor);
}

static enum status read_members(struct header_reader *reader, uint64_t data_begin,
                                uint64_t data_bytes, struct collection *into,
                                struct safetensors_header *out)
{
    TRY(header_expect(reader, '{'));
    if (!header_accept(reader, '}')) {
        do {
            TRY(read_member(reader, data_begin, data_bytes, into, out));
        } while (header_accept(reader, ','));
        TRY(header_expect(reader, '}'));
    }
    return header_end(reader);
}

static enum status read_header(struct header_reader *reader, uint64_t file_bytes,
                               struct safetensors_header *out)
{
    uint64_t data_begin = LENGTH_BYTES + (uint64_t)(reader->end - reader->begin);
    struct collection into = {.n = 0};
    enum status status = read_members(reader, data_begin, file_bytes - data_begin, &into, out);
    out->tensors = into.tensors;
    out->n_tensors = (int)into.n;
    TRY(status);
    TRY(check_cover(reader->name, out, data_begin, file_bytes));
    return check_names(reader->name, out);
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
    struct header_reader reader = {name, text, text, text + length};
    enum status status = read_header(&reader, file_bytes, out);
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
    free(header->tensors);
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
