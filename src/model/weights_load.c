// Loading: threads take chunks of the weights one after the other, map each and pack it part by
// part straight from the page cache; a part that is not there yet, or a file that cannot be mapped,
// is read into a buffer of the thread's own and packed from there. With more threads than CPUs some
// wait for the disk while others pack, so that requests are always in flight, without a queue
// between readers and packers.
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "device/device.h"
#include "model/weights_quantise.h"
#include "model/weights_unpack.h"

enum {
    PART_BYTES = 512 << 10, // large for a disk; stays in L2 between reading and packing
    // Unmapping interrupts all CPUs that the rank's threads run on: seldom. Mapped pages count as
    // the rank's memory: all chunks together take at most a 64th of what is loaded.
    CHUNK_BYTES_MAX = 8 << 20,
    CHUNKS_SHARE = 64,
    // Once the disk is needed, chunks of a part's size are read in order, which the system fetches
    // ahead of; after so many, more than it fetches ahead, the page cache is asked again.
    READ_CHUNKS = 64,
    LOADERS_MIN = 4, // requests in flight at least
    // Of the hub, requests are larger, and there are more of them at once
    REMOTE_LOADERS_MIN = 8,
    REMOTE_PART_BYTES = 2 << 20,
    COLUMN_UNIT = 2,
};

// What a loader does next, a part of a piece, and the parts of that. Rows and columns count from
// the piece's first.
struct chunk {
    const struct weight_piece *piece;
    int64_t row, n_rows, column, n_columns;
    bool mapped, shared, ours; // ours: to fetch, if it is shared
    uint32_t block;            // if it is shared
};

struct loader {
    const struct weights_loading *loading;
    const struct weights_layout *layout;
    struct shared_rows *shared; // NULL: none
    char *buffers;              // [n_loaders][buffer_bytes]
    size_t buffer_bytes;        // part_bytes, or what a tile of codes needs
    int helpers;                // threads that each team thread starts
    int64_t part_bytes, chunk_bytes;

    pthread_mutex_t lock; // guards all below but the counters
    int piece;
    int64_t row;        // of the next chunk; of a transposed matrix of codes its column
    int to_read;        // chunks, before the page cache is asked again
    uint32_t block;     // the next that is shared
    enum status status; // the first failure
    char message[STATUS_MESSAGE_MAX];
    atomic_int next_buffer;
    _Atomic uint64_t bytes_read;
};

static int64_t rows_of(const struct weight_piece *p)
{
    return p->slice.row_end - p->slice.row_begin;
}

static int64_t columns_of(const struct weight_piece *p)
{
    return p->slice.column_end - p->slice.column_begin;
}

static int64_t least_chunk(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most_chunk(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

// Up to the row where `rows` more end, or the last panel that they fill.
static int64_t round_rows(const struct weight_piece *p, int64_t row, int64_t rows)
{
    if (!piece_is_plain(p))
        return most_chunk(rows / piece_row_unit(p), 1) * piece_row_unit(p);
    if (!p->panels.data)
        return rows;
    int64_t begin = p->row + row;
    return (begin + rows) / PANEL_WIDTH * PANEL_WIDTH - begin;
}

// Codes of a transposed matrix are read, and so cut, by columns.
static bool is_cut_by_columns(const struct weight_piece *p)
{
    return p->stored && p->stored->turned;
}

static struct tensor_slice slice_of(const struct chunk *c)
{
    struct tensor_slice slice = c->piece->slice;
    slice.row_begin += c->row;
    slice.row_end = slice.row_begin + c->n_rows;
    slice.column_begin += c->column;
    slice.column_end = slice.column_begin + c->n_columns;
    return slice;
}

// Does the rank need a part of several rows each, which are short enough to be shared?
static bool shares_rows(const struct weight_piece *p)
{
    int64_t rows = shared_rows_fitting(p->slice.tensor);
    return rows_of(p) > 1 && columns_of(p) < tensor_columns(p->slice.tensor) &&
           rows >= piece_row_unit(p) && rows % piece_row_unit(p) == 0;
}

// For those who wait for other ranks: when one of our own threads has failed, they may wait for
// what it was to fetch. Failures of others end us.
static enum status check_loaders(void *context)
{
    struct loader *l = context;
    pthread_mutex_lock(&l->lock);
    enum status status = l->status;
    pthread_mutex_unlock(&l->lock);
    return status == OK ? OK : fail(status, "loading has failed");
}

// Rows and columns of codes that are unpacked at one time: their numbers stay in L2. Parts of other
// layouts begin at the same multiples, and columns at those of groups of 32, 64 and 128.
enum { TILE_CODES = 128 << 10, TILE_ROWS = 2 * PANEL_WIDTH, TILE_COLUMNS_UNIT = 8 * PANEL_WIDTH };

static void code_tile_size(const struct weight_piece *p, int64_t *rows, int64_t *columns)
{
    const bool turned = is_cut_by_columns(p);
    const int64_t all = turned ? rows_of(p) : columns_of(p),
                  unit = turned ? TILE_COLUMNS_UNIT : TILE_ROWS;
    int64_t side = most_chunk(TILE_CODES / unit / TILE_COLUMNS_UNIT, 1) * TILE_COLUMNS_UNIT;
    side = least_chunk(side, all);
    const int64_t other = most_chunk(TILE_CODES / side / unit, 1) * unit;
    *rows = least_chunk(turned ? side : other, rows_of(p));
    *columns = least_chunk(turned ? other : side, columns_of(p));
}

// The next chunk of codes.
static void measure_codes(const struct weight_piece *p, int64_t at, struct chunk *out)
{
    int64_t rows, columns;
    code_tile_size(p, &rows, &columns);
    *out = (struct chunk){.piece = p, .n_rows = rows_of(p), .n_columns = columns_of(p)};
    if (is_cut_by_columns(p)) {
        out->column = at;
        out->n_columns = least_chunk(columns, columns_of(p) - at);
    } else {
        out->row = at;
        out->n_rows = least_chunk(rows, rows_of(p) - at);
    }
}

// The next chunk. Whole panels: a panel that two threads fill at once goes back and forth between
// their caches.
static void measure_chunk(struct loader *l, struct chunk *out)
{
    const struct weight_piece *p = &l->layout->pieces[l->piece];
    const struct tensor_info *tensor = p->slice.tensor;
    if (p->stored) {
        measure_codes(p, l->row, out);
        return;
    }
    int64_t element = (int64_t)element_bytes(tensor->type), left = rows_of(p) - l->row;
    *out = (struct chunk){.piece = p, .row = l->row, .n_rows = left, .n_columns = columns_of(p)};
    out->shared = l->shared && shares_rows(p);
    if (out->shared) {
        out->n_rows = least_chunk(left, shared_rows_fitting(tensor));
        out->block = l->block++;
        out->ours =
            shared_rows_give(l->shared, (uint64_t)(out->n_rows * tensor_columns(tensor) * element));
        return;
    }
    struct tensor_slice slice = slice_of(out);
    if (l->to_read == 0 && !checkpoint_is_cached(l->loading->checkpoint, &slice))
        l->to_read = READ_CHUNKS;
    out->mapped = l->to_read == 0;
    l->to_read -= !out->mapped;
    int64_t rows = out->mapped ? l->chunk_bytes / (tensor_columns(tensor) * element)
                               : l->part_bytes / (out->n_columns * element);
    out->n_rows = least_chunk(left, round_rows(p, l->row, most_chunk(rows, PANEL_WIDTH)));
    assert(out->n_rows > 0);
}

static bool take_chunk(struct loader *l, struct chunk *out)
{
    pthread_mutex_lock(&l->lock);
    bool more = l->status == OK && l->piece < l->layout->n_pieces;
    if (more) {
        measure_chunk(l, out);
        const bool by_columns = is_cut_by_columns(out->piece);
        l->row += by_columns ? out->n_columns : out->n_rows;
        if (l->row == (by_columns ? columns_of(out->piece) : rows_of(out->piece))) {
            l->row = 0;
            l->piece++;
        }
    }
    pthread_mutex_unlock(&l->lock);
    return more;
}

// Others shall not map what the disk has yet to bring.
static void expect_reading(struct loader *l)
{
    pthread_mutex_lock(&l->lock);
    l->to_read = READ_CHUNKS;
    pthread_mutex_unlock(&l->lock);
}

// The part of a chunk that begins at `row` and `column`, as much as a buffer holds: whole panels as
// far as possible; where not even one panel's rows fit, columns are cut as well.
static void measure_part(const struct loader *l, const struct chunk *c, int64_t row, int64_t column,
                         struct chunk *out)
{
    const struct weight_piece *p = c->piece;
    const int64_t element = (int64_t)element_bytes(p->slice.tensor->type),
                  least = piece_is_plain(p) ? PANEL_WIDTH : piece_row_unit(p),
                  unit = piece_is_quantised(p) ? p->panels.groups.columns
                         : piece_is_plain(p)   ? COLUMN_UNIT
                                               : piece_column_unit(p);
    int64_t fitting = l->part_bytes / (c->n_columns * element);
    *out = (struct chunk){
        .piece = p, .row = row, .column = column, .n_columns = c->n_columns - column};
    if (p->panels.data && fitting < least) {
        int64_t columns = l->part_bytes / (least * element) / unit * unit;
        out->n_columns = least_chunk(columns, out->n_columns);
        fitting = least;
    }
    out->n_rows = least_chunk(round_rows(p, row, fitting), c->row + c->n_rows - row);
    assert(out->n_rows > 0 && out->n_columns > 0);
}

// A column of a matrix, `stride` numbers from one to the next, or a vector.
static void widen_rows(const void *source, enum element_type type, size_t stride, int64_t n,
                       float *out)
{
    for (size_t i = 0; i < (size_t)n; i++)
        out[i] = stored_number(source, type, i * stride);
}

static enum source_type source_of(enum element_type type)
{
    return type == ELEMENT_BF16 ? SOURCE_BF16 : type == ELEMENT_F16 ? SOURCE_F16 : SOURCE_F32;
}

// Columns go in pairs: the last of an odd number (down_proj's, at its end) gets a zero beside it.
static void pack_last_column(const struct loader *l, const struct chunk *part, const void *source,
                             enum source_type type, size_t stride)
{
    const struct weight_piece *p = part->piece;
    const size_t item = type == SOURCE_F32 ? 4 : 2, column = (size_t)part->n_columns - 1;
    for (int64_t row = 0, n; row < part->n_rows; row += n) {
        char pairs[PANEL_WIDTH * sizeof(float[2])] = {0};
        n = least_chunk(part->n_rows - row, PANEL_WIDTH);
        for (int64_t i = 0; i < n; i++)
            memcpy(pairs + (size_t)i * 2 * item,
                   (const char *)source + ((size_t)(row + i) * stride + column) * item, item);
        l->loading->kernels->pack(&p->panels, p->row + (int32_t)(part->row + row), (int32_t)n,
                                  (int32_t)(part->column + (int64_t)column), 2, pairs, type, 2);
    }
}

static void pack_panels(const struct loader *l, const struct chunk *part, const void *source,
                        enum source_type type, size_t stride)
{
    const struct weight_piece *p = part->piece;
    const int64_t whole = part->n_columns / 2 * 2;
    if (whole)
        l->loading->kernels->pack(&p->panels, p->row + (int32_t)part->row, (int32_t)part->n_rows,
                                  (int32_t)part->column, (int32_t)whole, source, type, stride);
    if (part->n_columns > whole)
        pack_last_column(l, part, source, type, stride);
}

// Doubles as floats, which is how PyTorch, too, begins whatever they become. `out` may be where
// they lie.
static void narrow(const struct chunk *part, const double *source, size_t stride, float *out)
{
    for (int64_t row = 0; row < part->n_rows; row++)
        for (int64_t column = 0; column < part->n_columns; column++)
            *out++ = (float)source[(size_t)row * stride + (size_t)column];
}

// `buffer` has room for the part and may be where it lies.
static void pack_part(const struct loader *l, const struct chunk *part, const void *source,
                      size_t stride, void *buffer)
{
    const struct weight_piece *p = part->piece;
    enum element_type type = p->slice.tensor->type;
    assert(piece_is_plain(p));
    if (!p->panels.data) {
        widen_rows(source, type, stride, part->n_rows, p->vector + part->row);
        for (int64_t i = 0; i < part->n_rows && p->added != 0; i++)
            p->vector[part->row + i] += p->added;
        for (int64_t i = 0; i < part->n_rows && p->factor != 0; i++)
            p->vector[part->row + i] *= p->factor;
        return;
    }
    if (type == ELEMENT_F64) {
        narrow(part, source, stride, buffer);
        pack_panels(l, part, buffer, SOURCE_F32, (size_t)part->n_columns);
        return;
    }
    pack_panels(l, part, source, source_of(type), stride);
}

// `buffer` has room for the part and may be where it lies.
static enum status put_part(const struct loader *l, const struct chunk *part, const void *source,
                            size_t stride, void *buffer)
{
    if (piece_is_quantised(part->piece))
        return quantise_part(&(struct stored_part){.piece = part->piece,
                                                   .row = part->row,
                                                   .n_rows = part->n_rows,
                                                   .column = part->column,
                                                   .n_columns = part->n_columns,
                                                   .source = source,
                                                   .type = part->piece->slice.tensor->type,
                                                   .stride = stride});
    if (piece_is_plain(part->piece))
        pack_part(l, part, source, stride, buffer);
    else
        unpack_part(l->loading->kernels,
                    &(struct stored_part){.piece = part->piece,
                                          .row = part->row,
                                          .n_rows = part->n_rows,
                                          .column = part->column,
                                          .n_columns = part->n_columns,
                                          .source = source,
                                          .type = part->piece->slice.tensor->type,
                                          .stride = stride});
    return OK;
}

// ---- codes ----

static size_t tile_numbers_bytes(const struct weight_piece *p, int64_t rows, int64_t columns)
{
    return round_up((size_t)(rows * columns) * element_bytes(p->slice.tensor->type), 64);
}

// What a loader needs for the largest tile.
static size_t measure_buffer(const struct weights_layout *layout, size_t least)
{
    size_t most = least;
    for (int i = 0; i < layout->n_pieces; i++) {
        const struct weight_piece *p = &layout->pieces[i];
        int64_t rows, columns;
        if (!p->stored)
            continue;
        code_tile_size(p, &rows, &columns);
        const size_t bytes =
            tile_numbers_bytes(p, rows, columns) + code_tile_bytes(p->stored, rows, columns);
        most = bytes > most ? bytes : most;
    }
    return round_up(most, 64);
}

static enum status load_tile(struct loader *l, const struct chunk *part, char *buffer)
{
    const struct weight_piece *p = part->piece;
    struct code_tile tile;
    TRY(code_tile_read(l->loading->checkpoint, p->stored, p->slice.row_begin + part->row,
                       part->n_rows, p->slice.column_begin + part->column, part->n_columns,
                       buffer + tile_numbers_bytes(p, part->n_rows, part->n_columns), &tile));
    code_tile_numbers(&tile, buffer, (size_t)part->n_columns);
    return put_part(l, part, buffer, (size_t)part->n_columns, NULL);
}

static enum status load_codes(struct loader *l, const struct chunk *c, char *buffer)
{
    const struct weight_piece *p = c->piece;
    int64_t rows, columns;
    code_tile_size(p, &rows, &columns);
    for (int64_t row = 0; row < c->n_rows; row += rows)
        for (int64_t column = 0; column < c->n_columns; column += columns) {
            const struct chunk part = {.piece = p,
                                       .row = c->row + row,
                                       .n_rows = least_chunk(rows, c->n_rows - row),
                                       .column = c->column + column,
                                       .n_columns = least_chunk(columns, c->n_columns - column)};
            TRY(load_tile(l, &part, buffer));
        }
    // a piece's bytes count once, whatever its chunks share
    const struct tensor_slice *s = &p->slice;
    if (c->row + c->n_rows == rows_of(p) && c->column + c->n_columns == columns_of(p))
        atomic_fetch_add_explicit(&l->bytes_read,
                                  stored_weight_bytes(p->stored, s->row_begin, s->row_end,
                                                      s->column_begin, s->column_end),
                                  memory_order_relaxed);
    return OK;
}

// ---- numbers ----

// `view` of the chunk, or NULL.
static enum status load_part(struct loader *l, const struct chunk *c, const struct chunk *part,
                             const struct checkpoint_view *view, void *buffer)
{
    const struct checkpoint *checkpoint = l->loading->checkpoint;
    struct tensor_slice slice = slice_of(part);
    if (view && (c->shared || checkpoint_is_cached(checkpoint, &slice))) {
        size_t at = (size_t)(part->row - c->row) * view->stride + (size_t)part->column;
        const char *source = view->data;
        return put_part(l, part, source + at * element_bytes(slice.tensor->type), view->stride,
                        buffer);
    }
    if (view)
        expect_reading(l);
    TRY(checkpoint_read(checkpoint, &slice, buffer, NULL));
    return put_part(l, part, buffer, (size_t)part->n_columns, buffer);
}

static enum status load_parts(struct loader *l, const struct chunk *c,
                              const struct checkpoint_view *view, void *buffer)
{
    struct chunk part = {0};
    assert(c->n_columns > 0);
    for (int64_t row = c->row; row < c->row + c->n_rows; row += part.n_rows)
        for (int64_t column = 0; column < c->n_columns; column += part.n_columns) {
            measure_part(l, c, row, column, &part);
            TRY(load_part(l, c, &part, view, buffer));
        }
    return OK;
}

// A block of whole rows, which one of the ranks fetches for all.
static enum status load_shared(struct loader *l, const struct chunk *c, void *buffer)
{
    struct tensor_slice slice = slice_of(c), rows = slice;
    const size_t item = element_bytes(slice.tensor->type);
    const char *place;
    char *own;
    rows.column_begin = 0;
    rows.column_end = tensor_columns(slice.tensor);
    if (c->ours) {
        TRY(shared_rows_begin(l->shared, c->block, &own));
        TRY(checkpoint_read(l->loading->checkpoint, &rows, own, NULL));
        shared_rows_filled(l->shared, c->block);
    }
    TRY(shared_rows_await(l->shared, c->block, &place));
    const struct checkpoint_view view = {.data = place + (size_t)slice.column_begin * item,
                                         .stride = (size_t)rows.column_end};
    TRY(load_parts(l, c, &view, buffer));
    shared_rows_taken(l->shared, c->block);
    return OK;
}

// A view that fails may have shown anything; what is then read replaces it, or says what is wrong.
static enum status load_own(struct loader *l, const struct chunk *c, void *buffer)
{
    struct tensor_slice slice = slice_of(c);
    struct checkpoint_view view;
    if (c->piece->stored)
        return load_codes(l, c, buffer);
    if (c->shared)
        return load_shared(l, c, buffer);
    bool viewed = c->mapped && checkpoint_view_open(l->loading->checkpoint, &slice, &view);
    enum status status = load_parts(l, c, viewed ? &view : NULL, buffer);
    if (viewed && !checkpoint_view_close(&view) && status == OK)
        status = load_parts(l, c, NULL, buffer);
    return status;
}

static enum status load_chunk(struct loader *l, const struct chunk *c, void *buffer)
{
    struct tensor_slice slice = slice_of(c);
    TRY(load_own(l, c, buffer));
    if (c->piece->stored) // counted there
        return OK;
    uint64_t bytes = (uint64_t)(c->n_rows * c->n_columns) * element_bytes(slice.tensor->type);
    // Relaxed: a count for people, and the total is read after the threads were joined.
    atomic_fetch_add_explicit(&l->bytes_read, bytes, memory_order_relaxed);
    return OK;
}

static void keep_failure(struct loader *l, enum status status)
{
    pthread_mutex_lock(&l->lock);
    if (l->status == OK) {
        l->status = status;
        snprintf(l->message, sizeof l->message, "%s",
                 status_message()); // it belongs to this thread
    }
    pthread_mutex_unlock(&l->lock);
}

static void load_until_done(struct loader *l, bool is_caller)
{
    const struct weights_loading *loading = l->loading;
    size_t number = (size_t)atomic_fetch_add(&l->next_buffer, 1);
    void *buffer = l->buffers + number * l->buffer_bytes;
    struct chunk chunk;
    while (take_chunk(l, &chunk)) {
        enum status status = load_chunk(l, &chunk, buffer);
        if (status != OK)
            keep_failure(l, status);
        if (is_caller && loading->progress)
            loading->progress(loading->progress_context,
                              atomic_load_explicit(&l->bytes_read, memory_order_relaxed));
    }
}

static void *helper_main(void *context)
{
    number_mode_set();
    load_until_done(context, false);
    return NULL;
}

// A team thread's part. Its helpers inherit its CPU, so that memory is first touched there.
static void load_work(void *context, int thread, int n_threads)
{
    (void)n_threads;
    struct loader *l = context;
    pthread_t helpers[REMOTE_LOADERS_MIN];
    int started = 0;
    // A thread that does not start is missed by nobody: the others take its chunks.
    while (started < l->helpers && pthread_create(&helpers[started], NULL, helper_main, l) == 0)
        started++;
    load_until_done(l, thread == 0);
    for (int i = 0; i < started; i++)
        pthread_join(helpers[i], NULL);
}

// Whether all ranks that load now have the same blocks to share.
static enum status agree_to_share(struct loader *l)
{
    struct shared_rows *shared = l->loading->shared;
    uint64_t sum = 14695981039346656037u;
    bool agreed;
    if (!shared)
        return OK;
    shared->check = check_loaders;
    shared->context = l;
    for (int i = 0; i < l->layout->n_pieces; i++) {
        const struct tensor_slice *slice = &l->layout->pieces[i].slice;
        if (!shares_rows(&l->layout->pieces[i]))
            continue;
        const uint64_t words[] = {(uint64_t)slice->tensor->file, slice->tensor->offset,
                                  (uint64_t)slice->row_begin, (uint64_t)slice->row_end};
        for (size_t w = 0; w < sizeof words / sizeof words[0]; w++)
            sum = (sum ^ words[w]) * 1099511628211u;
    }
    TRY(shared_rows_agree(shared, sum, &agreed));
    l->shared = agreed ? shared : NULL;
    return OK;
}

static void run_loaders(struct loader *l)
{
    file_window_guard_begin();
    team_run(l->loading->team, load_work, l);
    file_window_guard_end();
    if (l->shared && l->status == OK)
        shared_rows_leave(l->shared);
}

enum status weights_load(const struct weights_loading *loading, const struct weights_layout *layout,
                         uint64_t *bytes_read)
{
    int threads = team_size(loading->team);
    bool remote = loading->checkpoint->remote != NULL;
    struct loader l = {.loading = loading, .layout = layout};
    int least = remote ? REMOTE_LOADERS_MIN : LOADERS_MIN;
    l.helpers = threads >= least ? 1 : (least + threads - 1) / threads - 1;
    l.part_bytes = remote ? REMOTE_PART_BYTES : PART_BYTES;
    int loaders = threads * (1 + l.helpers);
    l.chunk_bytes =
        least_chunk((int64_t)(layout->file_bytes / CHUNKS_SHARE) / loaders, CHUNK_BYTES_MAX);
    l.buffer_bytes = measure_buffer(layout, (size_t)l.part_bytes);
    size_t buffer_bytes = (size_t)loaders * l.buffer_bytes;
    TRY(device_memory_new(buffer_bytes, "buffers for loading", (void **)&l.buffers));
    pthread_mutex_init(&l.lock, NULL);
    enum status status = agree_to_share(&l);
    if (status == OK)
        run_loaders(&l);
    pthread_mutex_destroy(&l.lock);
    device_memory_free(l.buffers, buffer_bytes);
    *bytes_read = atomic_load(&l.bytes_read);
    TRY(status);
    if (l.status != OK)
        return fail(l.status, "%s", l.message);
    if (loading->progress)
        loading->progress(loading->progress_context, *bytes_read);
    return OK;
}
