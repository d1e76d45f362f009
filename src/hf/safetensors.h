// The safetensors format: header and byte ranges. Source: github.com/huggingface/safetensors,
// format section.
//
// File: u64 little-endian header length, JSON header, data. Checked when opened: lengths, types,
// shapes, offsets (without holes or overlaps, ending at the end of the file).
#ifndef COLROW_HF_SAFETENSORS_H
#define COLROW_HF_SAFETENSORS_H

#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "hf/element_type.h"

enum {
    SAFETENSORS_LENGTH_BYTES = 8,             // the u64 in front of the header
    SAFETENSORS_HEADER_BYTES_MAX = 100 << 20, // the limit of the format's own library
    SAFETENSORS_TENSORS_MAX = 1 << 20,
    TENSOR_DIMENSIONS_MAX = 8,
};

struct tensor_info {
    const char *name; // owned by the header's arena
    enum element_type type;
    int n_dimensions;
    int64_t shape[TENSOR_DIMENSIONS_MAX]; // dimensions beyond are multiplied into the last
    uint64_t offset;                      // from the start of the FILE (not of the data)
    uint64_t bytes;
    int file; // index into checkpoint.files; 0 for a single header
};

struct safetensors_header {
    struct arena arena;
    struct tensor_info *tensors; // sorted by name; on the heap
    int n_tensors;
    // metadata ("__metadata__"), NUL-terminated pairs key, value, sorted by key
    const char **metadata;
    int n_metadata;
};

// Parses the header of a file of `file_bytes` bytes; `text` is the JSON of `length` bytes.
enum status safetensors_parse(const char *name, const char *text, size_t length,
                              uint64_t file_bytes, struct safetensors_header *out) STATUS_MUST_USE;
// The number in front of the header, checked: `raw` has SAFETENSORS_LENGTH_BYTES, and so has the
// file, at least.
enum status safetensors_header_length(const char *path, const unsigned char *raw,
                                      uint64_t file_bytes, uint64_t *out) STATUS_MUST_USE;
enum status safetensors_open(const char *path, struct safetensors_header *out) STATUS_MUST_USE;
// Same, of a file that is open already; `path` stands in messages.
enum status safetensors_read_header(int fd, const char *path, uint64_t file_bytes,
                                    struct safetensors_header *out) STATUS_MUST_USE;
// pread() of exactly `bytes`, whatever signals and short reads come between. A file that ends early
// is ERR_INPUT.
enum status safetensors_pread(int fd, const char *path, uint64_t offset, void *out,
                              size_t bytes) STATUS_MUST_USE;
void safetensors_close(struct safetensors_header *header);
const struct tensor_info *safetensors_find(const struct safetensors_header *header,
                                           const char *name);

// Writing, for `colrow logits` and `colrow synth`: tensors are announced first, then written in
// order.
struct safetensors_writer;
struct tensor_spec {
    const char *name;
    enum element_type type;
    int n_dimensions;
    int64_t shape[TENSOR_DIMENSIONS_MAX];
};
enum status safetensors_create(const char *path, const struct tensor_spec *specs, int n_specs,
                               const char *const *metadata, int n_metadata,
                               struct safetensors_writer **out) STATUS_MUST_USE;
enum status safetensors_write(struct safetensors_writer *writer, const void *data,
                              size_t bytes) STATUS_MUST_USE;
// Checks that all bytes came, renames the file into place; frees the writer either way.
enum status safetensors_finish(struct safetensors_writer *writer) STATUS_MUST_USE;
void safetensors_abandon(
    struct safetensors_writer *writer); // removes the unfinished file; accepts NULL

#endif
