// Products in the order of tiles with AMX: 32 rows x 48 columns of sums in six tiles.
#include <assert.h>

#include "device/cpu/x86/matmul_tiles.h"
#include "device/cpu/x86/prefetch.h"
#include "device/cpu/x86/tiles_amx.h"
#include "device/cpu/x86/x86.h"

// The shapes that are loaded: of parts with `rows` rows (32, or at most 16), `k` in a block.
struct shapes_now {
    int rows, k;
};

// Tiles 0 to 2: sums of the first 16 rows. 6: rows of a. 7: weights. 3 to 5: sums of the other 16
// rows, or weights.
static void configure(struct shapes_now *now, int rows, int k)
{
    if (now->rows == rows && now->k == k)
        return;
    *now = (struct shapes_now){rows, k};
    struct tile_shapes shapes = {0};
    const int height = rows < TILE_ROWS ? rows : TILE_ROWS;
    for (int i = 0; i < 3; i++)
        tile_shape(&shapes, i, height, TILE_BYTES);
    for (int i = 3; i < 6; i++)
        tile_shape(&shapes, i, rows > TILE_ROWS ? TILE_ROWS : k / 2, TILE_BYTES);
    tile_shape(&shapes, 6, height, 2 * k);
    tile_shape(&shapes, 7, k / 2, TILE_BYTES);
    tiles_configure(&shapes);
}

// A third of a block's prefetches: bursts would fill the queue that the loads need.
INLINE void fetch(const struct tiles_part *part, const char *next, int third)
{
    if (part->step == 2 * TILE_K * PANEL_WIDTH)
        UNROLLED_FOR (i, 16)
            prefetch(next + 64 * (16 * third + i), 1);
    else
        for (size_t i = (size_t)third * 64; i < part->step; i += 192)
            prefetch(next + i, 1);
}

INLINE void begin(const float *from, int tile_count, int columns)
{
    const size_t stride = PANEL_WIDTH * sizeof(float);
    const float *low = from + TILE_ROWS * PANEL_WIDTH;
    if (!from) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        if (tile_count > 3) {
            _tile_zero(3);
            _tile_zero(4);
            _tile_zero(5);
        }
        return;
    }
    tile_memory_is_written();
    _tile_loadd(0, from, stride);
    if (columns > 16)
        _tile_loadd(1, from + 16, stride);
    if (columns > 32)
        _tile_loadd(2, from + 32, stride);
    if (tile_count <= 3)
        return;
    _tile_loadd(3, low, stride);
    if (columns > 16)
        _tile_loadd(4, low + 16, stride);
    if (columns > 32)
        _tile_loadd(5, low + 32, stride);
}

INLINE void end(float *to, int tile_count, int columns)
{
    const size_t stride = PANEL_WIDTH * sizeof(float);
    float *low = to + TILE_ROWS * PANEL_WIDTH;
    _tile_stored(0, to, stride);
    if (columns > 16)
        _tile_stored(1, to + 16, stride);
    if (columns > 32)
        _tile_stored(2, to + 32, stride);
    if (tile_count <= 3)
        return;
    _tile_stored(3, low, stride);
    if (columns > 16)
        _tile_stored(4, low + 16, stride);
    if (columns > 32)
        _tile_stored(5, low + 32, stride);
}

// At most 16 rows: tiles 3 to 5 hold weights.
INLINE void multiply_few(const struct tiles_part *part, int columns)
{
    const size_t a_stride = part->a_stride * sizeof(bf16), b_stride = (size_t)columns * 4;
    const bf16 *a = part->a;
    const char *b = part->b, *next = part->next;
    begin(part->from, 3, columns);
    for (int k = 0; k < part->k; k += TILE_K) {
        _tile_loadd(6, a, a_stride);
        fetch(part, next, 0);
        _tile_loadd(3, b, b_stride);
        _tile_dpbf16ps(0, 6, 3);
        fetch(part, next, 1);
        if (columns > 16) {
            _tile_loadd(4, b + 64, b_stride);
            _tile_dpbf16ps(1, 6, 4);
        }
        fetch(part, next, 2);
        if (columns > 32) {
            _tile_loadd(5, b + 128, b_stride);
            _tile_dpbf16ps(2, 6, 5);
        }
        a += part->a_block;
        b += TILE_K / 2 * b_stride;
        next += part->step;
    }
    end(part->to, 3, columns);
}

// 32 rows. There and back again: the last weights of one half are the first of the other.
INLINE void multiply_many(const struct tiles_part *part, int columns)
{
    const size_t a_stride = part->a_stride * sizeof(bf16), b_stride = (size_t)columns * 4;
    const size_t low = TILE_ROWS * part->a_stride;
    const bf16 *a = part->a;
    const char *b = part->b, *next = part->next;
    begin(part->from, 6, columns);
    for (int k = 0; k < part->k; k += TILE_K) {
        fetch(part, next, 0);
        fetch(part, next, 1);
        fetch(part, next, 2);
        _tile_loadd(6, a, a_stride);
        _tile_loadd(7, b, b_stride);
        _tile_dpbf16ps(0, 6, 7);
        if (columns > 16) {
            _tile_loadd(7, b + 64, b_stride);
            _tile_dpbf16ps(1, 6, 7);
        }
        if (columns > 32) {
            _tile_loadd(7, b + 128, b_stride);
            _tile_dpbf16ps(2, 6, 7);
        }
        _tile_loadd(6, a + low, a_stride);
        if (columns > 32) {
            _tile_dpbf16ps(5, 6, 7);
            _tile_loadd(7, b + 64, b_stride);
        }
        if (columns > 16) {
            _tile_dpbf16ps(4, 6, 7);
            _tile_loadd(7, b, b_stride);
        }
        _tile_dpbf16ps(3, 6, 7);
        a += part->a_block;
        b += TILE_K / 2 * b_stride;
        next += part->step;
    }
    end(part->to, 6, columns);
}

#define FOR_COLUMNS(call)                                                                          \
    do {                                                                                           \
        if (part->columns == 48)                                                                   \
            call(part, 48);                                                                        \
        else if (part->columns == 32)                                                              \
            call(part, 32);                                                                        \
        else                                                                                       \
            call(part, 16);                                                                        \
    } while (0)

static void multiply_rows(struct shapes_now *now, const struct tiles_part *part)
{
    configure(now, part->rows, part->k < TILE_K ? part->k : TILE_K);
    if (part->rows > TILE_ROWS)
        FOR_COLUMNS(multiply_many);
    else
        FOR_COLUMNS(multiply_few);
}

static void multiply_tile(void *context, const struct tiles_part *part)
{
    if (part->rows <= TILE_ROWS || part->rows == 2 * TILE_ROWS) {
        multiply_rows(context, part);
        return;
    }
    struct tiles_part half = *part; // a tile's rows are fixed by its shape
    half.rows = TILE_ROWS;
    multiply_rows(context, &half);
    half.rows = part->rows - TILE_ROWS;
    half.a += TILE_ROWS * part->a_stride;
    half.from = part->from ? part->from + TILE_ROWS * PANEL_WIDTH : NULL;
    half.to += TILE_ROWS * PANEL_WIDTH;
    multiply_rows(context, &half);
}

void matmul_tiles_amx(const struct matmul *args)
{
    if (args->m == 1) { // a stream that needs no tiles
        matmul_tiles_avx512(args);
        return;
    }
    struct shapes_now now = {0};
    const struct tiles_kernel kernel = {.rows = 2 * TILE_ROWS,
                                        .pack_rows = TILE_ROWS,
                                        .context = &now,
                                        .multiply = multiply_tile,
                                        .add = add_avx512,
                                        .emit = emit_avx512,
                                        .activate_mul = activate_mul_avx512bf16,
                                        .activate = activate_avx512bf16};
    matmul_tiles(args, &kernel);
    _mm_sfence();
    _tile_release(); // so that a context switch has nothing to save
}
