#include "device/cpu/x86/matmul_tiles.h"

#include <assert.h>

#include "base/checked.h"
#include "device/cpu/x86/leaf_walk.h"

enum {
    SUMS_BYTES = 2 << 20,                             // of the scratch; ...
    PACKED_BYTES = MATMUL_SCRATCH_BYTES - SUMS_BYTES, // ... the rest are packed rows
    ROWS_MAX = 512,                                   // of a block
    CHUNK_BYTES = 1 << 20,                            // of a block's rows: half of a second cache
    FEW_ROWS = 128,    // are bound by memory: a panel's chunks follow each other, and all of ...
    FEW_ROWS_K = 2048, // ... two of them is sure to stay in the second cache
    PREFETCH_BYTES = 3072, // how far ahead a stream of weights is fetched
};

struct product {
    const struct matmul *args;
    const struct tiles_kernel *kernel;
    int rows, panels, chunk_k; // of a block, a group, a chunk
    int levels;                // deepest stack
    int k_end;
    int m_begin, m_end; // this block
    int n_parts;
    bf16 *packed; // [parts][blocks of the order][rows of the part][TILE_K], or NULL
    int first_block[LEAVES_MAX + 1]; // of each leaf; the last: how many
};

// The scratch holds sums, [panels][levels][rows][PANEL_WIDTH], and packed rows.
static void cut(struct product *product)
{
    const struct leaf_plan *leaves = product->args->leaves;
    const int row_bytes = PANEL_WIDTH * (int)sizeof(float), unit = product->kernel->rows;
    product->k_end = leaves->leaf[leaves->n_leaves - 1].k_end;
    product->levels = deepest_stack(leaves);
    for (int i = 0; i < leaves->n_leaves; i++) {
        const int k = leaves->leaf[i].k_end - leaves->leaf[i].k_begin;
        product->first_block[i + 1] = product->first_block[i] + (k + TILE_K - 1) / TILE_K;
    }
    const int packed_k = product->first_block[leaves->n_leaves] * TILE_K;
    product->rows = least(product->args->m, ROWS_MAX);
    product->rows =
        least(product->rows, round_down(SUMS_BYTES / (product->levels * row_bytes), unit));
    if (product->args->m > product->kernel->pack_rows && PACKED_BYTES / (2 * packed_k) >= unit) {
        product->rows = least(product->rows, round_down(PACKED_BYTES / (2 * packed_k), unit));
        product->packed = (bf16 *)(void *)((char *)product->args->scratch + SUMS_BYTES);
    }
    product->chunk_k = round_down(CHUNK_BYTES / (2 * product->rows), TILE_K);
    product->panels = 1;
    if (product->rows <= FEW_ROWS)
        product->chunk_k =
            least(product->chunk_k, leaves->n_leaves > 1 ? FEW_ROWS_K / 2 : FEW_ROWS_K);
    else if (product->k_end - leaves->leaf[0].k_begin > product->chunk_k)
        product->panels = SUMS_BYTES / (product->levels * product->rows * row_bytes);
    assert(product->rows > 0 && product->chunk_k > 0 && product->panels > 0);
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

// Some rows of one panel, from `place` to the chunk's end.
struct strip {
    int panel, columns, row, rows; // row: from m_begin
    int chunk_end;
    float *sums; // of the panel and the first row
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
        const int k = product->panels > 1 ? product->args->w->k
                                          : least(product->args->w->k, product->chunk_k);
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
        part.b = panel_data(args->w, strip->panel) + (size_t)k * (size_t)strip->columns * 2;
        part.from = k > args->leaves->leaf[place.leaf].k_begin ? part.to : NULL;
        plan_prefetch(product, strip, &part);
        product->kernel->multiply(product->kernel->context, &part);
    }
}

// Copies a strip's sums to where they are wanted.
static void emit(const struct product *product, const struct strip *strip)
{
    const struct matmul *args = product->args;
    const int column = strip->panel * PANEL_WIDTH;
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

static void panel_group(const struct product *product, int panel_begin, int panel_end)
{
    const struct matmul *args = product->args;
    const size_t panel_sums = (size_t)product->levels * (size_t)product->rows * PANEL_WIDTH;
    const int n_rows = product->m_end - product->m_begin;
    struct place place = {.k = args->leaves->leaf[0].k_begin}, end = place;
    for (; place.k < product->k_end; place = end) {
        struct strip strip = {.chunk_end = end_of_chunk(product, place)};
        for (strip.panel = panel_begin; strip.panel < panel_end; strip.panel++) {
            float *sums = (float *)args->scratch + (size_t)(strip.panel - panel_begin) * panel_sums;
            strip.columns = panel_width(args->w, strip.panel);
            for (strip.row = 0; strip.row < n_rows; strip.row += product->kernel->rows) {
                strip.rows = least(product->kernel->rows, n_rows - strip.row);
                strip.sums = sums + (size_t)strip.row * PANEL_WIDTH;
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
        for (int panel = args->panel_begin; panel < args->panel_end; panel += product.panels)
            panel_group(&product, panel, least(args->panel_end, panel + product.panels));
    }
}
