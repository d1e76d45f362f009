// A checkpoint folder: which files hold the weights, which tensors lie where, and reading byte ranges of them.
#ifndef COLROW_HF_CHECKPOINT_H
#define COLROW_HF_CHECKPOINT_H

#include <stdint.h>

#include "base/status.h"
#include "hf/safetensors.h"

enum { CHECKPOINT_FILES_MAX = 4096, CHECKPOINT_TENSORS_MAX = 1 << 20 };

struct checkpoint {
    struct arena arena;
    const char *folder;
    const char **files; // paths
    int *fds;           // open for reading
    int n_files;
    struct tensor_info *tensors; // of all files, sorted by name
    int n_tensors;
    uint64_t bytes; // of all tensors
};

// Opens model.safetensors, or the files of model.safetensors.index.json (whose weight_map must agree with what the
// files hold). A folder with only .bin, .pt, .pth, .gguf, .ckpt, .msgpack or .h5 is refused by the file's name.
enum status checkpoint_open(const char *folder, struct checkpoint **out) STATUS_MUST_USE;
void checkpoint_close(struct checkpoint *checkpoint); // accepts NULL
const struct tensor_info *checkpoint_find(const struct checkpoint *checkpoint, const char *name);

// One row range of a 2-D (or 1-D) tensor, and where its bytes go. Rows and columns are elements.
struct tensor_slice {
    const struct tensor_info *tensor;
    int64_t row_begin, row_end;       // of dimension 0
    int64_t column_begin, column_end; // of dimension 1; 0, 1 for 1-D
};
// Reads a slice into `out`, packed rows [(row_end-row_begin), (column_end-column_begin)] of the tensor's type.
// Full-width slices are one pread() range; narrower ones are read row by row or, where the gaps are small, through
// one larger read. `*bytes_read` (may be NULL) grows by the bytes that came from the file. Safe to call from several
// threads: several requests are in flight that way.
enum status checkpoint_read(const struct checkpoint *checkpoint, const struct tensor_slice *slice, void *out,
                            uint64_t *bytes_read) STATUS_MUST_USE;

#endif
