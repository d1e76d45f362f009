#include "model/kv_layout.h"

#include <assert.h>
#include <string.h>

#include "device/kernels.h"
#include "model/state_layout.h"

int kv_sublayer(const struct model_config *config, int layer)
{
    const struct layer_config *l = model_config_layer(config, layer);
    for (int i = 0; i < l->n_sublayers; i++)
        if (l->sublayers[i].kind == MIX_ATTENTION && !l->sublayers[i].attention.keys_of_earlier)
            return i;
    return -1;
}

// NULL: it has no keys of its own.
static const struct attention_config *keys_of_layer(const struct model_config *config, int layer)
{
    int i = kv_sublayer(config, layer);
    return i < 0 ? NULL : &model_config_layer(config, layer)->sublayers[i].attention;
}

// Of a token.
static int64_t kv_numbers(const struct attention_config *a)
{
    if (a->latent.kv_rank)
        return latent_cached_dim(&a->latent);
    return (int64_t)a->num_key_value_heads * (a->head_dim + attention_value_dim(a));
}

// Layers of one window.
struct window_class {
    int64_t window;
    int64_t largest; // a token's numbers of one layer, not bytes: types and ranks are all alike
    int n_layers;
};
struct window_classes {
    int n;
    struct window_class class[KV_GROUPS_MAX];
};

static int64_t window_of(const struct model_config *config, const struct attention_config *a)
{
    return a->sliding_window < config->max_position_embeddings ? a->sliding_window : 0;
}

static int class_of(struct window_classes *classes, int64_t window)
{
    int i = 0;
    while (i < classes->n && classes->class[i].window != window)
        i++;
    assert(i < KV_GROUPS_MAX); // a model has one window, and layers without
    if (i == classes->n)
        classes->class[classes->n++] = (struct window_class){.window = window};
    return i;
}

static void find_classes(const struct model_config *config, struct window_classes *classes)
{
    *classes = (struct window_classes){0};
    for (int pass = 0; pass < 2; pass++) // those without a window first
        for (int layer = 0; layer < config->num_hidden_layers; layer++) {
            const struct attention_config *a = keys_of_layer(config, layer);
            if (!a || (window_of(config, a) == 0) != (pass == 0))
                continue;
            struct window_class *class = &classes->class[class_of(classes, window_of(config, a))];
            int64_t numbers = kv_numbers(a);
            class->largest = numbers > class->largest ? numbers : class->largest;
            class->n_layers++;
        }
}

// Groups of a class when pages have room for so many numbers.
static int groups_of_class(const struct window_class *class, int64_t page)
{
    assert(class->largest > 0);
    int64_t per_page = page / class->largest;
    return per_page < 1 ? KV_GROUPS_MAX + 1 : (int)((class->n_layers + per_page - 1) / per_page);
}

static int count_groups(const struct window_classes *classes, int64_t page)
{
    int n = 0;
    for (int i = 0; i < classes->n && n <= KV_GROUPS_MAX; i++)
        n += groups_of_class(&classes->class[i], page);
    return n;
}

// The size with the least that stays empty: that of a class, or of a half or third of one.
static int64_t choose_page(const struct window_classes *classes)
{
    int64_t best = 0, best_cost = 0;
    for (int i = 0; i < classes->n; i++)
        for (int part = 1; part <= 3; part++) {
            const struct window_class *class = &classes->class[i];
            int64_t page = (class->n_layers + part - 1) / part * class->largest;
            int n = count_groups(classes, page);
            if (n <= KV_GROUPS_MAX && (!best || page * n < best_cost)) {
                best = page;
                best_cost = page * n;
            }
        }
    return best;
}

// One group for all, which keeps everything.
static void join_groups(struct kv_layout *layout)
{
    memset(layout, 0, sizeof *layout);
    layout->n_groups = 1;
}

// Gives a stage's layers of each class to the groups of that class, in order, to each as many as
// one needs.
static void fill_groups(struct kv_layout *layout, const struct model_config *config,
                        struct window_classes *classes, const int *first_group, int begin, int end)
{
    int n_layers[KV_GROUPS_MAX] = {0}, used[KV_GROUPS_MAX] = {0};
    for (int pass = 0; pass < 2; pass++) // counts, then gives
        for (int layer = begin; layer < end; layer++) {
            const struct attention_config *a = keys_of_layer(config, layer);
            if (!a)
                continue;
            int i = class_of(classes, window_of(config, a));
            if (pass == 0) {
                n_layers[i]++;
                continue;
            }
            int n_groups = first_group[i + 1] - first_group[i];
            assert(n_groups > 0 && n_layers[i] > 0);
            int per_group = (n_layers[i] + n_groups - 1) / n_groups;
            layout->group_of[layer] = (uint8_t)(first_group[i] + used[i]++ / per_group);
        }
}

// A snapshot costs its pages for as long as the prefix cache knows it: at most so many for each
// page of keys and values that were computed since the one before. And it is of little use more
// often than so.
enum { SNAPSHOT_PART = 2, SNAPSHOT_PAGES_LEAST = 2 };

static void lay_states(struct kv_layout *layout, const struct model_config *config, size_t page)
{
    layout->state_pages = (int32_t)state_pages_of_model(config, page);
    if (!layout->state_pages)
        return;
    int32_t part = SNAPSHOT_PART * layout->n_groups,
            pages = (layout->state_pages + part - 1) / part;
    pages = pages > SNAPSHOT_PAGES_LEAST ? pages : SNAPSHOT_PAGES_LEAST;
    layout->state_interval = pages * KV_PAGE_TOKENS;
}

void kv_layout_init(struct kv_layout *layout, const struct model_config *config,
                    size_t number_bytes, const int32_t *first_layer, int n_stages)
{
    struct window_classes classes;
    int first[KV_GROUPS_MAX + 1] = {0};
    join_groups(layout);
    find_classes(config, &classes);
    int64_t page = choose_page(&classes);
    if (page == 0) {
        lay_states(layout, config, 0);
        return;
    }
    layout->n_groups = 0;
    for (int i = 0; i < classes.n; i++) {
        first[i] = layout->n_groups;
        for (int n = groups_of_class(&classes.class[i], page); n > 0; n--)
            layout->windows[layout->n_groups++] = classes.class[i].window;
    }
    first[classes.n] = layout->n_groups;
    assert(layout->n_groups <= KV_GROUPS_MAX);
    lay_states(layout, config, 2 * KV_PAGE_TOKENS * (size_t)page * number_bytes);
    for (int stage = 0; stage < n_stages; stage++)
        fill_groups(layout, config, &classes, first, first_layer[stage], first_layer[stage + 1]);
}

int64_t kv_first_page(int64_t window, int64_t position)
{
    return window && position >= window ? (position - window + 1) / KV_PAGE_TOKENS : 0;
}

int64_t kv_pages_of_group(const struct kv_layout *layout, int group, int64_t n_tokens,
                          int32_t rows_max)
{
    int64_t all = (n_tokens + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS, window = layout->windows[group];
    // what a chunk's first query sees, the chunk, and a page that both only touch
    int64_t most = (window + rows_max + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS + 1;
    return window && most < all ? most : all;
}

int64_t kv_states_of_sequence(const struct kv_layout *layout, int64_t n_tokens, int32_t rows_max)
{
    if (!layout->state_pages)
        return 0;
    int64_t interval = layout->state_interval, all = (n_tokens + interval - 1) / interval;
    // what a chunk reads, and those in which it writes
    int64_t most = (rows_max + interval - 1) / interval + 1;
    return most < all ? most : all;
}

int64_t kv_state_entries(const struct kv_layout *layout, int64_t n_sequences, int32_t rows_max)
{
    if (!layout->state_pages)
        return 0;
    return layout->state_pages * (2 * n_sequences + rows_max / layout->state_interval + 1);
}

int64_t kv_pages_of_sequence(const struct kv_layout *layout, int64_t n_tokens, int32_t rows_max)
{
    int64_t n = 0;
    for (int group = 0; group < layout->n_groups; group++)
        n += kv_pages_of_group(layout, group, n_tokens, rows_max);
    n += layout->state_pages * kv_states_of_sequence(layout, n_tokens, rows_max);
    return n;
}

int64_t kv_tokens_of_pages(const struct kv_layout *layout, int64_t n_pages, int32_t rows_max)
{
    int64_t low = 0, high = n_pages; // in pages of each group: it never takes fewer
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        if (kv_pages_of_sequence(layout, middle * KV_PAGE_TOKENS, rows_max) <= n_pages)
            low = middle;
        else
            high = middle - 1;
    }
    return low * KV_PAGE_TOKENS;
}
