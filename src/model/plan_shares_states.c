// How layers with a state are cut (docs/numerics.md section 12): by heads and their groups as
// attention is, or by channels.
#include <assert.h>

#include "model/plan_build.h"
#include "model/state_layout.h"

bool mix_has_state(enum mix_kind kind)
{
    return kind == MIX_MAMBA || kind == MIX_CONVOLUTION || kind == MIX_DELTA;
}

bool plan_keeps_states(const struct model_config *config)
{
    for (int i = 0; i < config->num_hidden_layers; i++) {
        const struct layer_config *layer = model_config_layer(config, i);
        for (int k = 0; k < layer->n_sublayers; k++)
            if (mix_has_state(layer->sublayers[k].kind))
                return true;
    }
    return false;
}

void plan_state_leaves(const struct cut *cut, int leaves, int32_t *bounds)
{
    const struct mamba_config *m = &cut->sublayer->mamba;
    if (cut->sublayer->kind == MIX_MAMBA) {
        plan_group_leaves(m->n_groups, m->num_heads, m->head_dim, leaves, bounds);
        return;
    }
    if (cut->sublayer->kind == MIX_DELTA) {
        const struct delta_config *d = &cut->sublayer->delta;
        plan_group_leaves(d->num_key_heads, d->num_value_heads, d->value_head_dim, leaves, bounds);
        return;
    }
    int64_t unit = convolution_unit(cut->width), units = cut->width / unit;
    for (int64_t i = 0; i <= leaves; i++)
        bounds[i] = (int32_t)(unit * (i * units / leaves));
}

int32_t plan_state_multiple(const struct cut *cut)
{
    const struct mamba_config *m = &cut->sublayer->mamba;
    const struct delta_config *d = &cut->sublayer->delta;
    if (cut->sublayer->kind == MIX_DELTA)
        return d->num_value_heads / d->num_key_heads * d->value_head_dim;
    return cut->sublayer->kind == MIX_MAMBA ? m->num_heads / m->n_groups * m->head_dim : 1;
}

enum status plan_check_state_size(const struct cut *cut, int n_ranks)
{
    const struct mamba_config *m = &cut->sublayer->mamba;
    if (cut->sublayer->kind == MIX_MAMBA && n_ranks > m->num_heads)
        return fail(ERR_INPUT, "Mamba has %d heads, of which each rank needs one of its own",
                    m->num_heads);
    if (cut->sublayer->kind == MIX_DELTA && n_ranks > cut->sublayer->delta.num_value_heads)
        return fail(ERR_INPUT,
                    "the delta rule has %d value heads, of which each rank needs one of its own",
                    cut->sublayer->delta.num_value_heads);
    return OK;
}

// Heads that `columns` are of, and the groups that these read.
static void share_heads(struct range columns, int32_t head_dim, int32_t per_group, struct share *s)
{
    assert(columns.end > columns.begin);
    s->heads = (struct range){columns.begin / head_dim, columns.end / head_dim};
    s->kv_heads = (struct range){s->heads.begin / per_group, (s->heads.end - 1) / per_group + 1};
}

static void share_delta(const struct delta_config *d, struct range columns, struct share *s)
{
    share_heads(columns, d->value_head_dim, d->num_value_heads / d->num_key_heads, s);
    s->dims[DIM_TAPS] = (struct range){0, d->taps};
    s->dims[DIM_DELTA_VALUES] = columns;
    s->dims[DIM_DELTA_HEADS] = s->heads;
    s->dims[DIM_DELTA_HEAD] = (struct range){0, d->value_head_dim};
    s->dims[DIM_DELTA_RANK] = (struct range){0, d->low_rank};
    s->dims[DIM_DELTA_STEPS] = (struct range){s->heads.begin * delta_steps_of_head(d),
                                              s->heads.end * delta_steps_of_head(d)};
    s->dims[DIM_DELTA_KEYS] =
        (struct range){s->kv_heads.begin * d->key_head_dim, s->kv_heads.end * d->key_head_dim};
}

void plan_share_state(const struct cut *cut, int rank)
{
    struct share *s = &cut->shares[rank];
    struct range columns = {0, cut->width};
    if (cut->sharded)
        columns =
            (struct range){cut->leaf_bounds[s->leaves.begin], cut->leaf_bounds[s->leaves.end]};
    if (cut->sublayer->kind == MIX_CONVOLUTION) {
        int32_t unit = convolution_unit(cut->width);
        s->dims[DIM_TAPS] = (struct range){0, cut->sublayer->convolution.taps};
        s->dims[DIM_CHANNELS] = columns;
        s->heads = (struct range){columns.begin / unit, columns.end / unit};
        return;
    }
    if (cut->sublayer->kind == MIX_DELTA) {
        share_delta(&cut->sublayer->delta, columns, s);
        return;
    }
    const struct mamba_config *m = &cut->sublayer->mamba;
    share_heads(columns, m->head_dim, m->num_heads / m->n_groups, s);
    s->dims[DIM_TAPS] = (struct range){0, m->taps};
    s->dims[DIM_MAMBA] = columns;
    s->dims[DIM_MAMBA_HEADS] = s->heads;
    s->dims[DIM_MAMBA_GROUPS] =
        (struct range){s->kv_heads.begin * m->state_size, s->kv_heads.end * m->state_size};
}

bool plan_shares_groups(const struct plan *plan, const struct cut *cut)
{
    const struct mamba_config *m = &cut->sublayer->mamba;
    if (!cut->sharded || m->norm.kind == NORM_NONE)
        return false;
    for (int rank = 1; rank < plan->n_ranks; rank++)
        if (cut->shares[rank].heads.begin % (m->num_heads / m->n_groups))
            return true;
    return false;
}
