// Where latent attention's weights lie: kv_b_proj as two stacks of matrices, one of each head.
#include <assert.h>

#include "model/weights_walk.h"

// Rows of kv_b_proj that are a head's: of its keys, or of its values.
static struct slot_part rows_of_head(const struct slot_part *all, int head, int32_t first,
                                     int32_t count, const struct latent_config *config)
{
    struct slot_part part = *all;
    part.rows.begin = all->rows.begin + head * (config->nope_dim + config->value_dim) + first;
    part.rows.end = part.rows.begin + count;
    return part;
}

// [latent, nope_dim]: the tensor's rows are the columns.
static enum status place_key_up(struct walk *w, const struct slot_part *rows,
                                const struct latent_config *config, struct panels *out)
{
    struct panel_layout layout;
    size_t bytes;
    void *data = NULL;
    TRY(panel_layout(w, rows, 1, &layout));
    TRY(panels_layout_bytes(&layout, config->kv_rank, config->nope_dim, &bytes));
    TRY(reserve_weights(w, bytes, &data));
    if (w->memory)
        panels_layout_init(out, &layout, config->kv_rank, config->nope_dim, data);
    return add_layout_piece(w, rows, (struct weight_piece){.panels = *out, .transposed = true});
}

static enum status place_heads(struct walk *w, const struct latent_config *config,
                               struct latent_weights *out)
{
    const struct slot_part all = find_part(w, SLOT_LATENT_UP, false);
    const int n = (all.rows.end - all.rows.begin) / (config->nope_dim + config->value_dim);
    assert(all.parameter && n > 0);
    for (int head = 0; head < n; head++) {
        struct panels panels = {0};
        const struct slot_part rows = rows_of_head(&all, head, 0, config->nope_dim, config);
        TRY(place_key_up(w, &rows, config, &panels));
        add_equal_panels(head, &panels, &out->key_up);
    }
    for (int head = 0; head < n; head++) {
        struct panels panels = {0};
        const struct slot_part rows =
            rows_of_head(&all, head, config->nope_dim, config->value_dim, config);
        TRY(place_parts(w, &rows, 1, &panels));
        add_equal_panels(head, &panels, &out->value_up);
    }
    return OK;
}

enum status place_latent(struct walk *w, const struct latent_config *config,
                         struct latent_weights *out)
{
    static const enum slot by_rank[] = {SLOT_QUERY_DOWN, SLOT_LATENT, SLOT_INDEX_KEY,
                                        SLOT_INDEX_WEIGHTS},
                           at_once[] = {SLOT_QUERY, SLOT_LATENT}, up[] = {SLOT_QUERY_UP},
                           index[] = {SLOT_INDEX_QUERY};
    const enum slot *down = config->q_rank ? by_rank : at_once;
    const bool has_index = index_key_dim(config) > 0;
    const int n_down = has_index ? 4 : 2;
    assert(config->q_rank || !has_index);
    TRY(place_panels(w, down, n_down, &out->down));
    TRY(place_vector(w, down, n_down, true, 0, &out->down_bias));
    TRY(place_norm(w, &config->norm, SLOT_LATENT_NORM, &out->norm));
    if (config->q_rank) {
        TRY(place_norm(w, &config->norm, SLOT_QUERY_DOWN_NORM, &out->query_norm));
        TRY(place_panels(w, up, 1, &out->query_up));
    }
    if (has_index) {
        TRY(place_norm(w, &config->index.norm, SLOT_INDEX_KEY_NORM, &out->index_norm));
        TRY(place_panels(w, index, 1, &out->index_query));
    }
    return place_heads(w, config, out);
}
