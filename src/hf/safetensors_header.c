// The JSON header of a safetensors file, read as the format's own library reads it (safetensors
// 0.8, lib.rs and tensor.rs, over serde_json), without a tree of it.
//
// The header of a big checkpoint has 100,000 entries and may have 100 MB. A tree takes seconds and
// a gigabyte for that, and a file made to hurt would cost as much before it is refused.
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/json_reader.h"
#include "base/utf8.h"
#include "hf/safetensors.h"

enum { SHAPE_NUMBERS_MAX = 64 }; // as many dimensions as PyTorch knows

// What is collected while reading.
struct header_parts {
    struct json_reader reader;
    struct bytes scratch; // of strings with escapes
    struct tensor_info *tensors;
    size_t n, capacity;
    bool has_metadata;
    uint64_t data_begin, data_bytes;
};

// An entry's keys, and which of them have come.
enum { KEY_DTYPE = 1, KEY_SHAPE = 2, KEY_OFFSETS = 4, KEYS_ALL = 7 };

struct entry {
    struct tensor_info *tensor;
    int64_t shape[SHAPE_NUMBERS_MAX], offsets[2];
    int n_shape;
    int keys;
};

static bool text_equals(const char *text, size_t length, const char *wanted)
{
    return length == strlen(wanted) && memcmp(text, wanted, length) == 0;
}

// A string with which C can work. Names that differ behind a NUL would become one name.
static enum status read_name(struct header_parts *parts, struct arena *arena, char **out)
{
    const char *text;
    size_t length;
    TRY(json_reader_string(&parts->reader, &parts->scratch, &text, &length));
    if (memchr(text, '\0', length))
        return fail(ERR_UNSUPPORTED,
                    "%s: the header names a tensor \"%s\"; expected names without the character "
                    "NUL: rename the tensor",
                    parts->reader.where, text_show(text, length));
    return arena_text(arena, text, length, out);
}

// Text for people: a NUL becomes U+FFFD.
static enum status read_remark(struct header_parts *parts, struct arena *arena, char **out)
{
    const char *text;
    size_t length, n = 0;
    TRY(json_reader_string(&parts->reader, &parts->scratch, &text, &length));
    for (size_t i = 0; i < length; i++)
        n += text[i] == '\0' ? strlen(REPLACEMENT_CHARACTER) : 1;
    TRY(arena_take(arena, n + 1, 1, out));
    char *next = *out;
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\0')
            next = stpcpy(next, REPLACEMENT_CHARACTER);
        else
            *next++ = text[i];
    assert((size_t)(next - *out) == n);
    *next = '\0';
    return OK;
}

// ---- an entry ----

static enum status read_tensor_type(struct header_parts *parts, struct tensor_info *out)
{
    const char *text;
    size_t length;
    char known[256];
    enum status status = json_reader_string(&parts->reader, &parts->scratch, &text, &length);
    if (status != OK)
        return fail_in(status, "key \"dtype\"");
    out->type = element_from_safetensors(text, length);
    if (out->type != ELEMENT_NONE)
        return OK;
    element_names(known, sizeof known);
    return fail(ERR_INPUT,
                "%s: key \"dtype\" is \"%s\"; expected one of %s (the types of safetensors 0.8)",
                parts->reader.where, text_show(text, length), known);
}

// An array of at most `most` integers from 0.
static enum status read_header_numbers(struct header_parts *parts, int most, int64_t *out, int *n)
{
    struct json_reader *reader = &parts->reader;
    assert(most > 0);
    *n = 0;
    TRY(json_reader_expect(reader, '['));
    if (json_reader_take(reader, ']'))
        return OK;
    do {
        if (*n == most)
            return fail(ERR_INPUT, "%s: more than %d numbers; expected at most so many",
                        reader->where, most);
        const char *begin = reader->at;
        int64_t *number = &out[(*n)++];
        TRY(json_reader_int(reader, number));
        if (*number < 0 || *number == INT64_MAX) {
            reader->at = begin;
            return json_reader_wrong(reader, "an integer from 0 below 2^63");
        }
    } while (json_reader_take(reader, ','));
    return json_reader_expect(reader, ']');
}

static enum status read_integers(struct header_parts *parts, const char *key, int most,
                                 int64_t *out, int *n)
{
    enum status status = read_header_numbers(parts, most, out, n);
    return status == OK ? OK : fail_in(status, "key \"%s\"", key);
}

static enum status read_offsets(struct header_parts *parts, struct entry *entry)
{
    int n;
    TRY(read_integers(parts, "data_offsets", 2, entry->offsets, &n));
    if (n == 2)
        return OK;
    return fail(ERR_INPUT, "%s: key \"data_offsets\" has %d numbers; expected two, [begin, end]",
                parts->reader.where, n);
}

// The bytes that type and shape take.
static enum status count_bytes(const char *file, const struct entry *entry, uint64_t *out)
{
    // Zero sizes do not excuse the others: code that flattens dimensions multiplies some of them
    // only.
    const struct tensor_info *tensor = entry->tensor;
    size_t bits = element_bits(tensor->type);
    assert(bits > 0);
    bool empty = false, fits = true;
    for (int i = 0; i < entry->n_shape && fits; i++) {
        empty = empty || entry->shape[i] == 0;
        fits = checked_mul(bits, entry->shape[i] ? (size_t)entry->shape[i] : 1, &bits) &&
               bits <= INT64_MAX;
    }
    if (!fits)
        return fail(ERR_INPUT,
                    "%s: tensor \"%.200s\": key \"shape\" overflows; expected less than 2^60 bytes",
                    file, tensor->name);
    if (!empty && bits % 8 != 0)
        return fail(
            ERR_INPUT,
            "%s: tensor \"%.200s\": key \"shape\" gives %zu bits of type %s; expected whole "
            "bytes",
            file, tensor->name, bits, element_name(tensor->type));
    *out = empty ? 0 : bits / 8;
    return OK;
}

static enum status check_offsets(const struct header_parts *parts, const struct entry *entry)
{
    uint64_t wanted = 0;
    const char *file = parts->reader.where;
    struct tensor_info *out = entry->tensor;
    const int64_t *offsets = entry->offsets;
    TRY(count_bytes(file, entry, &wanted));
    if (offsets[1] < offsets[0] || (uint64_t)offsets[1] > parts->data_bytes)
        return fail(ERR_INPUT,
                    "%s: tensor \"%.200s\": key \"data_offsets\" is [%lld, %lld]; expected an "
                    "ascending pair within the %llu bytes of data that the file has",
                    file, out->name, (long long)offsets[0], (long long)offsets[1],
                    (unsigned long long)parts->data_bytes);
    out->offset = parts->data_begin + (uint64_t)offsets[0];
    out->bytes = (uint64_t)(offsets[1] - offsets[0]);
    if (out->bytes == wanted)
        return OK;
    return fail(ERR_INPUT,
                "%s: tensor \"%.200s\": key \"data_offsets\" spans %llu bytes; expected %llu, "
                "which its shape and type %s take",
                file, out->name, (unsigned long long)out->bytes, (unsigned long long)wanted,
                element_name(out->type));
}

// No model has a weight of more dimensions than tensor_info holds: what is beyond is kept as one.
static void keep_shape(const struct entry *entry)
{
    struct tensor_info *out = entry->tensor;
    assert(entry->n_shape >= 0 && entry->n_shape <= SHAPE_NUMBERS_MAX);
    for (int i = 0; i < entry->n_shape; i++)
        if (i < TENSOR_DIMENSIONS_MAX)
            out->shape[i] = entry->shape[i];
        else
            out->shape[TENSOR_DIMENSIONS_MAX - 1] *= entry->shape[i]; // fits: count_bytes()
    out->n_dimensions =
        entry->n_shape < TENSOR_DIMENSIONS_MAX ? entry->n_shape : TENSOR_DIMENSIONS_MAX;
}

static enum status read_entry_key(struct header_parts *parts, struct entry *entry)
{
    const char *key;
    size_t length;
    struct json_reader *reader = &parts->reader;
    TRY(json_reader_string(reader, &parts->scratch, &key, &length));
    int bit = text_equals(key, length, "dtype")          ? KEY_DTYPE
              : text_equals(key, length, "shape")        ? KEY_SHAPE
              : text_equals(key, length, "data_offsets") ? KEY_OFFSETS
                                                         : 0;
    if (entry->keys & bit)
        return fail(ERR_INPUT, "%s: a second key \"%s\"; expected it once", reader->where,
                    text_show(key, length));
    entry->keys |= bit;
    TRY(json_reader_expect(reader, ':'));
    switch (bit) {
    case KEY_DTYPE:
        return read_tensor_type(parts, entry->tensor);
    case KEY_SHAPE:
        return read_integers(parts, "shape", SHAPE_NUMBERS_MAX, entry->shape, &entry->n_shape);
    case KEY_OFFSETS:
        return read_offsets(parts, entry);
    default: // the format's library, too, ignores what it does not know
        return json_reader_skip(reader, &parts->scratch);
    }
}

static enum status read_entry_keys(struct header_parts *parts, struct entry *entry)
{
    struct json_reader *reader = &parts->reader;
    TRY(json_reader_expect(reader, '{'));
    if (json_reader_take(reader, '}'))
        return OK;
    do {
        TRY(read_entry_key(parts, entry));
    } while (json_reader_take(reader, ','));
    return json_reader_expect(reader, '}');
}

static enum status read_entry(struct header_parts *parts, struct tensor_info *out)
{
    struct entry entry = {.tensor = out};
    enum status status = read_entry_keys(parts, &entry);
    if (status != OK)
        return fail_in(status, "tensor \"%.200s\"", out->name);
    if (entry.keys != KEYS_ALL)
        return fail(ERR_INPUT,
                    "%s: tensor \"%.200s\": key \"%s\" is missing; expected dtype, shape and "
                    "data_offsets",
                    parts->reader.where, out->name,
                    !(entry.keys & KEY_DTYPE)   ? "dtype"
                    : !(entry.keys & KEY_SHAPE) ? "shape"
                                                : "data_offsets");
    TRY(check_offsets(parts, &entry));
    assert(out->offset >= parts->data_begin && out->bytes <= parts->data_bytes);
    keep_shape(&entry);
    return OK;
}

// ---- metadata ----

struct pair {
    char *key, *value;
    size_t order;
};

static int by_key_and_order(const void *a, const void *b)
{
    const struct pair *left = a, *right = b;
    int order = strcmp(left->key, right->key);
    return order ? order : left->order < right->order ? -1 : 1;
}

static enum status read_pairs(struct header_parts *parts, struct arena *arena, struct pair **pairs,
                              size_t *n)
{
    size_t capacity = 0;
    struct json_reader *reader = &parts->reader;
    TRY(json_reader_expect(reader, '{'));
    if (json_reader_take(reader, '}'))
        return OK;
    do {
        struct pair pair = {.order = *n};
        TRY(memory_grow(pairs, &capacity, *n + 1, sizeof pair, "safetensors metadata"));
        TRY(read_remark(parts, arena, &pair.key));
        TRY(json_reader_expect(reader, ':'));
        TRY(read_remark(parts, arena, &pair.value));
        (*pairs)[(*n)++] = pair;
    } while (json_reader_take(reader, ','));
    return json_reader_expect(reader, '}');
}

// Of a key that stands several times, the last counts.
static enum status keep_pairs(struct pair *pairs, size_t n, struct safetensors_header *out)
{
    TRY(arena_take(&out->arena, 2 * n, sizeof *out->metadata, &out->metadata));
    if (n > 0)
        qsort(pairs, n, sizeof *pairs, by_key_and_order);
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && strcmp(pairs[i].key, pairs[i + 1].key) == 0)
            continue;
        const char **entry = &out->metadata[2 * (size_t)out->n_metadata++];
        entry[0] = pairs[i].key;
        entry[1] = pairs[i].value;
    }
    return OK;
}

static enum status read_metadata(struct header_parts *parts, struct safetensors_header *out)
{
    struct pair *pairs = NULL;
    size_t n = 0;
    if (parts->has_metadata)
        return fail(ERR_INPUT, "%s: key \"__metadata__\" stands twice; expected it once",
                    parts->reader.where);
    parts->has_metadata = true;
    if (json_reader_word(&parts->reader, "null"))
        return OK;
    enum status status = read_pairs(parts, &out->arena, &pairs, &n);
    if (status == OK)
        status = keep_pairs(pairs, n, out);
    free(pairs);
    return status == OK ? OK : fail_in(status, "key \"__metadata__\"");
}

// ---- all entries ----

static int entries_by_name(const void *a, const void *b)
{
    const struct tensor_info *left = a, *right = b;
    return strcmp(left->name, right->name);
}

static int by_name_and_order(const void *a, const void *b)
{
    const struct tensor_info *left = a, *right = b;
    int order = entries_by_name(a, b);
    return order ? order : left->file - right->file;
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

// Of a name that stands several times, the last counts, as in the format's library. Sorts by name.
static void drop_repeated(struct safetensors_header *header)
{
    struct tensor_info *tensors = header->tensors;
    int n = header->n_tensors, kept = 0;
    sort_tensors(tensors, n, by_name_and_order);
    for (int i = 0; i < n; i++) {
        tensors[i].file = 0;
        if (i + 1 == n || strcmp(tensors[i].name, tensors[i + 1].name) != 0)
            tensors[kept++] = tensors[i];
    }
    assert(kept <= n && (n == 0) == (kept == 0));
    header->n_tensors = kept;
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

static enum status read_tensor_member(struct header_parts *parts, struct safetensors_header *out)
{
    char *name;
    TRY(read_name(parts, &out->arena, &name));
    TRY(json_reader_expect(&parts->reader, ':'));
    if (strcmp(name, "__metadata__") == 0)
        return read_metadata(parts, out);
    if (parts->n == SAFETENSORS_TENSORS_MAX)
        return fail(ERR_INPUT, "%s: the header has more than %d tensors; expected at most so many",
                    parts->reader.where, SAFETENSORS_TENSORS_MAX);
    TRY(memory_grow(&parts->tensors, &parts->capacity, parts->n + 1, sizeof *parts->tensors,
                    "a list of tensors"));
    struct tensor_info *tensor = &parts->tensors[parts->n];
    *tensor = (struct tensor_info){.name = name, .file = (int)parts->n}; // its order, for a while
    parts->n++;
    return read_entry(parts, tensor);
}

static enum status read_header_members(struct header_parts *parts, struct safetensors_header *out)
{
    struct json_reader *reader = &parts->reader;
    TRY(json_reader_expect(reader, '{'));
    if (!json_reader_take(reader, '}')) {
        do {
            TRY(read_tensor_member(parts, out));
        } while (json_reader_take(reader, ','));
        TRY(json_reader_expect(reader, '}'));
    }
    return json_reader_finish(reader);
}

static enum status parse_header(struct header_parts *parts, uint64_t file_bytes,
                                struct safetensors_header *out)
{
    enum status status = read_header_members(parts, out);
    out->tensors = parts->tensors;
    out->n_tensors = (int)parts->n;
    TRY(status);
    drop_repeated(out);
    TRY(check_cover(parts->reader.where, out, parts->data_begin, file_bytes));
    sort_tensors(out->tensors, out->n_tensors, entries_by_name);
    return OK;
}

enum status safetensors_parse(const char *name, const char *text, size_t length,
                              uint64_t file_bytes, struct safetensors_header *out)
{
    *out = (struct safetensors_header){0};
    arena_init(&out->arena);
    if (length > SAFETENSORS_HEADER_BYTES_MAX)
        return fail(ERR_INPUT, "%s: the header length is %zu bytes; expected at most %d", name,
                    length, SAFETENSORS_HEADER_BYTES_MAX);
    uint64_t most =
        file_bytes < SAFETENSORS_LENGTH_BYTES ? 0 : file_bytes - SAFETENSORS_LENGTH_BYTES;
    if (length > most)
        return fail(ERR_INPUT,
                    "%s: the header length is %zu bytes; expected at most %llu, the rest of the "
                    "file",
                    name, length, (unsigned long long)most);
    char where[1024];
    snprintf(where, sizeof where, "%.900s: the header", name);
    TRY(json_check_utf8(where, text, length));
    struct header_parts parts = {
        .reader = {where, text, text, text + length, JSON_RFC},
        .data_begin = SAFETENSORS_LENGTH_BYTES + length,
        .data_bytes = most - length,
    };
    bytes_init(&parts.scratch);
    enum status status = parse_header(&parts, file_bytes, out);
    bytes_fini(&parts.scratch);
    if (status != OK)
        safetensors_close(out);
    return status;
}

const struct tensor_info *safetensors_find(const struct safetensors_header *header,
                                           const char *name)
{
    assert(header && name);
    struct tensor_info wanted = {.name = name};
    if (header->n_tensors == 0)
        return NULL;
    return bsearch(&wanted, header->tensors, (size_t)header->n_tensors, sizeof wanted,
                   entries_by_name);
}
