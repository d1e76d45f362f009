// A checkpoint folder: which files hold the weights, which tensors lie where, and reading byte
// ranges of them.
#ifndef COLROW_HF_CHECKPOINT_H
#define COLROW_HF_CHECKPOINT_H

#include <stdint.h>

#include "base/file_window.h"
#include "base/status.h"
#include "hf/byte_source.h"
#include "hf/quantisation.h"
#include "hf/safetensors.h"

enum { CHECKPOINT_FILES_MAX = 4096, CHECKPOINT_TENSORS_MAX = 1 << 20 };

struct checkpoint {
    struct arena arena;
    struct safetensors_header *headers; // one per file; they own the names
    const char *folder;
    const char **files; // paths
    int *fds;           // open for reading
    int n_files;
    // Of one whose weights stay at the hub: files[] hold headers alone. NULL: all is here.
    struct hub_ranges *remote;
    const struct hub_ranges_file **remote_files; // [n_files]
    const struct byte_sources *sources;          // checkpoint_read_from(); NULL: none
    struct byte_source *source;
    struct tensor_info *tensors; // of all files, sorted by name
    int n_tensors;
    uint64_t bytes;                    // of all tensors
    bool has_consolidated;             // consolidated.safetensors lies beside what is read
    struct quantisation *quantisation; // what config.json says of it; NULL: nothing
    const char *repeated; // a tensor that several files hold (the last one's counts), or NULL
};

// Opens the file or index that config.json names as "transformers_weights"; else model.safetensors,
// or all files that model.safetensors.index.json names, with all that they hold. A folder with only
// .bin, .pt, .pth, .gguf, .ckpt, .msgpack or .h5 is refused by the file's name.
enum status checkpoint_open(const char *folder, struct checkpoint **out) STATUS_MUST_USE;
void checkpoint_close(struct checkpoint *checkpoint); // accepts NULL
// Where the bytes of one with `remote` come from; borrowed. Without, reading them is an error.
void checkpoint_read_from(struct checkpoint *checkpoint, const struct byte_sources *sources,
                          struct byte_source *source);
// Whether there is something to open.
bool checkpoint_has_weights(const char *folder);
// Before anything else is asked of a model: that it is a folder.
enum status checkpoint_folder_check(const char *folder) STATUS_MUST_USE;
const struct tensor_info *checkpoint_find(const struct checkpoint *checkpoint, const char *name);

// What a checkpoint is computed in when config.json does not say: the first floating type in its
// first file, of doubles float32. ELEMENT_NONE when there is none.
enum element_type checkpoint_dtype(const struct checkpoint *checkpoint);

// A rectangle of a tensor, in elements. Rows are dimension 0; columns are all others, flattened (a
// vector has one column, a scalar one row of one column).
struct tensor_slice {
    const struct tensor_info *tensor;
    int64_t row_begin, row_end;
    int64_t column_begin, column_end; // 0, 1 for a vector
};
int64_t tensor_rows(const struct tensor_info *tensor);
int64_t tensor_columns(const struct tensor_info *tensor);
struct tensor_slice tensor_whole(const struct tensor_info *tensor);

// Reads a slice into `out`, packed rows [row_end - row_begin, column_end - column_begin] of the
// tensor's type. A full-width slice is one range of the file; a narrower one is read row by row, so
// that exactly its own bytes are asked for: `*bytes_read` (may be NULL) grows by them. Safe to call
// from several threads: several requests are in flight that way.
enum status checkpoint_read(const struct checkpoint *checkpoint, const struct tensor_slice *slice,
                            void *out, uint64_t *bytes_read) STATUS_MUST_USE;

// The slice mapped where the page cache has it, for the calling thread to look at: a thread has one
// view at a time. Others may cut the file meanwhile: needs file_window_guard_begin() around it.
struct checkpoint_view {
    struct file_window window;
    const void *data; // [row_end - row_begin, column_end - column_begin] of the tensor's type
    size_t stride;    // elements from a row to the next
};
// False: not to be had so (a file system that maps no files, an odd address, rows far apart); then
// checkpoint_read() does it.
bool checkpoint_view_open(const struct checkpoint *checkpoint, const struct tensor_slice *slice,
                          struct checkpoint_view *out);
// False: the file ends early or could not be read. checkpoint_read() says which.
bool checkpoint_view_close(struct checkpoint_view *view);
// False: the slice's first byte is not in the page cache. checkpoint_read() has the system fetch
// more than looking at it does, and in larger pages.
bool checkpoint_is_cached(const struct checkpoint *checkpoint, const struct tensor_slice *slice);

#endif
