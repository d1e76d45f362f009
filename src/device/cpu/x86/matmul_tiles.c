#include "device/cpu/x86/matmul_tiles.h"

#include <assert.h>

#include "base/checked.h"
#include "device/cpu/x86/leaf_walk.h"

enum {
    ROWS_MAX = 512,                                     // of a block
    HALVES_BYTES = ROWS_MAX * HALF_LINE * sizeof(bf16), // of the scratch; ...
    SUMS_BYTES = (2 << 20) - HALVES_BYTES,              // ... so much are sums, ...
    PACKED_BYTES = MATMUL_SCRATCH_BYTES - (2 << 20),    // ... the rest are packed rows
    CHUNK_BYTES = 1 << 20,                              // of a block's rows: half of a second cache
    FEW_ROWS = 128,    // are bound by memory: a panel's chunks follow each other, and all of ...
    FEW_ROWS_K = 2048, // ... two of them is sure to stay in the second cache
    PREFETCH_BYTES = 3072, // how far ahead a stream of weights is fetched
};

struct product {
    const struct matmul *args;
    const struct tiles_kernel *kernel;
    int rows, items, chunk_k; // of a block, a group, a chunk
    int slots;                // of sums: those of an item are kept until its pair is done
    int levels;               // deepest stack
    int k_end;
    int m_begin, m_end; // this block
    int n_parts;
    bf16 *packed; // [parts][blocks of the order][rows of the part][TILE_K], or NULL
    int first_block[LEAVES_MAX + 1]; // of each leaf; the last: how many
};

// The scratch holds sums, [slots][levels][rows][PANEL_WIDTH], halves of lines, and packed rows.
static void cut(struct product *product)
{
    const struct leaf_plan *leaves = product->args->leaves;
    const int row_bytes = PANEL_WIDTH * (int)sizeof(float), unit = product->kernel->rows;
    const int matrices = matrices_of(product->args);
    product->k_end = leaves->leaf[leaves->n_leaves - 1].k_end;
    product->levels = deepest_stack(leaves);
    for (int i = 0; i < leaves->n_leaves; i++) {
        const int k = leaves->leaf[i].k_end - leaves->leaf[i].k_begin;
        product->first_block[i + 1] = product->first_block[i] + (k + TILE_K - 1) / TILE_K;
    }
    const int packed_k = product->first_block[leaves->n_leaves] * TILE_K;
    product->rows = least(product->args->m, ROWS_MAX);
    product->rows = least(product->rows,
                          round_down(SUMS_BYTES / (matrices * product->levels * row_bytes), unit));
    if (product->args->m > product->kernel->pack_rows && PACKED_BYTES / (2 * packed_k) >= unit) {
        product->rows = least(product->rows, round_down(PACKED_BYTES / (2 * packed_k), unit));
        product->packed =
            (bf16 *)(void *)((char *)product->args->scratch + SUMS_BYTES + HALVES_BYTES);
    }
    product->chunk_k = round_down(CHUNK_BYTES / (2 * product->rows), TILE_K);
    product->items = 1;
    if (product->rows <= FEW_ROWS)
        product->chunk_k =
            least(product->chunk_k, leaves->n_leaves > 1 ? FEW_ROWS_K / 2 : FEW_ROWS_K);
    else if (product->k_end - leaves->leaf[0].k_begin > product->chunk_k)
        product->items =
            round_down(SUMS_BYTES / (product->levels * product->rows * row_bytes), matrices);
    product->slots = product->items > matrices ? product->items : matrices;
    assert(product->rows > 0 && product->chunk_k > 0 && product->items > 0);
}

// One row of one leaf: its blocks come to lie `stride` apart.
static void pack_row(const bf16 *from, int k, bf16 *to, size_t stride)
{
    for (; k >= TILE_K; k -= TILE_K, from += TILE_K, to += stride)
        memcpy(to, from, TILE_K * sizeof *to);
    memcpy(to, from, (size_t)k * sizeof *to);
}

static void pack_rows(const struct product *product)
{
    const struct leaf_plan *leaves = product->args->leaves;
    const size_t row_size = (size_t)product->first_block[leaves->n_leaves] * TILE_K;
    for (int row = 0; row < product->m_end - product->m_begin; row++) {
        const int part = row / product->kernel->rows * product->kernel->rows;
        const int rows = least(product->kernel->rows, product->m_end - product->m_begin - part);
        const bf16 *from = (const bf16 *)product->args->a +
                           (size_t)(product->m_begin + row) * product->args->a_stride;
        bf16 *to = product->packed + (size_t)part * row_size + (size_t)(row - part) * TILE_K;
        for (int i = 0; i < leaves->n_leaves; i++) {
            const int k = leaves->leaf[i].k_begin;
            pack_row(from + k, leaves->leaf[i].k_end - k,
                     to + (size_t)(product->first_block[i] * rows) * TILE_K, (size_t)rows * TILE_K);
        }
    }
}

// A chunk ends with a leaf or with a block of the order.
static int end_of_chunk(const struct product *product, struct place place)
{
    const struct leaf_plan *leaves = product->args->leaves;
    int end = least(place.k + product->chunk_k, product->k_end), leaf = place.leaf;
    while (leaves->leaf[leaf].k_end < end)
        leaf++;
    if (end < leaves->leaf[leaf].k_end)
        end -= (end - leaves->leaf[leaf].k_begin) % TILE_K;
    assert(end > place.k);
    return end;
}

// Some rows of one item, from `place` to the chunk's end.
struct strip {
    struct item item;
    int columns, row, rows; // row: from m_begin
    int chunk_end;
    float *sums,
        *gate_sums; // of the first row; gate_sums: of the item before, where this is its pair
};

// Rows are done one strip after the other: each fetches its share of the next panel. A single
// strip reads every weight once, as a stream, and fetches a little ahead of itself.
static void plan_prefetch(const struct product *product, const struct strip *strip,
                          struct tiles_part *part)
{
    const size_t block_bytes = (size_t)strip->columns * 2 * TILE_K;
    part->step = round_up(block_bytes / (size_t)product->n_parts, 64);
    part->next = part->b + PREFETCH_BYTES;
    if (product->n_parts > 1) {
        const int k =
            product->items > 1 ? product->args->w->k : least(product->args->w->k, product->chunk_k);
        const size_t share = part->step * (size_t)(part->k / TILE_K);
        part->next = part->b + (size_t)k * (size_t)strip->columns * 2 +
                     share * (size_t)(strip->row / product->kernel->rows);
    }
}

// Where the rows of a strip begin, from a leaf's place k on.
static void find_rows(const struct product *product, const struct strip *strip, int leaf, int k,
                      struct tiles_part *part)
{
    const struct matmul *args = product->args;
    const struct leaf_plan *leaves = args->leaves;
    if (!product->packed) {
        part->a = (const bf16 *)args->a + (size_t)(product->m_begin + strip->row) * args->a_stride +
                  (size_t)k;
        part->a_stride = args->a_stride;
        part->a_block = TILE_K;
        return;
    }
    const int blocks = product->first_block[leaves->n_leaves];
    const int block = product->first_block[leaf] + (k - leaves->leaf[leaf].k_begin) / TILE_K;
    part->a = product->packed +
              ((size_t)strip->row * (size_t)blocks + (size_t)(block * strip->rows)) * TILE_K;
    part->a_stride = TILE_K;
    part->a_block = (size_t)strip->rows * TILE_K;
}

// One piece: of a leaf, up to its end or to that of the chunk.
static void run_piece(const struct product *product, const struct strip *strip, struct place place,
                      int k_end)
{
    const struct matmul *args = product->args;
    const size_t level = (size_t)product->rows * PANEL_WIDTH;
    struct tiles_part part = {.rows = strip->rows,
                              .columns = strip->columns,
                              .to = strip->sums + (size_t)place.depth * level};
    for (int k = place.k; k < k_end; k += part.k) {
        part.k = k_end - k < TILE_K ? k_end - k : round_down(k_end - k, TILE_K);
        find_rows(product, strip, place.leaf, k, &part);
        part.b =
            panel_data(strip->item.w, strip->item.panel) + (size_t)k * (size_t)strip->columns * 2;
        part.from = k > args->leaves->leaf[place.leaf].k_begin ? part.to : NULL;
        plan_prefetch(product, strip, &part);
        product->kernel->multiply(product->kernel->context, &part);
    }
}

// A strip of an activated product, of which all sums are there.
static void activate(const struct product *product, const struct strip *strip)
{
    const struct matmul *args = product->args;
    const float *gate = args->up ? strip->gate_sums : strip->sums;
    const float *up = args->up ? strip->sums : NULL;
    const int panel = strip->item.panel, column = panel * PANEL_WIDTH;
    const int row = product->m_begin + strip->row, n_full = args->w->n / PANEL_WIDTH;
    if (!product->kernel->activate || panel >= n_full) {
        emit_activated(args, product->kernel->activate_mul, panel, row, strip->rows, gate, up);
        return;
    }
    bf16 *halves = (bf16 *)(void *)((char *)args->scratch + SUMS_BYTES);
    const struct tiles_activation activation = {
        .args = &args->activation,
        .gate = gate,
        .up = up,
        .gate_bias = args->bias ? args->bias + column : NULL,
        .up_bias = args->up_bias ? args->up_bias + column : NULL,
        .rows = strip->rows,
        .to = (bf16 *)args->activated + (size_t)row * args->out_stride + column,
        .to_stride = args->out_stride,
        .half = halves + (size_t)strip->row * HALF_LINE,
        .has_half = panel > args->panel_begin,
        .leaves_half = panel + 1 < least(args->panel_end, n_full),
    };
    product->kernel->activate(&activation);
}

// Copies a strip's sums to where they are wanted.
static void emit(const struct product *product, const struct strip *strip)
{
    const struct matmul *args = product->args;
    const int column = strip->item.panel * PANEL_WIDTH;
    if (args->activated) {
        if (strip->item.ends_pair || !args->up)
            activate(product, strip);
        return;
    }
    const int columns = least(PANEL_WIDTH, args->w->n - column);
    for (int node = 0; node < args->leaves->n_nodes; node++) {
        const float *from = strip->sums + (size_t)(node * product->rows) * PANEL_WIDTH;
        float *to = args->out + (size_t)node * args->node_stride + column +
                    (size_t)(product->m_begin + strip->row) * args->out_stride;
        if (node > 0 || !args->bias) {
            product->kernel->emit(to, args->out_stride, from, strip->rows, columns);
            continue;
        }
        for (int row = 0; row < strip->rows; row++, from += PANEL_WIDTH, to += args->out_stride)
            for (int i = 0; i < columns; i++)
                to[i] = from[i] + args->bias[column + i];
    }
}

static struct place run_strip(const struct product *product, const struct strip *strip,
                              struct place place)
{
    const struct leaf_plan *leaves = product->args->leaves;
    const size_t level = (size_t)product->rows * PANEL_WIDTH;
    while (place.k < strip->chunk_end) {
        const int leaf_end = leaves->leaf[place.leaf].k_end;
        const int k_end = least(leaf_end, strip->chunk_end);
        run_piece(product, strip, place, k_end);
        place.k = k_end;
        if (k_end < leaf_end)
            continue;
        for (int merge = 0; merge < leaves->leaf[place.leaf].merges; merge++, place.depth--) {
            float *sum = strip->sums + (size_t)place.depth * level;
            product->kernel->add(sum - level, sum, (size_t)strip->rows * PANEL_WIDTH);
        }
        place.depth++;
        place.leaf++;
    }
    if (place.k == product->k_end)
        emit(product, strip);
    return place;
}

static float *sums_of(const struct product *product, int item)
{
    const size_t slot = (size_t)product->levels * (size_t)product->rows * PANEL_WIDTH;
    return (float *)product->args->scratch + (size_t)(item % product->slots) * slot;
}

static void item_group(const struct product *product, int begin, int end_item)
{
    const struct matmul *args = product->args;
    const int n_rows = product->m_end - product->m_begin;
    struct place place = {.k = args->leaves->leaf[0].k_begin}, end = place;
    for (; place.k < product->k_end; place = end) {
        struct strip strip = {.chunk_end = end_of_chunk(product, place)};
        for (int i = begin; i < end_item; i++) {
            strip.item = item_at(args, i);
            strip.columns = panel_width(args->w, strip.item.panel);
            for (strip.row = 0; strip.row < n_rows; strip.row += product->kernel->rows) {
                strip.rows = least(product->kernel->rows, n_rows - strip.row);
                strip.sums = sums_of(product, i) + (size_t)strip.row * PANEL_WIDTH;
                strip.gate_sums = strip.item.ends_pair
                                      ? sums_of(product, i - 1) + (size_t)strip.row * PANEL_WIDTH
                                      : NULL;
                end = run_strip(product, &strip, place);
            }
        }
    }
}

void matmul_tiles(const struct matmul *args, const struct tiles_kernel *kernel)
{
    assert(args->a_is_bf16 && args->w->format == PANELS_BF16 && args->leaves->n_leaves > 0);
    struct product product = {.args = args, .kernel = kernel};
    cut(&product);
    for (int m = 0; m < args->m; m += product.rows) {
        product.m_begin = m;
        product.m_end = least(args->m, m + product.rows);
        product.n_parts = (product.m_end - m + kernel->rows - 1) / kernel->rows;
        if (product.packed)
            pack_rows(&product);
        for (int i = 0, n = n_items(args); i < n; i += product.items)
            item_group(&product, i, least(n, i + product.items));
    }
}
