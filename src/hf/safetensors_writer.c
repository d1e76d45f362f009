// Writing safetensors: header first (all shapes are known), then the data as it comes; a reader
// never sees half a file (base/file_writer.h).
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file_writer.h"
#include "base/json.h"
#include "hf/safetensors.h"

struct safetensors_writer {
    struct file_writer file;
    uint64_t wanted, written; // bytes of data
};

static enum status tensor_bytes(const char *path, const struct tensor_spec *spec, size_t *out)
{
    assert(spec->n_dimensions >= 0 && spec->n_dimensions <= TENSOR_DIMENSIONS_MAX);
    *out = element_bytes(spec->type);
    for (int i = 0; i < spec->n_dimensions; i++)
        if (spec->shape[i] < 0 || !checked_mul(*out, (size_t)spec->shape[i], out))
            return fail(
                ERR_INPUT,
                "%s: tensor \"%.200s\": size %lld of dimension %d; expected a product below 2^64",
                path, spec->name, (long long)spec->shape[i], i);
    return OK;
}

// Text in JSON quotes, through jansson's escaping.
static enum status writer_append_quoted(struct bytes *out, const char *text)
{
    json_t *string = json_string(text); // refuses what is not UTF-8
    char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    json_decref(string);
    if (!quoted)
        return fail(ERR_INPUT,
                    "a safetensors name or metadata value cannot be written: expected UTF-8 text");
    enum status status = bytes_text(out, quoted);
    free(quoted);
    return status;
}

static enum status append_metadata(struct bytes *out, const char *const *metadata, int n_metadata)
{
    TRY(bytes_text(out, "\"__metadata__\":{"));
    for (int i = 0; i < n_metadata; i++) {
        TRY(bytes_text(out, i ? "," : ""));
        TRY(writer_append_quoted(out, metadata[2 * (size_t)i]));
        TRY(bytes_text(out, ":"));
        TRY(writer_append_quoted(out, metadata[2 * (size_t)i + 1]));
    }
    return bytes_text(out, "}");
}

static enum status append_tensor(struct bytes *out, const struct tensor_spec *spec, uint64_t begin,
                                 uint64_t end)
{
    TRY(writer_append_quoted(out, spec->name));
    TRY(bytes_format(out, ":{\"dtype\":\"%s\",\"shape\":[", element_name(spec->type)));
    for (int i = 0; i < spec->n_dimensions; i++)
        TRY(bytes_format(out, "%s%lld", i ? "," : "", (long long)spec->shape[i]));
    return bytes_format(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin,
                        (unsigned long long)end);
}

static enum status build_header(const char *path, const struct tensor_spec *specs, int n_specs,
                                const char *const *metadata, int n_metadata, struct bytes *out,
                                uint64_t *data_bytes)
{
    size_t begin = 0, bytes, end;
    TRY(bytes_text(out, "{"));
    if (n_metadata > 0)
        TRY(append_metadata(out, metadata, n_metadata));
    for (int i = 0; i < n_specs; i++) {
        TRY(tensor_bytes(path, &specs[i], &bytes));
        if (!checked_add(begin, bytes, &end))
            return fail(ERR_INPUT, "%s: the tensors take more than 2^64 bytes", path);
        TRY(bytes_text(out, i || n_metadata > 0 ? "," : ""));
        TRY(append_tensor(out, &specs[i], begin, end));
        begin = end;
    }
    TRY(bytes_text(out, "}"));
    while (out->length % 8 !=
           0) // the data begins at a multiple of 8, as the format's own library writes it
        TRY(bytes_text(out, " "));
    if (out->length > SAFETENSORS_HEADER_BYTES_MAX)
        return fail(ERR_INPUT, "%s: the header takes %zu bytes; the format allows %d", path,
                    out->length, SAFETENSORS_HEADER_BYTES_MAX);
    *data_bytes = begin;
    return OK;
}

enum status safetensors_create(const char *path, const struct tensor_spec *specs, int n_specs,
                               const char *const *metadata, int n_metadata,
                               struct safetensors_writer **out)
{
    struct safetensors_writer *writer = NULL;
    struct bytes header;
    unsigned char length[8];
    bytes_init(&header);
    *out = NULL;
    enum status status = memory_new(1, sizeof *writer, "a safetensors file", &writer);
    if (status != OK)
        return status;
    writer->file.fd = -1;
    TRY_DONE(build_header(path, specs, n_specs, metadata, n_metadata, &header, &writer->wanted));
    TRY_DONE(file_writer_open(path, &writer->file));
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)header.length >> (8 * i));
    TRY_DONE(file_writer_write(&writer->file, length, sizeof length));
    TRY_DONE(file_writer_write(&writer->file, header.data, header.length));
    *out = writer;
done:
    bytes_fini(&header);
    if (status != OK)
        safetensors_abandon(writer);
    return status;
}

enum status safetensors_write(struct safetensors_writer *writer, const void *data, size_t bytes)
{
    assert(bytes <= writer->wanted - writer->written);
    TRY(file_writer_write(&writer->file, data, bytes));
    writer->written += bytes;
    return OK;
}

enum status safetensors_finish(struct safetensors_writer *writer)
{
    enum status status;
    if (writer->written != writer->wanted)
        status =
            fail(ERR_INTERNAL, "%s: %llu bytes of data were written; the header announces %llu",
                 writer->file.path, (unsigned long long)writer->written,
                 (unsigned long long)writer->wanted);
    else
        status = file_writer_finish(&writer->file);
    safetensors_abandon(writer);
    return status;
}

void safetensors_abandon(struct safetensors_writer *writer)
{
    if (!writer)
        return;
    file_writer_abandon(&writer->file);
    free(writer);
}
