// The products of attention (attention_tile.h) over sums held in registers: scores() and
// add_values() for the instruction set of the file that includes this. Before, that file defines
//   ROWS x VECTORS        sums held in registers, VECTORS a power of two
//   vec, VEC              a vector of VEC floats; vec_zero, vec_set1, vec_load, vec_store, vec_mul,
//                         vec_add_product(sum, a, b)
//   add_pair()            the chain's two terms for numbers k and k + 1 of the rows of `a`
// Each row gets the same operations whatever the number of rows beside it.
#ifndef COLROW_DEVICE_CPU_ATTENTION_ROWS_H
#define COLROW_DEVICE_CPU_ATTENTION_ROWS_H

// Memory that the next step reads, to be fetched while this one computes: as many bytes as this one
// reads, in streams side by side, for a core's prefetcher follows each at its own pace. Into the
// second cache: the first one's few miss buffers stay free. Every pass over the page fetches its
// part. With AVX-512, decode of 4 heads went from 0.58 to 0.79 of the read bandwidth by this.
struct ahead {
    const char *at;
    int pass, n_passes; // no passes: nothing is fetched
};

INLINE struct ahead ahead_of(const struct attention_tile *tile, const void *page, int rows)
{
    if (tile->ahead)
        return (struct ahead){tile->ahead, 0, (rows + ROWS - 1) / ROWS};
    return (struct ahead){page, 0, 0};
}

// sums[row][v] += a[row][k] * x[k][v] for k in [0, n), in pairs, odd first. `x` is a block of a
// page whose rows are `stride` numbers long.
INLINE void chain(int rows, int n_vectors, enum page_form form, const float *a, size_t a_stride,
                  const void *x, size_t stride, int n, struct ahead ahead, vec sums[ROWS][VECTORS])
{
    size_t step = 2 * stride * (form == PAGE_F32 ? 4 : 2), stream = 32 * (size_t)n;
    const char *at = x, *fetch = ahead.at;
    if (ahead.n_passes == 0) { // apart, for a loop inside the loop costs it registers
        for (int k = 0; k < n; k += 2, at += step)
            add_pair(rows, n_vectors, form, a, a_stride, k, at, stride, sums);
        return;
    }
    int n_streams = (n_vectors * VEC * (form == PAGE_F32 ? 2 : 1) + 15) / 16,
        first = n_streams * ahead.pass / ahead.n_passes,
        last = n_streams * (ahead.pass + 1) / ahead.n_passes;
    for (int k = 0; k < n; k += 2, at += step, fetch += 64) {
        for (int i = first; i < last; i++)
            __builtin_prefetch(fetch + (size_t)i * stream, 0, 2);
        add_pair(rows, n_vectors, form, a, a_stride, k, at, stride, sums);
    }
}

// Positions [j, j + VECTORS * VEC) of the page.
INLINE void score_block(int rows, enum page_form form, const struct attention_tile *tile, int row,
                        const char *keys, int j, struct ahead ahead)
{
    vec sums[ROWS][VECTORS];
    UNROLLED_FOR (r, rows)
        UNROLLED_FOR (v, VECTORS)
            sums[r][v] = vec_zero();
    size_t head_dim = (size_t)tile->head_dim,
           element = form == PAGE_F16 ? 2 : 4; // of bf16, pairs lie side by side
    ahead.at += (size_t)j * head_dim * (form == PAGE_F32 ? 4 : 2);
    chain(rows, VECTORS, form, tile->q + (size_t)row * head_dim, head_dim,
          keys + (size_t)j * element, KV_PAGE_TOKENS, tile->head_dim, ahead, sums);
    UNROLLED_FOR (r, rows)
        UNROLLED_FOR (v, VECTORS)
            vec_store(tile->p + (row + r) * KV_PAGE_TOKENS + j + VEC * v, sums[r][v]);
}

INLINE void score_rows(int rows, enum page_form form, const struct attention_tile *tile, int row,
                       const void *keys, struct ahead ahead)
{
    for (int j = 0; j < KV_PAGE_TOKENS; j += VECTORS * VEC)
        score_block(rows, form, tile, row, keys, j, ahead);
}

// Columns [d, d + n_vectors * VEC) of o.
INLINE void add_block(int rows, int n_vectors, enum page_form form,
                      const struct attention_tile *tile, int row, const char *values, size_t stride,
                      int d, struct ahead ahead)
{
    vec sums[ROWS][VECTORS];
    float *o = tile->o + row * tile->width + d;
    if (tile->fresh) {
        UNROLLED_FOR (r, rows)
            UNROLLED_FOR (v, n_vectors)
                sums[r][v] = vec_zero();
    } else {
        UNROLLED_FOR (r, rows)
            UNROLLED_FOR (v, n_vectors)
                sums[r][v] =
                    vec_mul(vec_load(o + r * tile->width + VEC * v), vec_set1(tile->c[row + r]));
    }
    ahead.at += (size_t)d * KV_PAGE_TOKENS * (form == PAGE_F32 ? 4 : 2);
    chain(rows, n_vectors, form, tile->p + row * KV_PAGE_TOKENS, KV_PAGE_TOKENS,
          values + (size_t)d * (form == PAGE_F16 ? 2 : 4), stride, KV_PAGE_TOKENS, ahead, sums);
    UNROLLED_FOR (r, rows)
        UNROLLED_FOR (v, n_vectors)
            vec_store(o + r * tile->width + VEC * v, sums[r][v]);
}

INLINE void add_rows(int rows, enum page_form form, const struct attention_tile *tile, int row,
                     const void *values, size_t stride, struct ahead ahead)
{
    int d = 0;
    for (; d + VECTORS * VEC <= tile->width; d += VECTORS * VEC)
        add_block(rows, VECTORS, form, tile, row, values, stride, d, ahead);
    if (VECTORS > 2 && tile->width - d >= 2 * VEC) {
        add_block(rows, 2, form, tile, row, values, stride, d, ahead);
        d += 2 * VEC;
    }
    if (VECTORS > 1 && tile->width > d)
        add_block(rows, 1, form, tile, row, values, stride, d, ahead);
}

// Rows and form become constants, for which the functions above are unrolled.
#define IF_ROWS(n, rows, function, ...)                                                            \
    if ((n) <= ROWS && (n) == (rows))                                                              \
    function((n) <= ROWS ? (n) : 1, __VA_ARGS__)
#define FOR_ROWS(rows, ...)                                                                        \
    do {                                                                                           \
        IF_ROWS(1, rows, __VA_ARGS__);                                                             \
        IF_ROWS(2, rows, __VA_ARGS__);                                                             \
        IF_ROWS(3, rows, __VA_ARGS__);                                                             \
        IF_ROWS(4, rows, __VA_ARGS__);                                                             \
        IF_ROWS(5, rows, __VA_ARGS__);                                                             \
        IF_ROWS(6, rows, __VA_ARGS__);                                                             \
    } while (0)
_Static_assert(ROWS <= 6, "FOR_ROWS");

// Rows are spread evenly over the passes: 7 are 4 and 3, not 6 and 1.
INLINE int rows_of_pass(int rows)
{
    int passes = (rows + ROWS - 1) / ROWS;
    return (rows + passes - 1) / passes;
}

INLINE void scores_of(enum page_form form, const struct attention_tile *tile, int row, int end,
                      const void *keys)
{
    struct ahead ahead = ahead_of(tile, keys, end - row);
    for (int rows; row < end; row += rows, ahead.pass++) {
        rows = rows_of_pass(end - row);
        FOR_ROWS(rows, score_rows, form, tile, row, keys, ahead);
    }
}

INLINE void add_values_of(enum page_form form, const struct attention_tile *tile, int row, int end,
                          const void *values, size_t stride)
{
    struct ahead ahead = ahead_of(tile, values, end - row);
    for (int rows; row < end; row += rows, ahead.pass++) {
        rows = rows_of_pass(end - row);
        FOR_ROWS(rows, add_rows, form, tile, row, values, stride, ahead);
    }
}

#endif
