#include "device/cpu/x86/matmul_blocks.h"

#include <assert.h>

enum {
    PACKED_BYTES_MAX = 1 << 20, // of the scratch: packed rows; the rest holds sums and widened weights
    ROWS_MAX = 256,             // of a block
    PANELS_MAX = 16,            // of a group
};

// Where a product's k stands: in leaf `leaf`, at k, with `depth` sums on the stack.
struct place {
    int leaf, k, depth;
};

struct product {
    const struct matmul *args;
    const struct block_kernel *kernel;
    bool widened;
    int rows, panels, chunk_k; // of a block, a group, a chunk
    int levels;                // deepest stack
    char *packed;
    float *weights;            // widened
    float *sums;               // [panels][levels][rows][PANEL_WIDTH]
    int m_begin, m_end;        // this block
};

static int deepest_stack(const struct leaf_plan *leaves)
{
    int depth = 0, deepest = 0;
    for (int i = 0; i < leaves->n_leaves; i++) {
        assert(i == 0 || leaves->leaf[i].k_begin == leaves->leaf[i - 1].k_end);
        deepest = depth + 1 > deepest ? depth + 1 : deepest;
        depth += 1 - leaves->leaf[i].merges;
        assert(depth >= 1);
    }
    assert(depth == leaves->n_nodes);
    return deepest;
}

static int round_down(int n, int unit)
{
    return n / unit * unit;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

// Cuts the scratch: packed rows, widened weights, sums.
static void cut(struct product *product)
{
    const struct matmul *args = product->args;
    const struct block_kernel *kernel = product->kernel;
    const struct leaf_plan *leaves = args->leaves;
    const int element = kernel->a_is_pairs ? 2 : 4, row_bytes = PANEL_WIDTH * (int)sizeof(float);
    int k = leaves->leaf[leaves->n_leaves - 1].k_end - leaves->leaf[0].k_begin;
    int widened_bytes = product->widened ? kernel->block_k * row_bytes : 0;
    int sums_bytes = MATMUL_SCRATCH_BYTES - PACKED_BYTES_MAX - widened_bytes;

    product->levels = deepest_stack(leaves);
    product->rows = least(args->m, ROWS_MAX);
    product->rows = least(product->rows, round_down(sums_bytes / (product->levels * row_bytes), kernel->rows));
    product->chunk_k = least(k, round_down(PACKED_BYTES_MAX / (element * product->rows), kernel->block_k));
    product->panels = least(PANELS_MAX, sums_bytes / (product->levels * product->rows * row_bytes));
    assert(product->rows > 0 && product->chunk_k > 0 && product->panels > 0);

    product->packed = args->scratch;
    product->weights = (float *)(void *)(product->packed + PACKED_BYTES_MAX);
    product->sums = (float *)(void *)(product->packed + PACKED_BYTES_MAX + widened_bytes);
}

// Tiles of nearly equal height: nine rows are 5 and 4, not 8 and 1.
static int tile_rows(const struct product *product, int row)
{
    int rows = product->m_end - product->m_begin;
    int tiles = (rows + product->kernel->rows - 1) / product->kernel->rows;
    int at = (int)(((long)row * tiles + rows - 1) / rows); // the tile that begins at `row`
    return (int)((long)rows * (at + 1) / tiles - (long)rows * at / tiles);
}

static void pack_chunk(const struct product *product, int k_begin, int k_end)
{
    const struct matmul *args = product->args;
    size_t element = args->a_is_bf16 ? 2 : 4, packed_element = product->kernel->a_is_pairs ? 2 : 4;
    for (int row = product->m_begin, rows; row < product->m_end; row += rows) {
        rows = tile_rows(product, row - product->m_begin);
        const char *from = (const char *)args->a + ((size_t)row * args->a_stride + (size_t)k_begin) * element;
        size_t to = (size_t)(row - product->m_begin) * (size_t)(k_end - k_begin) * packed_element;
        product->kernel->pack(from, args->a_is_bf16, args->a_stride, rows, k_end - k_begin, product->packed + to);
    }
}

// One block of k of one panel: all rows.
static void panel_block(const struct product *product, int panel, struct place place, int chunk_begin, int chunk_end,
                        int k_end, const char *b, enum panel_format format, int columns, float *sums)
{
    const struct matmul *args = product->args;
    const struct leaf_plan *leaves = args->leaves;
    const int rows = product->m_end - product->m_begin;
    const size_t level = (size_t)product->rows * PANEL_WIDTH;
    const size_t packed_element = product->kernel->a_is_pairs ? 2 : 4;
    const bool leaf_ends = k_end == leaves->leaf[place.leaf].k_end;
    const bool is_last = leaf_ends && place.leaf == leaves->n_leaves - 1;
    // Straight into the output where nothing is left to do with the sums.
    const bool straight = is_last && leaves->n_nodes == 1 && (panel + 1) * PANEL_WIDTH <= args->w->n;

    struct tile tile = {.b = b, .k = k_end - place.k, .columns = columns, .level = level};
    tile.merges = leaf_ends ? leaves->leaf[place.leaf].merges : 0;
    for (int row = 0; row < rows; row += tile.rows) {
        float *own = sums + (size_t)place.depth * level + (size_t)row * PANEL_WIDTH;
        tile.rows = tile_rows(product, row);
        tile.a = product->packed + ((size_t)row * (size_t)(chunk_end - chunk_begin) +
                                    (size_t)(place.k - chunk_begin) * (size_t)tile.rows) * packed_element;
        tile.from = place.k > leaves->leaf[place.leaf].k_begin ? own : NULL;
        tile.below = own - level;
        tile.to = own - (size_t)tile.merges * level;
        tile.to_stride = PANEL_WIDTH;
        if (straight) {
            size_t column = (size_t)panel * PANEL_WIDTH;
            tile.to = args->out + (size_t)(product->m_begin + row) * args->out_stride + column;
            tile.to_stride = args->out_stride;
            tile.bias = args->bias ? args->bias + column : NULL;
        }
        product->kernel->tile(&tile, format);
    }
}

// One chunk of k of one panel. Returns where it ends.
static struct place panel_chunk(const struct product *product, int panel, struct place place, int chunk_end, float *sums)
{
    const struct panels *w = product->args->w;
    const struct leaf_plan *leaves = product->args->leaves;
    const int chunk_begin = place.k, columns = panel_width(w, panel);
    const size_t row_bytes = (size_t)columns * panel_element_bytes(w->format);
    const int block_k = product->args->m > product->kernel->rows ? product->kernel->block_k : product->chunk_k;
    while (place.k < chunk_end) {
        int k_end = least(leaves->leaf[place.leaf].k_end, least(chunk_end, place.k + block_k));
        const char *b = panel_data(w, panel) + (size_t)place.k * row_bytes;
        enum panel_format format = w->format;
        if (product->widened) {
            product->kernel->widen(b, w->format, columns, k_end - place.k, product->weights);
            b = (const char *)product->weights;
            format = PANELS_F32;
        }
        panel_block(product, panel, place, chunk_begin, chunk_end, k_end, b, format, columns, sums);
        place.k = k_end;
        if (k_end == leaves->leaf[place.leaf].k_end) {
            place.depth += 1 - leaves->leaf[place.leaf].merges;
            place.leaf++;
        }
    }
    return place;
}

// Copies what is not in the output yet: several nodes, or a last panel that is narrower.
static void emit(const struct product *product, int panel, const float *sums)
{
    const struct matmul *args = product->args;
    const size_t level = (size_t)product->rows * PANEL_WIDTH;
    const size_t column = (size_t)panel * PANEL_WIDTH;
    const size_t columns = (size_t)least(PANEL_WIDTH, args->w->n - panel * PANEL_WIDTH);
    if (args->leaves->n_nodes == 1 && columns == PANEL_WIDTH)
        return;
    for (int node = 0; node < args->leaves->n_nodes; node++) {
        for (int row = product->m_begin; row < product->m_end; row++) {
            const float *from = sums + (size_t)node * level + (size_t)(row - product->m_begin) * PANEL_WIDTH;
            float *to = args->out + (size_t)node * args->node_stride + (size_t)row * args->out_stride + column;
            if (node == 0 && args->bias)
                for (size_t i = 0; i < columns; i++)
                    to[i] = from[i] + args->bias[column + i];
            else
                memcpy(to, from, columns * sizeof *to);
        }
    }
}

static void panel_group(const struct product *product, int panel_begin, int panel_end, bool *packed)
{
    const struct leaf_plan *leaves = product->args->leaves;
    const int k_end = leaves->leaf[leaves->n_leaves - 1].k_end;
    const size_t panel_sums = (size_t)product->levels * (size_t)product->rows * PANEL_WIDTH;
    struct place place = {.k = leaves->leaf[0].k_begin};
    const bool one_chunk = k_end - place.k <= product->chunk_k;
    while (place.k < k_end) {
        int chunk_end = least(k_end, place.k + product->chunk_k);
        if (!*packed || !one_chunk)
            pack_chunk(product, place.k, chunk_end);
        *packed = true;
        struct place end = place;
        for (int panel = panel_begin; panel < panel_end; panel++)
            end = panel_chunk(product, panel, place, chunk_end,
                              product->sums + (size_t)(panel - panel_begin) * panel_sums);
        place = end;
    }
    for (int panel = panel_begin; panel < panel_end; panel++)
        emit(product, panel, product->sums + (size_t)(panel - panel_begin) * panel_sums);
}

void matmul_blocks(const struct matmul *args, const struct block_kernel *kernel)
{
    struct product product = {.args = args, .kernel = kernel};
    product.widened = !kernel->a_is_pairs && args->w->format != PANELS_F32 && args->m >= kernel->widen_rows;
    cut(&product);
    for (int m = 0; m < args->m; m += product.rows) {
        bool packed = false;
        product.m_begin = m;
        product.m_end = least(args->m, m + product.rows);
        for (int panel = args->panel_begin; panel < args->panel_end; panel += product.panels)
            panel_group(&product, panel, least(args->panel_end, panel + product.panels), &packed);
    }
}
