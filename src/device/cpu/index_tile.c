// Scores of an indexer (docs/numerics.md section 15) by the steps of attention: the products of all
// heads with a page's keys, then their sum.
#include <assert.h>
#include <string.h>

#include "base/checked.h"
#include "device/cpu/attention_tile.h"

// As many rows as there is room for: q and p of each, and a widened page.
static void lay_index_tile(struct attention_tile *tile, const struct index_scoring *args)
{
    const size_t width = round_up((size_t)args->kv.head_dim, TILE_COLUMNS),
                 floats = ATTENTION_TILE_BYTES / sizeof(float) - width * KV_PAGE_TOKENS,
                 room = floats / (width + KV_PAGE_TOKENS) / 16 * 16,
                 rows = room < TILE_ROWS_MAX ? room : TILE_ROWS_MAX;
    *tile = (struct attention_tile){.type = args->kv.type,
                                    .rows_max = (int)rows,
                                    .head_dim = args->kv.head_dim,
                                    .n_heads = args->n_heads,
                                    .scale = 1};
    tile->p = args->scratch;
    tile->keys = tile->p + rows * KV_PAGE_TOKENS;
    tile->q = tile->keys + width * KV_PAGE_TOKENS;
    assert(tile->q + rows * width <= (float *)args->scratch + ATTENTION_TILE_BYTES / sizeof(float));
}

static void score_page(const struct index_scoring *args, const struct attention_steps *steps,
                       struct attention_tile *tile, int64_t page, int head, int n_heads)
{
    const char *keys = args->kv.keys + (size_t)args->kv.pages[page] * args->kv.page_stride;
    float *out = args->out + page * KV_PAGE_TOKENS;
    enum page_form form = tile->type == COMPUTE_BF16  ? PAGE_BF16
                          : tile->type == COMPUTE_F16 ? PAGE_F16
                                                      : PAGE_F32;
    if (head == 0)
        memset(out, 0, KV_PAGE_TOKENS * sizeof *out);
    if (form != PAGE_F32 && n_heads >= steps->widen_rows) {
        steps->widen_keys(tile, keys);
        keys = (const char *)tile->keys;
        form = steps->widened;
    }
    for (int row = 0, end; row < n_heads; row = end) {
        end = n_heads - row < steps->chunk_rows ? n_heads : row + steps->chunk_rows;
        steps->scores(tile, row, end, keys, form);
    }
    steps->add_heads(tile, args->weights + head, n_heads, out);
}

void index_run(const struct index_scoring *args, const struct attention_steps *steps)
{
    struct attention_tile tile;
    int shape = 0;
    const size_t item = args->kv.type == COMPUTE_BF16 ? sizeof(bf16) : sizeof(float),
                 query = (size_t)args->kv.head_dim * item;
    assert(args->kv.head_dim >= 2 && args->kv.head_dim <= KEY_DIM_MAX &&
           args->kv.head_dim % 2 == 0 && args->n_heads >= 1);
    lay_index_tile(&tile, args);
    tile.shape = &shape;
    for (int head = 0, n; head < args->n_heads; head += n) {
        n = args->n_heads - head < tile.rows_max ? args->n_heads - head : tile.rows_max;
        for (int row = 0; row < n; row++)
            steps->load_query(&tile, row, (const char *)args->q + (size_t)(head + row) * query);
        for (int64_t page = args->page_begin; page < args->page_end; page++)
            score_page(args, steps, &tile, page, head, n);
    }
}
