#include "device/cpu/attention_tile.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"

enum { GROUP_TOKENS = KV_PAGE_TOKENS * KV_GROUP_PAGES };

struct span { // tokens [begin, end), relative to the call's first
    int begin, end;
};

static int64_t first_visible(const struct attention *args, int64_t position)
{
    const int64_t first =
        args->window > 0 && position >= args->window ? position - args->window + 1 : 0;
    if (args->chunk <= 0)
        return first;
    const int64_t block = position / args->chunk * args->chunk;
    return block > first ? block : first;
}

// The tokens of `tile` that see one of the positions [begin, end). Both edges of what a token sees
// move with it.
static struct span tokens_that_see(const struct attention *args, struct span tile, int64_t begin,
                                   int64_t end)
{
    while (tile.begin < tile.end && args->position + tile.begin < begin)
        tile.begin++;
    while (tile.begin < tile.end && first_visible(args, args->position + tile.end - 1) >= end)
        tile.end--;
    return tile;
}

static uint64_t visible_bits(const struct attention *args, int64_t position, int64_t page_begin)
{
    int64_t first = first_visible(args, position) - page_begin, last = position - page_begin;
    uint64_t bits = ~(uint64_t)0;
    if (last < KV_PAGE_TOKENS - 1)
        bits >>= KV_PAGE_TOKENS - 1 - last;
    return first > 0 ? bits >> first << first : bits;
}

enum { FLOATS_PER_ROW = 5 + 2 + KV_PAGE_TOKENS }; // m, l, c, all_m, all_l; visible; p

// Lays the tile's arrays out in the scratch memory; all begin at a multiple of 64 bytes, for rows
// come in sixteens.
static void tile_init(struct attention_tile *tile, const struct attention *args)
{
    const int value_dim = kv_value_dim(&args->kv);
    const size_t width = round_up((size_t)value_dim, TILE_COLUMNS),
                 key_width = round_up((size_t)args->kv.head_dim, TILE_COLUMNS);
    *tile = (struct attention_tile){.type = args->kv.type,
                                    .out_type = args->out_type,
                                    .head_dim = args->kv.head_dim,
                                    .value_dim = value_dim,
                                    .width = (int)width,
                                    .n_heads = args->n_heads,
                                    .adjusts = args->softcap != 0 || args->slopes,
                                    .scale = args->scale,
                                    .product_scale = args->scale,
                                    .softcap = args->softcap,
                                    .slopes = args->slopes};
    if (tile->adjusts)
        tile->scale = 1;
    size_t floats = ATTENTION_TILE_BYTES / sizeof(float) - (width + key_width) * KV_PAGE_TOKENS;
    size_t rows = floats / (FLOATS_PER_ROW + key_width + 2 * width) / 16 * 16;
    rows = rows < TILE_ROWS_MAX ? rows : TILE_ROWS_MAX;
    tile->rows_max = (int)rows;
    float *next = args->scratch;
    float **const per_row[] = {&tile->m, &tile->l, &tile->c, &tile->all_m, &tile->all_l};
    for (size_t i = 0; i < sizeof per_row / sizeof *per_row; i++, next += rows)
        *per_row[i] = next;
    tile->visible = (uint64_t *)(void *)next;
    next += 2 * rows;
    float **const per_column[] = {&tile->o, &tile->all_o};
    for (size_t i = 0; i < sizeof per_column / sizeof *per_column; i++, next += rows * width)
        *per_column[i] = next;
    tile->q = next;
    next += rows * key_width;
    tile->p = next;
    next += rows * KV_PAGE_TOKENS;
    tile->keys = next;
    next += key_width * KV_PAGE_TOKENS;
    tile->values = next;
    assert(next + width * KV_PAGE_TOKENS <=
           (float *)args->scratch + ATTENTION_TILE_BYTES / sizeof(float));
    tile->numbers[0] = (char *)args->scratch + ATTENTION_TILE_BYTES;
    tile->numbers[1] = tile->numbers[0] + (size_t)KV_PAGE_TOKENS * KEY_DIM_MAX * sizeof(float);
}

static void load_queries(const struct attention *args, const struct attention_steps *steps,
                         struct attention_tile *tile, struct span tokens)
{
    size_t element = args->kv.type == COMPUTE_BF16 ? 2 : 4;
    int row = 0;
    for (int i = tokens.begin; i < tokens.end; i++)
        for (int h = 0; h < args->n_heads; h++, row++) {
            size_t at = (size_t)i * args->q_stride + (size_t)(h * args->kv.head_dim);
            steps->load_query(tile, row, (const char *)args->q + at * element);
        }
}

static enum page_form form_of(enum compute_type type)
{
    return type == COMPUTE_BF16 ? PAGE_BF16 : type == COMPUTE_F16 ? PAGE_F16 : PAGE_F32;
}

// A page's keys or values as the steps read them.
struct half_page {
    const void *data;
    enum page_form form;
    size_t stride;
    const char *ahead; // what is read next
};

static void turn_f32(const struct attention_tile *tile, const uint32_t *page)
{
    uint32_t *out = (uint32_t *)(void *)tile->values;
    for (int j = 0; j < KV_PAGE_TOKENS; j++, out += tile->width)
        for (int d = 0; d < tile->value_dim; d++)
            out[d] = page[d * KV_PAGE_TOKENS + j];
}

static void turn_f16(const struct attention_tile *tile, const f16 *page)
{
    float *out = tile->values;
    for (int j = 0; j < KV_PAGE_TOKENS; j++, out += tile->width)
        for (int d = 0; d < tile->value_dim; d++)
            out[d] = float_of_f16(page[d * KV_PAGE_TOKENS + j]);
}

static void turn_bf16_wide(const struct attention_tile *tile, const uint32_t *page)
{
    uint32_t *out = (uint32_t *)(void *)tile->values;
    for (int j = 0; j < KV_PAGE_TOKENS; j++, out += tile->width)
        for (int d = 0; d < tile->value_dim; d += 2) {
            const uint32_t pair = page[d / 2 * KV_PAGE_TOKENS + j];
            out[d] = pair << 16;
            out[d + 1] = pair & 0xffff0000;
        }
}

// Pairs of numbers of a position become pairs of positions.
static void turn_bf16(const struct attention_tile *tile, const uint32_t *page)
{
    uint32_t *out = (uint32_t *)(void *)tile->values;
    for (int j = 0; j < KV_PAGE_TOKENS; j += 2, out += tile->width)
        for (int d = 0; d < tile->value_dim; d += 2) {
            const uint32_t *pairs = page + d / 2 * KV_PAGE_TOKENS + j;
            out[d] = (pairs[0] & 0xffff) | pairs[1] << 16;
            out[d + 1] = pairs[0] >> 16 | (pairs[1] & 0xffff0000);
        }
}

// tile->values, of values that are the first numbers of the page's keys.
static void turn_keys(const struct attention_tile *tile, const void *page, enum page_form form)
{
    assert(tile->value_dim % 2 == 0);
    if (tile->width > tile->value_dim)
        memset(tile->values, 0, (size_t)(KV_PAGE_TOKENS * tile->width) * sizeof *tile->values);
    if (tile->type == COMPUTE_F32)
        turn_f32(tile, page);
    else if (tile->type == COMPUTE_F16)
        turn_f16(tile, page);
    else if (form == PAGE_F32)
        turn_bf16_wide(tile, page);
    else
        turn_bf16(tile, page);
}

static void add_chunk(const struct attention_steps *steps, struct attention_tile *tile, int row,
                      int end, const struct half_page *keys, const struct half_page *values)
{
    tile->ahead = keys->ahead;
    steps->scores(tile, row, end, keys->data, keys->form);
    if (tile->adjusts)
        steps->adjust(tile, row, end);
    steps->weights(tile, row, end);
    tile->ahead = values->ahead;
    steps->add_values(tile, row, end, values->data, values->form, values->stride);
}

// Both halves become numbers before the first of them is read: the values' codes come while keys
// do.
static void expand_page(const struct attention *args, const struct attention_steps *steps,
                        const struct attention_tile *tile, int32_t page, int32_t next)
{
    const struct kv_view *kv = &args->kv;
    const size_t at = (size_t)page * kv->page_stride, next_at = (size_t)next * kv->page_stride;
    const bool alike = kv_value_dim(kv) == kv->head_dim; // as many bytes are fetched as are read
    kv_expand_keys(kv, page, alike ? kv->values + at : NULL, steps->expand, tile->numbers[0]);
    kv_expand_values(kv, page, alike ? kv->keys + next_at : NULL, steps->expand, tile->numbers[1]);
}

// `next`: the page that comes after this one, or the same.
static void add_page(const struct attention *args, const struct attention_steps *steps,
                     struct attention_tile *tile, int row, int end, int32_t page, int32_t next)
{
    const bool of_codes = args->kv.codes != KV_PLAIN;
    const char *k = args->kv.keys + (size_t)page * args->kv.page_stride;
    const char *v = args->kv.values ? args->kv.values + (size_t)page * args->kv.page_stride : NULL;
    const char *next_keys = args->kv.keys + (size_t)next * args->kv.page_stride;
    enum page_form form = form_of(tile->type);
    struct half_page keys = {k, form, KV_PAGE_TOKENS, v},
                     values = {v, form, (size_t)tile->value_dim, next_keys};
    if (of_codes) {
        expand_page(args, steps, tile, page, next);
        keys = (struct half_page){tile->numbers[0], form, KV_PAGE_TOKENS, NULL};
        values = (struct half_page){tile->numbers[1], form, (size_t)tile->value_dim, NULL};
        k = tile->numbers[0];
        v = tile->numbers[1];
    }
    bool widen = form != PAGE_F32 && end - row >= steps->widen_rows;
    if (widen) {
        steps->widen_keys(tile, k);
        keys = (struct half_page){tile->keys, steps->widened, KV_PAGE_TOKENS, NULL};
    }
    if (!v)
        keys.ahead = next_keys;
    // Also a page whose last columns would be read past their end is copied, with zeros there, and
    // values that are keys, which lie the other way.
    if (widen || tile->width != tile->value_dim || !v) {
        if (v)
            steps->widen_values(tile, v);
        else
            turn_keys(tile, k, steps->widened);
        values = (struct half_page){tile->values, steps->widened, (size_t)tile->width, NULL};
    }
    for (int next_row; row < end; row = next_row) {
        next_row = end - row < steps->chunk_rows ? end : row + steps->chunk_rows;
        add_chunk(steps, tile, row, next_row, &keys, &values);
        keys.ahead = values.ahead = NULL;
    }
}

// Rows of `tokens`, all of which see something of the group that begins at position `begin`.
static void add_group(const struct attention *args, const struct attention_steps *steps,
                      struct attention_tile *tile, struct span whole, struct span tokens,
                      int64_t begin)
{
    int row = (tokens.begin - whole.begin) * args->n_heads,
        end = (tokens.end - whole.begin) * args->n_heads;
    for (int i = row; i < end; i++) {
        tile->m[i] = -INFINITY;
        tile->l[i] = 0;
    }
    if (args->window > 0 ||
        args->chunk > 0) // then a page may be the first one of some rows and not of others
        memset(tile->o + (size_t)row * (size_t)tile->width, 0,
               (size_t)(end - row) * (size_t)tile->width * sizeof *tile->o);
    for (int64_t page_begin = begin; page_begin < begin + GROUP_TOKENS;
         page_begin += KV_PAGE_TOKENS) {
        struct span see = tokens_that_see(args, tokens, page_begin, page_begin + KV_PAGE_TOKENS);
        if (see.begin == see.end)
            continue;
        int first_row = (see.begin - whole.begin) * args->n_heads, i = first_row;
        for (int t = see.begin; t < see.end; t++) {
            uint64_t visible = visible_bits(args, args->position + t, page_begin);
            for (int h = 0; h < args->n_heads; h++)
                tile->visible[i++] = visible;
        }
        tile->fresh =
            page_begin == begin || page_begin <= first_visible(args, args->position + see.begin);
        tile->position = page_begin;
        int64_t page = page_begin / KV_PAGE_TOKENS,
                last_page = (args->position + whole.end - 1) / KV_PAGE_TOKENS;
        add_page(args, steps, tile, first_row, i, args->kv.pages[page],
                 args->kv.pages[page + (page < last_page)]);
    }
}

static void take_group(struct attention_tile *tile, int row, int end)
{
    size_t n = (size_t)(end - row);
    memcpy(tile->all_m + row, tile->m + row, n * sizeof(float));
    memcpy(tile->all_l + row, tile->l + row, n * sizeof(float));
    size_t at = (size_t)row * (size_t)tile->width;
    memcpy(tile->all_o + at, tile->o + at, n * (size_t)tile->width * sizeof(float));
}

// Tokens whose first group this is come behind the others: a later token's window begins later.
static void finish_group(const struct attention *args, const struct attention_steps *steps,
                         struct attention_tile *tile, struct span whole, struct span tokens,
                         int64_t begin)
{
    int middle = tokens.begin;
    while (middle < tokens.end && first_visible(args, args->position + middle) < begin)
        middle++;
    int row = (tokens.begin - whole.begin) * args->n_heads,
        split = (middle - whole.begin) * args->n_heads;
    int end = (tokens.end - whole.begin) * args->n_heads;
    if (row < split)
        steps->merge(tile, row, split);
    if (split < end)
        take_group(tile, split, end);
}

// One more column of each row's softmax.
static void add_sinks(const float *sinks, const struct attention_tile *tile, int n_rows)
{
    for (int row = 0; row < n_rows; row++)
        tile->all_l[row] += number_exp(sinks[row % tile->n_heads] - tile->all_m[row]);
}

// What the softmax of a row is made of.
static void store_sums(const struct attention *args, const struct attention_tile *tile,
                       struct span whole)
{
    const size_t width = attention_sums_width(tile->value_dim);
    size_t row = 0;
    for (int i = whole.begin; i < whole.end; i++)
        for (int h = 0; h < args->n_heads; h++, row++) {
            float *out = args->sums + (size_t)i * args->sums_stride + (size_t)h * width;
            out[0] = tile->all_m[row];
            out[1] = tile->all_l[row];
            memcpy(out + 2, tile->all_o + row * (size_t)tile->width,
                   (size_t)tile->value_dim * sizeof *out);
        }
}

static void store_rows(const struct attention *args, const struct attention_steps *steps,
                       struct attention_tile *tile, struct span whole)
{
    const size_t element = args->out_type == COMPUTE_BF16 ? 2 : 4;
    int row = 0;
    if (args->sinks)
        add_sinks(args->sinks, tile, (whole.end - whole.begin) * args->n_heads);
    for (int i = whole.begin; i < whole.end; i++)
        for (int h = 0; h < args->n_heads; h++, row++) {
            size_t at = (size_t)i * args->out_stride + (size_t)(h * tile->value_dim);
            steps->store(tile, row, (char *)args->out + at * element);
        }
}

static void attend_tile(const struct attention *args, const struct attention_steps *steps,
                        struct attention_tile *tile, struct span whole)
{
    load_queries(args, steps, tile, whole);
    int64_t last = args->position + whole.end - 1;
    int64_t begin = first_visible(args, args->position + whole.begin) / GROUP_TOKENS * GROUP_TOKENS;
    for (; begin <= last; begin += GROUP_TOKENS) {
        struct span tokens = tokens_that_see(args, whole, begin, begin + GROUP_TOKENS);
        if (tokens.begin == tokens.end)
            continue;
        add_group(args, steps, tile, whole, tokens, begin);
        finish_group(args, steps, tile, whole, tokens, begin);
    }
    if (args->sums)
        store_sums(args, tile, whole);
    else
        store_rows(args, steps, tile, whole);
}

// Tiles of one call, whose heads fit into one.
static void attend_heads(const struct attention *args, const struct attention_steps *steps)
{
    struct attention_tile tile;
    tile_init(&tile, args);
    int shape = 0, tokens_max = tile.rows_max / args->n_heads;
    assert(args->n_heads >= 1 && tokens_max >= 1);
    tile.shape = &shape;
    // Tiles begin at multiples of 16 positions, where they can: with them end the rows that see a
    // page, and steps work on 16 rows best.
    if (tokens_max > 16)
        tokens_max -= tokens_max % 16;
    struct span tokens = {0, 0};
    for (; tokens.begin < args->n_tokens; tokens.begin = tokens.end) {
        int early = tokens_max > 16 ? (int)((args->position + tokens.begin) % 16) : 0;
        tokens.end = tokens.begin + tokens_max - early;
        tokens.end = tokens.end < args->n_tokens ? tokens.end : args->n_tokens;
        attend_tile(args, steps, &tile, tokens);
    }
}

void attention_run(const struct attention *args, const struct attention_steps *steps)
{
    const int value_dim = kv_value_dim(&args->kv);
    assert(args->kv.head_dim >= 2 && args->kv.head_dim <= KEY_DIM_MAX &&
           args->kv.head_dim % 2 == 0);
    assert(value_dim >= 2 && value_dim <= KEY_DIM_MAX && value_dim % 2 == 0);
    assert(args->kv.values || value_dim <= args->kv.head_dim);
    assert(args->kv.values || args->kv.codes == KV_PLAIN);
    assert(args->out_type == args->kv.type || args->out_type == COMPUTE_F32 ||
           args->kv.type == COMPUTE_F32);
    struct attention_tile tile;
    tile_init(&tile, args);
    if (args->n_heads <= tile.rows_max) {
        attend_heads(args, steps);
        return;
    }
    size_t q_item = args->kv.type == COMPUTE_BF16 ? 2 : 4,
           out_item = args->out_type == COMPUTE_BF16 ? 2 : 4;
    for (int head = 0; head < args->n_heads; head += tile.rows_max) {
        struct attention part = *args;
        const size_t column = (size_t)head * (size_t)args->kv.head_dim,
                     out_column = (size_t)head * (size_t)value_dim;
        part.n_heads = args->n_heads - head < tile.rows_max ? args->n_heads - head : tile.rows_max;
        part.q = (const char *)args->q + column * q_item;
        if (args->sums)
            part.sums = args->sums + (size_t)head * attention_sums_width(value_dim);
        else
            part.out = (char *)args->out + out_column * out_item;
        part.sinks = args->sinks ? args->sinks + head : NULL;
        part.slopes = args->slopes ? args->slopes + head : NULL;
        attend_heads(&part, steps);
    }
}
