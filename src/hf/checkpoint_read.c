// Reading rectangles of tensors: where they lie in the page cache, or as a copy.
//
// A row-parallel shard is a narrow column of a wide matrix. A copy is read piece by piece, one
// pread() a row, never through a larger read that would throw most of its bytes away: a call costs
// about as much as copying 4 KB, and a rank's bytes are then exactly its own. Where the gaps are
// small the disk would see many short reads; a hint over the whole range ahead of them makes it one
// long one, which the ranks of a machine share in the page cache.
//
// Of weights that stay at the hub a row's piece is too little for a request: many are asked for at
// once, and of a hub that does not give several ranges they come with the gaps between them, unless
// these are large. Ranks of one machine avoid both by sharing rows (model/shared_rows.h).
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "hf/checkpoint.h"

enum {
    GAP_MAX = 128 << 10, // a larger gap is skipped by the hint, too: the disk seeks over it anyway
    AHEAD_BYTES = 8 << 20, // how far the hints run before the reads
    VIEW_MAX = 16 << 20,   // mapped pages count as this rank's memory
    // Of the hub: what a request costs, in bytes that the link carries meanwhile; and the most that
    // is fetched at once with gaps
    REMOTE_GAP_MAX = 256 << 10,
    // what a range costs among several is some 150 bytes
    REMOTE_PIECE_MIN = 256,
    SPAN_MAX = 8 << 20,
};

// Where a slice lies in its file: `rows` pieces of `piece` bytes, `stride` bytes apart.
struct pieces {
    uint64_t offset, piece, stride;
    int64_t rows;
};

int64_t tensor_rows(const struct tensor_info *tensor)
{
    return tensor->n_dimensions ? tensor->shape[0] : 1;
}

int64_t tensor_columns(const struct tensor_info *tensor)
{
    int64_t columns = 1; // fits: the header's check multiplied all sizes
    for (int i = 1; i < tensor->n_dimensions; i++)
        columns *= tensor->shape[i];
    return columns;
}

struct tensor_slice tensor_whole(const struct tensor_info *tensor)
{
    return (struct tensor_slice){tensor, 0, tensor_rows(tensor), 0, tensor_columns(tensor)};
}

static struct pieces pieces_of(const struct tensor_slice *slice)
{
    const struct tensor_info *tensor = slice->tensor;
    int64_t columns = tensor_columns(tensor);
    assert(0 <= slice->row_begin && slice->row_begin <= slice->row_end &&
           slice->row_end <= tensor_rows(tensor));
    assert(0 <= slice->column_begin && slice->column_begin <= slice->column_end &&
           slice->column_end <= columns);
    uint64_t item = element_bytes(tensor->type), stride = (uint64_t)columns * item;
    struct pieces pieces = {
        .offset = tensor->offset + (uint64_t)slice->row_begin * stride +
                  (uint64_t)slice->column_begin * item,
        .piece = (uint64_t)(slice->column_end - slice->column_begin) * item,
        .stride = stride,
        .rows = slice->row_end - slice->row_begin,
    };
    if (pieces.piece == 0 || pieces.rows == 0)
        pieces.rows = 0;
    else if (pieces.piece == stride) // full width: one range
        pieces = (struct pieces){pieces.offset, stride * (uint64_t)pieces.rows,
                                 stride * (uint64_t)pieces.rows, 1};
    return pieces;
}

// A hint for rows `from` to `to`.
static void hint(int fd, const struct pieces *pieces, int64_t from, int64_t to)
{
    uint64_t begin = pieces->offset + (uint64_t)from * pieces->stride;
    if (from >= to)
        return;
    if (pieces->stride - pieces->piece <= GAP_MAX) {
        uint64_t bytes = (uint64_t)(to - from - 1) * pieces->stride + pieces->piece;
        posix_fadvise(fd, (off_t)begin, (off_t)bytes, POSIX_FADV_WILLNEED);
        return;
    }
    for (int64_t row = from; row < to; row++, begin += pieces->stride)
        posix_fadvise(fd, (off_t)begin, (off_t)pieces->piece, POSIX_FADV_WILLNEED);
}

static enum status read_here(const struct checkpoint *checkpoint, int file,
                             const struct pieces *pieces, char *next)
{
    int fd = checkpoint->fds[file];
    int64_t window = pieces->stride ? (int64_t)(AHEAD_BYTES / pieces->stride) + 1 : 1, hinted = 0;
    for (int64_t row = 0; row < pieces->rows; row++) {
        if (pieces->rows > 1 && hinted < pieces->rows && row + window / 2 >= hinted) {
            int64_t to = hinted + window < pieces->rows ? hinted + window : pieces->rows;
            hint(fd, pieces, hinted, to);
            hinted = to;
        }
        TRY(safetensors_pread(fd, checkpoint->files[file],
                              pieces->offset + (uint64_t)row * pieces->stride, next,
                              (size_t)pieces->piece));
        next += pieces->piece;
    }
    return OK;
}

static enum status read_remote(const struct checkpoint *checkpoint, int file, uint64_t offset,
                               void *out, uint64_t bytes)
{
    if (!checkpoint->source)
        return fail(ERR_INPUT,
                    "%s: only its header is here, the weights stay at the hub: only ranks read "
                    "them from there; `colrow pull %s@%s` fetches them for everybody",
                    checkpoint->files[file], checkpoint->remote->id, checkpoint->remote->commit);
    return checkpoint->sources->read(checkpoint->source, checkpoint->remote_files[file], offset,
                                     out, (size_t)bytes);
}

// Some rows with the gaps between them, of which `rows` fit.
static enum status read_span(const struct checkpoint *checkpoint, int file,
                             const struct pieces *pieces, int64_t rows, char *next)
{
    char *span;
    TRY(memory_new((size_t)rows, (size_t)pieces->stride, "rows from the hub", &span));
    enum status status = OK;
    for (int64_t row = 0, n; row < pieces->rows && status == OK; row += n) {
        n = pieces->rows - row < rows ? pieces->rows - row : rows;
        uint64_t bytes = (uint64_t)(n - 1) * pieces->stride + pieces->piece;
        status = read_remote(checkpoint, file, pieces->offset + (uint64_t)row * pieces->stride,
                             span, bytes);
        for (int64_t i = 0; i < n && status == OK; i++, next += pieces->piece)
            memcpy(next, span + (uint64_t)i * pieces->stride, (size_t)pieces->piece);
    }
    free(span);
    return status;
}

static enum status read_from_hub(const struct checkpoint *checkpoint, int file,
                                 const struct pieces *pieces, char *next)
{
    uint64_t gap = pieces->stride - pieces->piece;
    bool done = false;
    if (pieces->rows > 1 && pieces->piece >= REMOTE_PIECE_MIN && checkpoint->source)
        TRY(checkpoint->sources->read_pieces(checkpoint->source, checkpoint->remote_files[file],
                                             pieces->offset, pieces->stride, (size_t)pieces->rows,
                                             next, (size_t)pieces->piece, &done));
    if (done)
        return OK;
    if (pieces->rows > 1 && gap <= REMOTE_GAP_MAX) {
        uint64_t rows = SPAN_MAX / pieces->stride;
        if (rows > (uint64_t)pieces->rows)
            rows = (uint64_t)pieces->rows;
        if (rows > 1)
            return read_span(checkpoint, file, pieces, (int64_t)rows, next);
    }
    for (int64_t row = 0; row < pieces->rows; row++, next += pieces->piece)
        TRY(read_remote(checkpoint, file, pieces->offset + (uint64_t)row * pieces->stride, next,
                        pieces->piece));
    return OK;
}

enum status checkpoint_read(const struct checkpoint *checkpoint, const struct tensor_slice *slice,
                            void *out, uint64_t *bytes_read)
{
    struct pieces pieces = pieces_of(slice);
    int file = slice->tensor->file;
    assert(out || pieces.rows == 0);
    enum status status = checkpoint->remote ? read_from_hub(checkpoint, file, &pieces, out)
                                            : read_here(checkpoint, file, &pieces, out);
    if (status != OK)
        return fail_in(status, "tensor \"%.200s\"", slice->tensor->name);
    if (bytes_read)
        *bytes_read += (uint64_t)pieces.rows * pieces.piece;
    return OK;
}

bool checkpoint_is_cached(const struct checkpoint *checkpoint, const struct tensor_slice *slice)
{
    char byte;
    if (checkpoint->remote)
        return false;
    struct iovec one = {&byte, 1};
    off_t offset = (off_t)pieces_of(slice).offset;
    ssize_t n = preadv2(checkpoint->fds[slice->tensor->file], &one, 1, offset, RWF_NOWAIT);
    return n >= 0 || errno != EAGAIN; // not every file system can say
}

bool checkpoint_view_open(const struct checkpoint *checkpoint, const struct tensor_slice *slice,
                          struct checkpoint_view *out)
{
    struct pieces pieces = pieces_of(slice);
    uint64_t item = element_bytes(slice->tensor->type);
    if (checkpoint->remote || pieces.rows == 0 ||
        pieces.offset % item != 0) // the format aligns nothing
        return false;
    uint64_t gaps = (uint64_t)(pieces.rows - 1) * pieces.stride;
    if (gaps > VIEW_MAX || pieces.piece > VIEW_MAX - gaps)
        return false;
    if (!file_window_open(checkpoint->fds[slice->tensor->file], pieces.offset,
                          (size_t)(gaps + pieces.piece), &out->window))
        return false;
    out->data = out->window.data;
    out->stride = (size_t)tensor_columns(slice->tensor);
    return true;
}

bool checkpoint_view_close(struct checkpoint_view *view)
{
    return file_window_close(&view->window);
}
