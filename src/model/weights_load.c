// Loading: threads take chunks of the weights one after the other. Each packs its chunk straight
// from the page cache; what is not there yet, or cannot be mapped, it reads into a buffer of its
// own and packs it from there. With more threads than CPUs some wait for the disk while others
// pack, so that requests are always in flight, without a queue between readers and packers.
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "device/device.h"
#include "model/weights.h"

enum {
    CHUNK_BYTES = 512 << 10, // large for a disk; stays in L2 between reading and packing
    LOADERS_MIN = 4,         // requests in flight at least
    COLUMN_UNIT = 2,
};

// What a loader does next: a part of a piece. Rows and columns count from the piece's first.
struct chunk {
    const struct weight_piece *piece;
    int64_t row, n_rows, column, n_columns;
};

struct loader {
    const struct weights_loading *loading;
    const struct weights_layout *layout;
    char *buffers; // [n_loaders][CHUNK_BYTES]
    int helpers;   // threads that each team thread starts

    pthread_mutex_t lock; // guards all below but the counters
    int piece;
    int64_t row, column; // of the next chunk
    enum status status;  // the first failure
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

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// Whole panels as far as possible: a panel that two threads fill at once goes back and forth
// between their caches. Where not even one panel's rows fit, columns are cut as well.
static void measure_chunk(const struct weight_piece *p, int64_t row, int64_t column,
                          struct chunk *out)
{
    int64_t element = (int64_t)element_bytes(p->slice.tensor->type), columns = columns_of(p),
            rows = rows_of(p);
    int64_t fitting = CHUNK_BYTES / (columns * element);
    *out = (struct chunk){.piece = p, .row = row, .column = column, .n_columns = columns};
    if (!p->panels.data) {
        out->n_rows = least(fitting, rows - row);
        return;
    }
    if (fitting < PANEL_WIDTH) {
        int64_t most = CHUNK_BYTES / (PANEL_WIDTH * element) / COLUMN_UNIT * COLUMN_UNIT;
        out->n_columns = least(most, columns - column);
        fitting = PANEL_WIDTH;
    }
    int64_t begin = p->row + row, end = (begin + fitting) / PANEL_WIDTH * PANEL_WIDTH;
    out->n_rows = least(end - begin, rows - row);
    assert(out->n_rows > 0 && out->n_columns > 0);
}

static bool take_chunk(struct loader *l, struct chunk *out)
{
    pthread_mutex_lock(&l->lock);
    bool more = l->status == OK && l->piece < l->layout->n_pieces;
    if (more) {
        const struct weight_piece *p = &l->layout->pieces[l->piece];
        measure_chunk(p, l->row, l->column, out);
        l->column += out->n_columns;
        if (l->column == columns_of(p)) {
            l->column = 0;
            l->row += out->n_rows;
        }
        if (l->row == rows_of(p)) {
            l->row = 0;
            l->piece++;
        }
    }
    pthread_mutex_unlock(&l->lock);
    return more;
}

static void widen(const void *source, enum element_type type, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = type == ELEMENT_BF16  ? float_of_bf16(((const bf16 *)source)[i])
                 : type == ELEMENT_F16 ? float_of_f16(((const f16 *)source)[i])
                                       : ((const float *)source)[i];
}

static enum source_type source_of(enum element_type type)
{
    return type == ELEMENT_BF16 ? SOURCE_BF16 : type == ELEMENT_F16 ? SOURCE_F16 : SOURCE_F32;
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

static void pack_chunk(const struct loader *l, const struct chunk *c, const void *source,
                       size_t stride)
{
    const struct weight_piece *p = c->piece;
    enum element_type type = p->slice.tensor->type;
    if (p->panels.data)
        l->loading->kernels->pack(&p->panels, p->row + (int32_t)c->row, (int32_t)c->n_rows,
                                  (int32_t)c->column, (int32_t)c->n_columns, source,
                                  source_of(type), stride);
    else
        widen(source, type, c->n_rows, p->vector + c->row);
}

// A view that fails may have packed anything; what is then read replaces it, or says what is wrong.
static enum status load_chunk(struct loader *l, const struct chunk *c, void *buffer)
{
    const struct checkpoint *checkpoint = l->loading->checkpoint;
    struct tensor_slice slice = slice_of(c);
    struct checkpoint_view view;
    bool packed = checkpoint_view_open(checkpoint, &slice, &view);
    if (packed) {
        pack_chunk(l, c, view.data, view.stride);
        packed = checkpoint_view_close(&view);
    }
    if (!packed) {
        TRY(checkpoint_read(checkpoint, &slice, buffer, NULL));
        pack_chunk(l, c, buffer, (size_t)c->n_columns);
    }
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
    void *buffer = l->buffers + (size_t)atomic_fetch_add(&l->next_buffer, 1) * CHUNK_BYTES;
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
    pthread_t helpers[LOADERS_MIN];
    int started = 0;
    // A thread that does not start is missed by nobody: the others take its chunks.
    while (started < l->helpers && pthread_create(&helpers[started], NULL, helper_main, l) == 0)
        started++;
    load_until_done(l, thread == 0);
    for (int i = 0; i < started; i++)
        pthread_join(helpers[i], NULL);
}

enum status weights_load(const struct weights_loading *loading, const struct weights_layout *layout,
                         uint64_t *bytes_read)
{
    int threads = team_size(loading->team);
    struct loader l = {.loading = loading, .layout = layout};
    l.helpers = threads >= LOADERS_MIN ? 1 : (LOADERS_MIN + threads - 1) / threads - 1;
    size_t buffer_bytes = (size_t)threads * (size_t)(1 + l.helpers) * CHUNK_BYTES;
    TRY(device_memory_new(buffer_bytes, "buffers for loading", (void **)&l.buffers));
    pthread_mutex_init(&l.lock, NULL);
    file_window_guard_begin();
    team_run(loading->team, load_work, &l);
    file_window_guard_end();
    pthread_mutex_destroy(&l.lock);
    device_memory_free(l.buffers, buffer_bytes);
    *bytes_read = atomic_load(&l.bytes_read);
    if (l.status != OK)
        return fail(l.status, "%s", l.message);
    if (loading->progress)
        loading->progress(loading->progress_context, *bytes_read);
    return OK;
}
