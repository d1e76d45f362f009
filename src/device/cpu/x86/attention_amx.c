// Attention in the order of tiles with AMX: 16 rows x 64 columns of sums in four tiles.
#include <limits.h>

#include "device/cpu/x86/attention_avx512.h"
#include "device/cpu/x86/attention_tiles.h"
#include "device/cpu/x86/prefetch.h"
#include "device/cpu/x86/tiles_amx.h"
#include "device/cpu/x86/x86.h"

enum { BLOCK = 32 }; // of the order

// Tiles 0 to 3: sums. 4 and 6: a block of rows, and of the page; 5 and 7: the same for what is left
// of head_dim.
static void configure(const struct attention_tile *tile, int rows)
{
    struct tile_shapes shapes = {0};
    const int rest = tile->head_dim % BLOCK ? tile->head_dim % BLOCK : BLOCK;
    if (*tile->shape == rows) // ldtilecfg takes as long as twelve products
        return;
    *tile->shape = rows;
    for (int i = 0; i < 5; i++)
        tile_shape(&shapes, i, rows, TILE_BYTES);
    tile_shape(&shapes, 5, rows, 2 * rest);
    tile_shape(&shapes, 6, BLOCK / 2, TILE_BYTES);
    tile_shape(&shapes, 7, rest / 2, TILE_BYTES);
    tiles_configure(&shapes);
}

static void fetch_page(const struct attention_tile *tile)
{
    for (int i = 0; tile->ahead && i < 2 * KV_PAGE_TOKENS * tile->head_dim; i += 64)
        prefetch(tile->ahead + i, 1);
}

static void score_rows(const struct attention_tile *tile, int row, const char *keys)
{
    const int whole = tile->head_dim / BLOCK * BLOCK;
    const size_t q_stride = 4 * (size_t)tile->head_dim, stride = 4 * KV_PAGE_TOKENS;
    const bf16 *q = attention_tiles_query(tile, row);
    float *p = tile->p + row * KV_PAGE_TOKENS;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int d = 0; d < whole; d += BLOCK, keys += BLOCK / 2 * stride) {
        _tile_loadd(4, q + d, q_stride);
        _tile_loadd(6, keys, stride);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(6, keys + 64, stride);
        _tile_dpbf16ps(1, 4, 6);
        _tile_loadd(6, keys + 128, stride);
        _tile_dpbf16ps(2, 4, 6);
        _tile_loadd(6, keys + 192, stride);
        _tile_dpbf16ps(3, 4, 6);
    }
    if (whole < tile->head_dim) {
        _tile_loadd(5, q + whole, q_stride);
        _tile_loadd(7, keys, stride);
        _tile_dpbf16ps(0, 5, 7);
        _tile_loadd(7, keys + 64, stride);
        _tile_dpbf16ps(1, 5, 7);
        _tile_loadd(7, keys + 128, stride);
        _tile_dpbf16ps(2, 5, 7);
        _tile_loadd(7, keys + 192, stride);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, p, stride);
    _tile_stored(1, p + 16, stride);
    _tile_stored(2, p + 32, stride);
    _tile_stored(3, p + 48, stride);
}

// `columns`: 64, or 16.
INLINE void add_columns(const struct attention_tile *tile, int row, const char *values,
                        size_t stride, int column, int columns)
{
    const size_t o_stride = (size_t)tile->width * sizeof(float), p_stride = 4 * KV_PAGE_TOKENS;
    const bf16 *p = attention_tiles_row_weights(tile, row);
    float *o = tile->o + row * tile->width + column;
    const char *v = values + 4 * column;
    tile_memory_is_written();
    if (tile->fresh) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    } else {
        _tile_loadd(0, o, o_stride);
    }
    if (columns > 16 && !tile->fresh) {
        _tile_loadd(1, o + 16, o_stride);
        _tile_loadd(2, o + 32, o_stride);
        _tile_loadd(3, o + 48, o_stride);
    }
    for (int j = 0; j < KV_PAGE_TOKENS; j += BLOCK, v += BLOCK / 2 * stride) {
        _tile_loadd(4, p + j, p_stride);
        _tile_loadd(6, v, stride);
        _tile_dpbf16ps(0, 4, 6);
        if (columns > 16) {
            _tile_loadd(6, v + 64, stride);
            _tile_dpbf16ps(1, 4, 6);
            _tile_loadd(6, v + 128, stride);
            _tile_dpbf16ps(2, 4, 6);
            _tile_loadd(6, v + 192, stride);
            _tile_dpbf16ps(3, 4, 6);
        }
    }
    _tile_stored(0, o, o_stride);
    if (columns > 16) {
        _tile_stored(1, o + 16, o_stride);
        _tile_stored(2, o + 32, o_stride);
        _tile_stored(3, o + 48, o_stride);
    }
}

static void add_rows(const struct attention_tile *tile, int row, const char *values, size_t stride)
{
    int column = 0;
    for (; column + 64 <= tile->width; column += 64)
        add_columns(tile, row, values, stride, column, 64);
    for (; column < tile->width; column += 16)
        add_columns(tile, row, values, stride, column, 16);
}

static void scores(const struct attention_tile *tile, int row, int end, const void *keys,
                   enum page_form form)
{
    (void)form;
    fetch_page(tile);
    for (int next; row < end; row = next) {
        next = end - row < TILE_ROWS ? end : row + TILE_ROWS;
        configure(tile, next - row);
        score_rows(tile, row, keys);
    }
}

INLINE void store_pairs(float *p, const vec weights[PAGE_VECTORS])
{
    _mm512_store_si512(p, (__m512i)_mm512_cvtne2ps_pbh(weights[1], weights[0]));
    _mm512_store_si512(p + 16, (__m512i)_mm512_cvtne2ps_pbh(weights[3], weights[2]));
}

static void weights(const struct attention_tile *tile, int row, int end)
{
    weigh_rows(tile, row, end, store_pairs);
}

static void add_values(const struct attention_tile *tile, int row, int end, const void *values,
                       enum page_form form, size_t stride)
{
    (void)form;
    fetch_page(tile);
    if (!tile->fresh)
        attention_tiles_scale_sums(tile, row, end);
    for (int next; row < end; row = next) {
        next = end - row < TILE_ROWS ? end : row + TILE_ROWS;
        configure(tile, next - row);
        add_rows(tile, row, values, 4 * stride);
    }
}

static const struct attention_steps steps = {.widen_rows = INT_MAX,
                                             .chunk_rows = TILE_ROWS,
                                             .widened = PAGE_BF16,
                                             .expand = kv_expand_avx512bf16,
                                             .load_query = attention_tiles_load_query,
                                             .widen_values = attention_tiles_widen_values,
                                             .scores = scores,
                                             .adjust = attention_adjust_avx512,
                                             .weights = weights,
                                             .add_values = add_values,
                                             .merge = attention_merge_avx512,
                                             .store = attention_store_avx512,
                                             .add_heads = index_add_heads_avx512};

void attention_tiles_amx(const struct attention *args)
{
    attention_run(args, &steps);
    _tile_release(); // so that a context switch has nothing to save
}

void index_tiles_amx(const struct index_scoring *args)
{
    index_run(args, &steps);
    _tile_release();
}
