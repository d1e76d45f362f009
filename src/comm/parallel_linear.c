// colrow/parallel.h: regions along the last dimension, and the two parallel linear layers.
#include <fenv.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "colrow/parallel.h"
#include "comm/parallel_state.h"

static struct parallel_state *const state = &parallel_state;

// ---- regions

static void copy_columns(float *to, size_t to_stride, const float *from, size_t from_stride,
                         size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows && columns; r++)
        memcpy(to + r * to_stride, from + r * from_stride, columns * sizeof *to);
}

// Parts [rows][columns[r]] of all ranks, one after the other, become [rows][sum of columns].
static enum status gather(const float *local, size_t rows, const size_t *columns, float *out)
{
    int size = comm_size(state->tensor), rank = comm_rank(state->tensor);
    size_t bytes[COMM_RANKS_MAX], total = 0, all_bytes;
    bool fits = true;
    for (int r = 0; r < size; r++) {
        fits = fits && checked_mul3(rows, columns[r], sizeof *out, &bytes[r]);
        fits = fits && checked_add(total, columns[r], &total);
    }
    if (!fits || !checked_mul3(rows, total, sizeof *out, &all_bytes))
        return fail(ERR_INPUT, "a tensor of %zu rows does not fit into memory", rows);
    if (rows <= 1) // nothing to rearrange
        return comm_all_gather(state->tensor, local, bytes[rank], bytes, out);
    float *parts;
    TRY(memory_new(all_bytes / sizeof *out, sizeof *out, "the parts of a tensor", &parts));
    enum status status = comm_all_gather(state->tensor, local, bytes[rank], bytes, parts);
    const float *part = parts;
    for (size_t begin = 0, r = 0; status == OK && r < (size_t)size; r++) {
        copy_columns(out + begin, total, part, columns[r], rows, columns[r]);
        part += rows * columns[r];
        begin += columns[r];
    }
    free(parts);
    return status;
}

static enum status gather_region(const float *local, size_t rows, size_t local_columns, float *out)
{
    TRY(parallel_ready());
    size_t columns[COMM_RANKS_MAX] = {0};
    TRY(comm_all_gather(state->tensor, &local_columns, sizeof local_columns, NULL, columns));
    return gather(local, rows, columns, out);
}

int colrow_gather_from_tensor_region(const float *local, size_t rows, size_t local_columns,
                                     float *out)
{
    return parallel_result(gather_region(local, rows, local_columns, out));
}

int colrow_scatter_to_tensor_region(const float *full, size_t rows, size_t columns, float *local)
{
    enum status status = parallel_ready();
    size_t begin, end;
    colrow_tensor_part(columns, &begin, &end);
    if (status == OK)
        copy_columns(local, end - begin, full + begin, columns, rows, end - begin);
    return parallel_result(status);
}

// ---- products

// y [rows][out_stride], columns [0, n) = x [rows][x_stride] W^T with W [n][k].
struct product {
    const float *x, *weight, *bias; // bias [n] or NULL
    size_t rows, n, k, x_stride;
    float *y;
    size_t y_stride;
    // made here
    float *even_x; // x with a column of zeros: panels have an even k
    void *panel;   // one panel of packed weights
    size_t even_k;
};

static enum status check_product(const struct product *p)
{
    size_t bytes;
    if (p->n > INT32_MAX / 2 || p->k > INT32_MAX / 2 || p->rows > INT32_MAX / 2 ||
        !checked_mul3(p->n, p->k, sizeof(float), &bytes) ||
        !checked_mul3(p->rows, p->y_stride, sizeof(float), &bytes))
        return fail(ERR_INPUT, "a product of [%zu][%zu] with [%zu][%zu] is too large", p->rows,
                    p->k, p->n, p->k);
    return OK;
}

// Packs rows [row, row + n_rows) of the weight into the panel.
static void pack_panel(const struct product *p, size_t row, size_t n_rows, struct panels *w)
{
    panels_init(w, PANELS_F32, (int32_t)n_rows, (int32_t)p->even_k, p->panel);
    const float *from = p->weight + row * p->k;
    size_t whole = p->k / 2 * 2;
    state->kernels->pack(w, 0, (int32_t)n_rows, 0, (int32_t)whole, from, SOURCE_F32, p->k);
    if (p->k == whole)
        return;
    float last[PANEL_WIDTH][2];
    for (size_t i = 0; i < n_rows; i++) {
        last[i][0] = from[i * p->k + whole];
        last[i][1] = 0;
    }
    state->kernels->pack(w, 0, (int32_t)n_rows, (int32_t)whole, 2, last, SOURCE_F32, 2);
}

static void multiply_part(const struct product *p)
{
    const struct leaf_plan leaves = leaf_plan_whole((int32_t)p->even_k);
    for (size_t row = 0; row < p->n; row += PANEL_WIDTH) {
        size_t n_rows = p->n - row < PANEL_WIDTH ? p->n - row : PANEL_WIDTH;
        struct panels w;
        pack_panel(p, row, n_rows, &w);
        const struct matmul args = {
            .w = &w,
            .leaves = &leaves,
            .panel_end = w.n_panels,
            .m = (int)p->rows,
            .a = p->even_x ? p->even_x : p->x,
            .a_stride = p->even_x ? p->even_k : p->x_stride,
            .out = p->y + row,
            .out_stride = p->y_stride,
            .bias = p->bias ? p->bias + row : NULL,
            .scratch = state->scratch,
        };
        state->kernels->matmul(&args);
    }
}

static void fill_with_bias(const struct product *p)
{
    for (size_t r = 0; r < p->rows; r++)
        for (size_t i = 0; i < p->n; i++)
            p->y[r * p->y_stride + i] = p->bias ? p->bias[i] : 0;
}

static enum status run_product(struct product *p)
{
    TRY(check_product(p));
    if (p->k == 0)
        fill_with_bias(p);
    if (p->k == 0 || p->rows == 0 || p->n == 0)
        return OK;
    enum status status = OK;
    p->even_k = round_up(p->k, 2);
    size_t panel_bytes = PANEL_WIDTH * p->even_k * sizeof(float);
    p->panel = aligned_alloc(64, round_up(panel_bytes, 64));
    if (!p->panel)
        return fail_memory(panel_bytes, "a panel of weights");
    if (p->k % 2)
        TRY_DONE(memory_new(p->rows * p->even_k, sizeof(float), "a product's input", &p->even_x));
    if (p->even_x)
        copy_columns(p->even_x, p->even_k, p->x, p->x_stride, p->rows, p->k);
    multiply_part(p);
done:
    free(p->even_x);
    free(p->panel);
    return status;
}

static enum status column_linear(const struct colrow_linear *linear, const float *x, size_t rows,
                                 float *y)
{
    TRY(parallel_ready());
    size_t begin, end, columns[COMM_RANKS_MAX] = {0};
    colrow_tensor_part(linear->out_features, &begin, &end);
    struct product p = {
        .x = x,
        .weight = linear->weight,
        .bias = linear->skip_bias_add ? NULL : linear->bias,
        .rows = rows,
        .n = end - begin,
        .k = linear->in_features,
        .x_stride = linear->in_features,
        .y = y,
        .y_stride = end - begin,
    };
    int size = comm_size(state->tensor);
    if (!linear->gather_output || size == 1)
        return run_product(&p);
    TRY(check_product(&p));
    TRY(memory_new(rows * p.n, sizeof *y, "a product's part", &p.y));
    enum status status = run_product(&p);
    for (size_t r = 0; r < (size_t)size; r++) {
        size_t n = linear->out_features, s = (size_t)size; // as in colrow_tensor_part()
        columns[r] = n / s + n % s * (r + 1) / s - n % s * r / s;
    }
    if (status == OK)
        status = gather(p.y, rows, columns, y);
    free(p.y);
    return status;
}

static enum status row_linear(const struct colrow_linear *linear, const float *x, size_t rows,
                              float *y)
{
    TRY(parallel_ready());
    size_t begin, end, n = linear->out_features;
    colrow_tensor_part(linear->in_features, &begin, &end);
    struct product p = {
        .x = linear->input_is_parallel ? x : x + begin,
        .weight = linear->weight,
        .rows = rows,
        .n = n,
        .k = end - begin,
        .x_stride = linear->input_is_parallel ? end - begin : linear->in_features,
        .y = y,
        .y_stride = n,
    };
    TRY(run_product(&p));
    TRY(comm_all_reduce(state->tensor, NULL, y, y, rows * n));
    if (linear->bias && !linear->skip_bias_add)
        for (size_t r = 0; r < rows; r++)
            state->kernels->add(y + r * n, linear->bias, n);
    return OK;
}

typedef enum status (*linear_layer)(const struct colrow_linear *linear, const float *x, size_t rows,
                                    float *y);

// Products want the numeric mode of docs/numerics.md; the caller's is put back.
static int in_our_mode(linear_layer layer, const struct colrow_linear *linear, const float *x,
                       size_t rows, float *y)
{
    fenv_t callers;
    fegetenv(&callers);
    number_mode_set();
    enum status status = layer(linear, x, rows, y);
    // Out of memory on one rank: the others wait for it, and should know why it does not come.
    if (status == ERR_MEMORY)
        comm_abort(state->tensor, status_message());
    fesetenv(&callers);
    return parallel_result(status);
}

int colrow_column_parallel_linear(const struct colrow_linear *linear, const float *x, size_t rows,
                                  float *y)
{
    return in_our_mode(column_linear, linear, x, rows, y);
}

int colrow_row_parallel_linear(const struct colrow_linear *linear, const float *x, size_t rows,
                               float *y)
{
    return in_our_mode(row_linear, linear, x, rows, y);
}
