#include "model/state_layout.h"

#include <assert.h>

#include "device/kernels.h"
#include "model/plan.h"

static size_t aligned(size_t bytes)
{
    return (bytes + STATE_ALIGNMENT - 1) / STATE_ALIGNMENT * STATE_ALIGNMENT;
}

int32_t convolution_unit(int32_t channels)
{
    int32_t unit = 2;
    while (channels % (2 * unit) == 0 && channels / (2 * unit) >= LEAVES_MAX)
        unit *= 2;
    return unit;
}

// Of a head: the last inputs of its part of x, then its S. Of a group: of B, then of C.
static struct state_units mamba_units(const struct mamba_config *m)
{
    const size_t taps = (size_t)m->taps - 1, head_dim = (size_t)m->head_dim,
                 state_size = (size_t)m->state_size;
    return (struct state_units){.heads = m->num_heads,
                                .groups = m->n_groups,
                                .head_bytes = (taps + state_size) * head_dim * sizeof(float),
                                .group_bytes = 2 * taps * state_size * sizeof(float)};
}

// Of a value head: the last inputs of its value, then its S. Of a key head: of its query, then of
// its key.
static struct state_units delta_units(const struct delta_config *d)
{
    const size_t taps = (size_t)d->taps - 1, key = (size_t)d->key_head_dim,
                 value = (size_t)d->value_head_dim;
    return (struct state_units){.heads = d->num_value_heads,
                                .groups = d->num_key_heads,
                                .head_bytes = (taps + key) * value * sizeof(float),
                                .group_bytes = 2 * taps * key * sizeof(float)};
}

static struct state_units convolution_units(const struct model_config *config,
                                            const struct convolution_config *c)
{
    const int32_t unit = convolution_unit(config->hidden_size);
    return (struct state_units){.heads = config->hidden_size / unit,
                                .head_bytes = ((size_t)c->taps - 1) * (size_t)unit * sizeof(float)};
}

struct state_units state_units_of(const struct model_config *config,
                                  const struct sublayer_config *sublayer)
{
    switch (sublayer->kind) {
    case MIX_ATTENTION:
    case MIX_MLP:
    case MIX_EXPERTS:
        break;
    case MIX_MAMBA:
        return mamba_units(&sublayer->mamba);
    case MIX_CONVOLUTION:
        return convolution_units(config, &sublayer->convolution);
    case MIX_DELTA:
        return delta_units(&sublayer->delta);
    }
    return (struct state_units){0};
}

static bool has_state(const struct model_config *config, const struct sublayer_config *sublayer)
{
    const struct state_units units = state_units_of(config, sublayer);
    return units.heads || units.groups;
}

int state_sublayer(const struct model_config *config, int layer)
{
    const struct layer_config *l = model_config_layer(config, layer);
    for (int i = 0; i < l->n_sublayers; i++)
        if (has_state(config, &l->sublayers[i]))
            return i;
    return -1;
}

struct state_place state_next_place(struct state_walk *walk, size_t unit_bytes)
{
    unit_bytes = aligned(unit_bytes);
    assert(unit_bytes <= walk->page_bytes);
    if (unit_bytes > walk->page_bytes - walk->used) {
        walk->page++;
        walk->used = 0;
    }
    struct state_place place = {walk->page, walk->used};
    walk->used += unit_bytes;
    return place;
}

static void pass_units(struct state_walk *walk, const struct state_units *units)
{
    for (int i = 0; i < units->heads; i++)
        state_next_place(walk, units->head_bytes);
    for (int i = 0; i < units->groups; i++)
        state_next_place(walk, units->group_bytes);
}

static size_t larger_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t largest_unit(const struct state_units *units)
{
    return larger_size(units->heads ? aligned(units->head_bytes) : 0,
                       units->groups ? aligned(units->group_bytes) : 0);
}

static size_t all_bytes(const struct state_units *units)
{
    return (size_t)units->heads * aligned(units->head_bytes) +
           (size_t)units->groups * aligned(units->group_bytes);
}

int64_t state_pages_of_model(const struct model_config *config, size_t page_bytes)
{
    struct state_walk walk = {.page_bytes = page_bytes ? page_bytes : SIZE_MAX};
    size_t bytes = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int layer = 0; layer < config->num_hidden_layers; layer++) {
            int i = state_sublayer(config, layer);
            if (i < 0)
                continue;
            const struct state_units units =
                state_units_of(config, &model_config_layer(config, layer)->sublayers[i]);
            bytes += all_bytes(&units);
            if (pass == 0)
                walk.page_bytes = larger_size(walk.page_bytes, largest_unit(&units));
            else
                pass_units(&walk, &units);
        }
    return bytes ? walk.page + 1 : 0;
}

struct state_units state_units_on(const struct plan *plan, int rank, int layer)
{
    int i = state_sublayer(&plan->config, layer);
    if (i < 0)
        return (struct state_units){0};
    struct state_units units =
        state_units_of(&plan->config, &model_config_layer(&plan->config, layer)->sublayers[i]);
    const struct share *share = &plan_cut_of(plan, layer, i)->shares[rank];
    units.heads = share->heads.end - share->heads.begin;
    units.groups = share->kv_heads.end - share->kv_heads.begin;
    return units;
}

size_t state_bytes(const struct plan *plan, int world_rank)
{
    const struct range layers = plan_stage_layers(plan, world_rank / plan->n_ranks);
    size_t bytes = 0;
    for (int layer = layers.begin; layer < layers.end; layer++) {
        const struct state_units units = state_units_on(plan, world_rank % plan->n_ranks, layer);
        bytes += all_bytes(&units);
    }
    return bytes;
}

static bool states_fit(const struct plan *plan, int world_rank, size_t page_bytes)
{
    const struct range layers = plan_stage_layers(plan, world_rank / plan->n_ranks);
    struct state_walk walk = {.page_bytes = page_bytes};
    for (int layer = layers.begin; layer < layers.end; layer++) {
        const struct state_units units = state_units_on(plan, world_rank % plan->n_ranks, layer);
        pass_units(&walk, &units);
    }
    return walk.page < plan->kv.state_pages;
}

size_t state_page_bytes(const struct plan *plan, int world_rank, size_t least)
{
    const struct range layers = plan_stage_layers(plan, world_rank / plan->n_ranks);
    size_t bytes = state_bytes(plan, world_rank), unit = 0;
    if (!bytes)
        return least;
    for (int layer = layers.begin; layer < layers.end; layer++) {
        const struct state_units units = state_units_on(plan, world_rank % plan->n_ranks, layer);
        unit = larger_size(unit, largest_unit(&units));
    }
    size_t pages = (size_t)plan->kv.state_pages,
           page = aligned(larger_size(least, larger_size(unit, (bytes + pages - 1) / pages)));
    while (!states_fit(plan, world_rank, page)) // each page may end with a gap as large as a unit
        page += STATE_ALIGNMENT;
    return page;
}
