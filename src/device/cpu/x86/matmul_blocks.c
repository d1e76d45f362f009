#include "device/cpu/x86/matmul_blocks.h"

#include <assert.h>

#include "base/checked.h"
#include "device/cpu/x86/leaf_walk.h"

enum {
    PACKED_BYTES_MAX =
        1 << 20,    // of the scratch: packed rows; the rest holds sums and widened weights
    ROWS_MAX = 128, // of a block
    ITEMS_MAX = 16, // of a group
    // How far ahead a stream of weights is fetched, into the first cache for NEAR_BYTES, else into
    // the second one.
    FEW_BYTES = 3072,
    NEAR_BYTES = 4096,
    FAR_BYTES = 6144,
    INPUT_SUMS_BYTES_MAX = 1 << 20, // of the scratch, where integer weights have zero points
};

struct product {
    const struct matmul *args;
    const struct block_kernel *kernel;
    bool widened;
    int rows, items, chunk_k; // of a block, a group, a chunk
    int levels;               // deepest stack
    char *packed;
    float *weights;    // widened
    float *sums;       // [items][levels][rows][PANEL_WIDTH]; of integers the last level is of
                       // chains that have yet to meet their scales
    float *input_sums; // [parts of groups][rows], or NULL
    int first_part[LEAVES_MAX + 1]; // of each leaf
    int m_begin, m_end;             // this block
    int n_tiles;
    int16_t tile_begin[ROWS_MAX + 1]; // rows from m_begin
};

static bool of_integers(const struct product *product)
{
    return panel_format_is_integer(product->args->w->format);
}

// The parts into which leaves cut the groups of integer weights.
static void count_parts(struct product *product)
{
    const struct leaf_plan *leaves = product->args->leaves;
    const struct panels *w = product->args->w;
    for (int i = 0; i < leaves->n_leaves; i++)
        product->first_part[i + 1] = product->first_part[i] + 1 +
                                     panel_group_of(w, leaves->leaf[i].k_end - 1) -
                                     panel_group_of(w, leaves->leaf[i].k_begin);
}

static float sum_of_inputs(const void *a, bool a_is_bf16, int k)
{
    float lane[16] = {0}, x[16];
    for (int i = 0; i < k; i += 16) {
        const int n = least(16, k - i);
        for (int j = 0; j < n; j++)
            x[j] = a_is_bf16 ? float_of_bf16(((const bf16 *)a)[i + j]) : ((const float *)a)[i + j];
        for (int j = 0; j < n; j++)
            lane[j] += x[j];
    }
    for (int half = 8; half >= 1; half /= 2)
        for (int j = 0; j < half; j++)
            lane[j] += lane[j + half];
    return lane[0];
}

// Over each part, of this block's rows.
static void sum_inputs(const struct product *product)
{
    const struct matmul *args = product->args;
    const struct leaf_plan *leaves = args->leaves;
    const size_t element = args->a_is_bf16 ? 2 : 4;
    float *out = product->input_sums;
    for (int i = 0; i < leaves->n_leaves; i++)
        for (int k = leaves->leaf[i].k_begin, end; k < leaves->leaf[i].k_end; k = end) {
            end =
                least(panel_group_end(args->w, panel_group_of(args->w, k)), leaves->leaf[i].k_end);
            for (int row = product->m_begin; row < product->m_end; row++) {
                const size_t at = (size_t)row * args->a_stride + (size_t)k;
                out[row - product->m_begin] =
                    sum_of_inputs((const char *)args->a + at * element, args->a_is_bf16, end - k);
            }
            out += product->rows;
        }
}

// Cuts the scratch: packed rows, widened weights, sums of inputs, sums.
static void cut(struct product *product)
{
    const struct matmul *args = product->args;
    const struct block_kernel *kernel = product->kernel;
    const struct leaf_plan *leaves = args->leaves;
    const int element = kernel->a_is_pairs ? 2 : 4, row_bytes = PANEL_WIDTH * (int)sizeof(float);
    int k = leaves->leaf[leaves->n_leaves - 1].k_end - leaves->leaf[0].k_begin;
    int widened_bytes = product->widened ? kernel->block_k * row_bytes : 0;
    int sums_bytes = MATMUL_SCRATCH_BYTES - PACKED_BYTES_MAX - widened_bytes, input_bytes = 0;

    product->levels = deepest_stack(leaves) + of_integers(product);
    product->rows = least(args->m, ROWS_MAX);
    if (of_integers(product))
        count_parts(product);
    if (args->w->groups.zeros) {
        const int part_bytes = product->first_part[leaves->n_leaves] * (int)sizeof(float);
        if (INPUT_SUMS_BYTES_MAX / part_bytes < product->rows)
            product->rows = round_down(INPUT_SUMS_BYTES_MAX / part_bytes, kernel->rows);
        input_bytes = (int)round_up((size_t)(part_bytes * product->rows), 64);
        sums_bytes -= input_bytes;
    }
    product->rows =
        least(product->rows, round_down(sums_bytes / (product->levels * row_bytes), kernel->rows));
    product->chunk_k =
        least(k, round_down(PACKED_BYTES_MAX / (element * product->rows), kernel->block_k));
    product->items = least(ITEMS_MAX, sums_bytes / (product->levels * product->rows * row_bytes));
    product->items = round_down(product->items, matrices_of(args));
    assert(product->rows > 0 && product->chunk_k > 0 && product->items > 0);

    product->packed = args->scratch;
    product->weights = (float *)(void *)(product->packed + PACKED_BYTES_MAX);
    product->input_sums = (float *)(void *)(product->packed + PACKED_BYTES_MAX + widened_bytes);
    product->sums = product->input_sums + input_bytes / (int)sizeof(float);
}

// Cuts the block's rows into tiles of nearly equal height: nine rows are 5 and 4, not 8 and 1.
static void cut_rows(struct product *product, int m_begin, int m_end)
{
    const int rows = m_end - m_begin,
              tiles = (rows + product->kernel->rows - 1) / product->kernel->rows;
    product->m_begin = m_begin;
    product->m_end = m_end;
    product->n_tiles = tiles;
    for (int i = 0; i <= tiles; i++)
        product->tile_begin[i] = (int16_t)(rows * i / tiles);
}

static void pack_chunk(const struct product *product, int k_begin, int k_end)
{
    const struct matmul *args = product->args;
    size_t element = args->a_is_bf16 ? 2 : 4, packed_element = product->kernel->a_is_pairs ? 2 : 4;
    for (int i = 0; i < product->n_tiles; i++) {
        const int row = product->tile_begin[i], rows = product->tile_begin[i + 1] - row;
        const size_t at = (size_t)(product->m_begin + row) * args->a_stride + (size_t)k_begin;
        const char *from = (const char *)args->a + at * element;
        const size_t to = (size_t)row * (size_t)(k_end - k_begin) * packed_element;
        product->kernel->pack(from, args->a_is_bf16, args->a_stride, rows, k_end - k_begin,
                              product->packed + to);
    }
}

// One block of k of one item: all rows.
struct block {
    int panel, columns, k_end;
    struct place place; // where it begins
    const char *b;      // weights, widened or not; ...
    int skipped;        // ... as in a tile
    const char *next;   // weights that follow in memory
    size_t next_bytes;
    bool near; // they go into the first cache
    int chunk_begin, chunk_end;
    float *sums; // of the item
    const struct panels *w;
};

// What a tile of integer weights knows of groups. Returns whether any group of the leaf has ended
// before the block.
static bool find_tile_groups(const struct product *product, const struct block *block, int row,
                             struct tile_groups *out)
{
    const struct panels *w = block->w;
    const int k = block->place.k, leaf = block->place.leaf, group = panel_group_of(w, k);
    const int leaf_begin = product->args->leaves->leaf[leaf].k_begin;
    const int leaf_end = product->args->leaves->leaf[leaf].k_end;
    const int first = panel_group_of(w, leaf_begin), last = panel_group_of(w, block->k_end - 1);
    const int part = product->first_part[leaf] + group - first;
    const int begin = group > first ? panel_group_end(w, group - 1) : leaf_begin;
    const size_t level = (size_t)product->rows * PANEL_WIDTH, columns = (size_t)block->columns;
    float *rest = block->sums + (size_t)(product->levels - 1) * level + (size_t)row * PANEL_WIDTH;
    // Field by field: a copy would be read in larger pieces than it was written in, and wait for
    // the writes, each time.
    out->type = w->groups.scales;
    out->scales_step = columns * scale_bytes(w->groups.scales);
    out->zeros_step = columns;
    out->input_sums_step = (size_t)product->rows;
    out->first = least(panel_group_end(w, group), block->k_end) - k;
    out->columns = w->groups.columns;
    out->ends = block->k_end == leaf_end || block->k_end == panel_group_end(w, last);
    out->rest = k > begin ? rest : NULL;
    out->rest_to = rest;
    out->zeros = NULL;
    out->scales = panel_scales(w, block->panel) + (size_t)group * out->scales_step;
    out->next_scales = (size_t)(panel_codes(w, block->panel) - panel_data(w, block->panel)) +
                       panel_code_at(w->format, block->columns, w->k);
    if (w->groups.zeros) {
        out->zeros = panel_zeros(w, block->panel) + (size_t)group * columns;
        out->input_sums = product->input_sums + (size_t)part * out->input_sums_step + (size_t)row;
    }
    return begin > leaf_begin;
}

static void run_block(const struct product *product, const struct block *block)
{
    const struct matmul *args = product->args;
    const struct leaf_plan *leaves = args->leaves;
    const struct place place = block->place;
    const size_t level = (size_t)product->rows * PANEL_WIDTH;
    const size_t packed_element = product->kernel->a_is_pairs ? 2 : 4;
    const bool leaf_ends = block->k_end == leaves->leaf[place.leaf].k_end;
    // Straight into the output where nothing is left to do with the sums.
    const bool straight = !args->activated && leaf_ends && place.leaf == leaves->n_leaves - 1 &&
                          leaves->n_nodes == 1 && (block->panel + 1) * PANEL_WIDTH <= args->w->n;

    struct tile tile = {
        .b = block->b, .k = block->k_end - place.k, .columns = block->columns, .level = level};
    tile.merges = leaf_ends ? leaves->leaf[place.leaf].merges : 0;
    tile.skipped = block->skipped;
    tile.next = block->next;
    tile.near = block->near;
    tile.step = divide_up(block->next_bytes, (size_t)(tile.k / 2 * product->n_tiles));
    for (int i = 0; i < product->n_tiles; i++) {
        const int row = product->tile_begin[i];
        float *own = block->sums + (size_t)place.depth * level + (size_t)row * PANEL_WIDTH;
        tile.rows = product->tile_begin[i + 1] - row;
        tile.a = product->packed + ((size_t)row * (size_t)(block->chunk_end - block->chunk_begin) +
                                    (size_t)(place.k - block->chunk_begin) * (size_t)tile.rows) *
                                       packed_element;
        tile.from = place.k > leaves->leaf[place.leaf].k_begin ? own : NULL;
        if (of_integers(product) && !find_tile_groups(product, block, row, &tile.groups))
            tile.from = NULL;
        tile.groups.own = own;
        tile.below = own - level;
        tile.to = own - (size_t)tile.merges * level;
        tile.to_stride = PANEL_WIDTH;
        if (straight) {
            size_t column = (size_t)block->panel * PANEL_WIDTH;
            tile.to = args->out + (size_t)(product->m_begin + row) * args->out_stride + column;
            tile.to_stride = args->out_stride;
            tile.bias = args->bias ? args->bias + column : NULL;
        }
        product->kernel->tile(&tile, args->w->format, product->widened);
        tile.next += tile.step * (size_t)(tile.k / 2);
    }
}

// A single tile streams: there is nothing to reuse, and it fetches a little ahead of itself. (Not
// what is left of many rows, whose weights are widened block by block.)
static bool is_stream(const struct product *product)
{
    return product->n_tiles == 1 && !product->widened;
}

static size_t bytes_ahead(const struct product *product, bool *near)
{
    const struct block_kernel *kernel = product->kernel;
    const int rows = product->tile_begin[1];
    *near = rows > kernel->few_rows && rows <= kernel->near_rows;
    return *near ? NEAR_BYTES : rows <= kernel->few_rows ? FEW_BYTES : FAR_BYTES;
}

static void find_weights(const struct panels *w, int k, struct block *block)
{
    const size_t n_k = (size_t)(block->k_end - k), columns = (size_t)block->columns;
    block->skipped = 0;
    if (!panel_format_is_integer(w->format)) {
        const size_t k_bytes = columns * panel_element_bytes(w->format);
        block->b = panel_data(w, block->panel) + (size_t)k * k_bytes;
        block->next_bytes = n_k * k_bytes;
        return;
    }
    block->b = panel_codes(w, block->panel) + panel_code_at(w->format, block->columns, k);
    block->next_bytes = w->format == PANELS_INT4 ? n_k * columns / 2 : n_k * columns;
    block->skipped = w->format == PANELS_INT4 ? k % 8 / 2 : 0;
}

// One chunk of k of one item, from `place` to `chunk_end`. Returns where that is.
static struct place run_chunk(const struct product *product, struct item item, struct place place,
                              int chunk_end, float *sums)
{
    const struct panels *w = item.w;
    const struct leaf_plan *leaves = product->args->leaves;
    struct block block = {.panel = item.panel,
                          .columns = panel_width(w, item.panel),
                          .chunk_begin = place.k,
                          .chunk_end = chunk_end,
                          .sums = sums,
                          .w = w};
    const bool streams = is_stream(product);
    const int block_k = streams ? product->kernel->stream_k : product->kernel->block_k;
    const size_t ahead = streams ? bytes_ahead(product, &block.near) : 0;
    while (place.k < chunk_end) {
        const int leaf_end = leaves->leaf[place.leaf].k_end;
        block.k_end = least(leaf_end, chunk_end);
        if (block_k)
            block.k_end = least(block.k_end, place.k + block_k);
        block.place = place;
        find_weights(w, place.k, &block);
        block.next = block.b + (streams ? ahead : block.next_bytes);
        if (product->widened) {
            product->kernel->widen(block.b, w->format, block.columns, block.skipped,
                                   block.k_end - place.k, product->weights);
            block.b = (const char *)product->weights;
            block.skipped = 0;
        }
        run_block(product, &block);
        place.k = block.k_end;
        if (place.k == leaf_end) {
            place.depth += 1 - leaves->leaf[place.leaf].merges;
            place.leaf++;
        }
    }
    return place;
}

// Copies what is not in the output yet: several nodes, a last panel that is narrower, or a pair of
// items; the first one's sums lie before the second one's.
static void emit(const struct product *product, struct item item, const float *sums)
{
    const struct matmul *args = product->args;
    const int panel = item.panel;
    const size_t level = (size_t)product->rows * PANEL_WIDTH;
    if (args->activated) {
        if (item.ends_pair || !args->up)
            emit_activated(args, product->kernel->activate_mul, panel, product->m_begin,
                           product->m_end - product->m_begin,
                           args->up ? sums - (size_t)product->levels * level : sums,
                           args->up ? sums : NULL);
        return;
    }
    const size_t column = (size_t)panel * PANEL_WIDTH;
    const size_t columns = (size_t)least(PANEL_WIDTH, args->w->n - panel * PANEL_WIDTH);
    if (args->leaves->n_nodes == 1 && columns == PANEL_WIDTH)
        return;
    for (int node = 0; node < args->leaves->n_nodes; node++) {
        for (int row = product->m_begin; row < product->m_end; row++) {
            const float *from =
                sums + (size_t)node * level + (size_t)(row - product->m_begin) * PANEL_WIDTH;
            float *to = args->out + (size_t)node * args->node_stride +
                        (size_t)row * args->out_stride + column;
            if (node == 0 && args->bias)
                for (size_t i = 0; i < columns; i++)
                    to[i] = from[i] + args->bias[column + i];
            else
                memcpy(to, from, columns * sizeof *to);
        }
    }
}

static void item_group(const struct product *product, int begin, int end_item, bool *packed)
{
    const struct leaf_plan *leaves = product->args->leaves;
    const int k_end = leaves->leaf[leaves->n_leaves - 1].k_end;
    const size_t item_sums = (size_t)product->levels * (size_t)product->rows * PANEL_WIDTH;
    struct place place = {.k = leaves->leaf[0].k_begin};
    const bool one_chunk = k_end - place.k <= product->chunk_k;
    while (place.k < k_end) {
        int chunk_end = least(k_end, place.k + product->chunk_k);
        if (!*packed || !one_chunk)
            pack_chunk(product, place.k, chunk_end);
        *packed = true;
        struct place end = place;
        for (int i = begin; i < end_item; i++)
            end = run_chunk(product, item_at(product->args, i), place, chunk_end,
                            product->sums + (size_t)(i - begin) * item_sums);
        place = end;
    }
    for (int i = begin; i < end_item; i++)
        emit(product, item_at(product->args, i), product->sums + (size_t)(i - begin) * item_sums);
}

static int rows_to_widen(enum panel_format format, const struct block_kernel *kernel)
{
    return format == PANELS_INT8 ? kernel->widen_int8 : kernel->widen_int4;
}

void matmul_blocks(const struct matmul *args, const struct block_kernel *kernel)
{
    struct product product = {.args = args, .kernel = kernel};
    product.widened =
        of_integers(&product)
            ? args->m >= rows_to_widen(args->w->format, kernel)
            : !kernel->a_is_pairs && args->w->format != PANELS_F32 && args->m >= kernel->widen_rows;
    cut(&product);
    for (int m = 0; m < args->m; m += product.rows) {
        bool packed = false;
        cut_rows(&product, m, least(args->m, m + product.rows));
        if (args->w->groups.zeros)
            sum_inputs(&product);
        for (int i = 0, n = n_items(args); i < n; i += product.items)
            item_group(&product, i, least(n, i + product.items), &packed);
    }
}
