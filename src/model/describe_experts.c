// What families with experts have in common when they read config.json.
#include <assert.h>
#include <string.h>

#include "model/describe.h"

static enum status read_counts(const struct config_reader *reader, const struct experts_keys *keys,
                               struct experts_config *out)
{
    const char *count = keys->count_key;
    // Transformers writes either name
    if (config_is_absent(reader, count) && keys->other_count_key &&
        !config_is_absent(reader, keys->other_count_key))
        count = keys->other_count_key;
    TRY(config_read_size(reader, count, 1, EXPERTS_MAX, keys->num_experts, &out->num_experts));
    TRY(config_read_size(reader, keys->chosen_key ? keys->chosen_key : "num_experts_per_tok", 1,
                         CHOSEN_EXPERTS_MAX, keys->num_experts_per_tok, &out->num_experts_per_tok));
    if (out->num_experts_per_tok <= out->num_experts)
        return OK;
    return fail(ERR_INPUT, "%s: key \"%s\" is %d; expected at most %s, which is %d", reader->name,
                keys->chosen_key ? keys->chosen_key : "num_experts_per_tok",
                (int)out->num_experts_per_tok, count, (int)out->num_experts);
}

enum status describe_experts(const struct config_reader *reader, const struct experts_keys *keys,
                             struct experts_config *out)
{
    memset(out, 0, sizeof *out); // padding too: kinds are compared by bytes
    out->activation = ACTIVATION_SILU;
    out->gated = true;
    out->scoring = keys->scoring;
    out->scaling_factor = 1;
    out->n_group = keys->n_group;
    out->topk_group = keys->topk_group;
    TRY(read_counts(reader, keys, out));
    return config_read_size(
        reader, keys->intermediate_key ? keys->intermediate_key : "moe_intermediate_size", 1,
        INTERMEDIATE_SIZE_MAX, keys->intermediate_size, &out->intermediate_size);
}

enum status describe_expert_groups(const struct config_reader *reader, const char *count_key,
                                   struct experts_config *out)
{
    const char *key = count_key ? count_key : "n_group";
    int64_t groups = out->n_group ? out->n_group : 1, kept = out->topk_group ? out->topk_group : 1;
    TRY(config_read_int(reader, key, 1, EXPERTS_MAX, &groups));
    TRY(config_read_int(reader, "topk_group", 1, EXPERTS_MAX, &kept));
    if (out->num_experts % groups != 0)
        return fail(ERR_INPUT,
                    "%s: key \"%s\" is %lld; expected a divisor of %d, the number of experts",
                    reader->name, key, (long long)groups, (int)out->num_experts);
    if (kept > groups || out->num_experts / groups * kept < out->num_experts_per_tok)
        return fail(
            ERR_INPUT,
            "%s: key \"topk_group\" is %lld; expected at most %lld groups, and %d experts or "
            "more in those that are left",
            reader->name, (long long)kept, (long long)groups, (int)out->num_experts_per_tok);
    out->n_group = groups > 1 ? (int32_t)groups : 0;
    out->topk_group = groups > 1 ? (int32_t)kept : 0;
    return OK;
}

enum status describe_expert_factor(const struct config_reader *reader, double factor,
                                   struct experts_config *out)
{
    TRY(config_read_number(reader, "routed_scaling_factor", 0, 1e9, &factor));
    out->scaling_factor = (float)factor;
    return OK;
}

enum status describe_corrected_weights(const struct config_reader *reader, float sum_eps,
                                       double factor, struct experts_config *out)
{
    out->choice_bias = out->normalised = true;
    out->sum_eps = sum_eps;
    TRY(config_read_flag(reader, "norm_topk_prob", &out->normalised));
    return describe_expert_factor(reader, factor, out);
}

void describe_sparse_layer(const struct experts_config *experts, struct layer_config *layer)
{
    struct sublayer_config *mlp = &layer->sublayers[1];
    assert(mlp->kind == MIX_MLP);
    memset(&mlp->mlp, 0, sizeof mlp->mlp);
    mlp->kind = MIX_EXPERTS;
    mlp->experts = *experts;
}

void describe_shared_expert(struct layer_config *layer, const struct mlp_config *mlp)
{
    struct sublayer_config *shared = &layer->sublayers[layer->n_sublayers++];
    assert(layer->n_sublayers <= SUBLAYERS_MAX && shared[-1].kind == MIX_EXPERTS);
    shared->kind = MIX_MLP;
    shared->multiplier = shared[-1].multiplier;
    shared->parallel = shared->same_input = true;
    shared->mlp = *mlp;
}

enum status describe_layers_of_list(const struct config_reader *reader, const char *key,
                                    bool chosen[LAYERS_MAX])
{
    json_t *list;
    bool found;
    memset(chosen, 0, LAYERS_MAX * sizeof *chosen);
    TRY(json_get_array(reader->root, reader->name, key, &list, &found));
    for (size_t i = 0; found && i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return fail(ERR_INPUT, "%s: key \"%s\" has %s; expected the numbers of layers",
                        reader->name, key, json_show(item));
        if (json_integer_value(item) < LAYERS_MAX)
            chosen[json_integer_value(item)] = true;
    }
    return OK;
}
