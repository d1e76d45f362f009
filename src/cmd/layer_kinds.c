#include "cmd/layer_kinds.h"

#include <stdio.h>

#include "base/name_list.h"
#include "base/output.h"
#include "base/text_table.h"

// "0-4, 6-10"
static void list_layers(const struct model_config *config, int kind, char *out, size_t room)
{
    out[0] = '\0';
    for (int layer = 0, end; layer < config->num_hidden_layers; layer = end) {
        char run[32];
        end = layer + 1;
        if (config->layer_kind[layer] != kind)
            continue;
        while (end < config->num_hidden_layers && config->layer_kind[end] == kind)
            end++;
        snprintf(run, sizeof run, end == layer + 1 ? "%d" : "%d-%d", layer, end - 1);
        name_list_add(out, room, run);
    }
}

static int count_layers(const struct model_config *config, int kind)
{
    int n = 0;
    for (int layer = 0; layer < config->num_hidden_layers; layer++)
        n += config->layer_kind[layer] == kind;
    return n;
}

static const struct sublayer_config *find_mix(const struct layer_config *layer, enum mix_kind kind)
{
    for (int i = 0; i < layer->n_sublayers; i++)
        if (layer->sublayers[i].kind == kind)
            return &layer->sublayers[i];
    return NULL;
}

static void show_rope(const struct model_config *config, const struct attention_config *a,
                      char *out, size_t room)
{
    if (a->rope < 0) {
        snprintf(out, room, "%s", a->alibi ? "ALiBi" : "none");
        return;
    }
    const struct rope_config *rope = &config->ropes[a->rope];
    int used = snprintf(out, room, "%s, theta %g", rope_type_name(rope->type), rope->theta);
    if (rope->n_dimensions && rope->n_dimensions != a->head_dim && used > 0 && (size_t)used < room)
        snprintf(out + used, room - (size_t)used, ", %d of %d", rope->n_dimensions, a->head_dim);
}

static void show_rest(const struct attention_config *a, char *out, size_t room)
{
    char softcap[32], best[48];
    out[0] = '\0';
    if (a->keys_of_earlier)
        name_list_add(out, room, "keys of an earlier layer");
    if (a->value_is_key)
        name_list_add(out, room, "V = K");
    if (a->latent.index.topk) {
        snprintf(best, sizeof best, "best %d%s", a->latent.index.topk,
                 a->latent.index.shared ? " of an earlier layer" : "");
        name_list_add(out, room, best);
    }
    if (a->sinks)
        name_list_add(out, room, "sinks");
    if (a->q_norm.kind != NORM_NONE || a->k_norm.kind != NORM_NONE)
        name_list_add(out, room, "q, k normed");
    if (a->softcap > 0) {
        snprintf(softcap, sizeof softcap, "softcap %g", (double)a->softcap);
        name_list_add(out, room, softcap);
    }
}

static void add_attention(struct table *t, const struct model_config *config,
                          const struct sublayer_config *sublayer)
{
    char rope[96], rest[128];
    if (!sublayer) {
        for (int i = 0; i < 5; i++)
            table_cell(t, "-");
        return;
    }
    const struct attention_config *a = &sublayer->attention;
    show_rope(config, a, rope, sizeof rope);
    show_rest(a, rest, sizeof rest);
    table_cell(t, "%d/%d", a->num_attention_heads, a->num_key_value_heads);
    if (attention_value_dim(a) != a->head_dim)
        table_cell(t, "%d, values %d", a->head_dim, attention_value_dim(a));
    else
        table_cell(t, "%d", a->head_dim);
    if (a->sliding_window)
        table_cell(t, a->chunked ? "blocks of %lld" : "%lld", (long long)a->sliding_window);
    else
        table_cell(t, "all");
    table_cell(t, "%s", rope);
    table_cell(t, "%s", *rest ? rest : "-");
}

enum status layer_kinds_print(const struct model_config *config)
{
    static const char *const heading[] = {"kind", "layers",    "heads", "head_dim", "window",
                                          "rope", "attention", "MLP",   "which"};
    struct table t;
    int n_columns = sizeof heading / sizeof heading[0];
    table_init(&t, n_columns);
    for (int i = 0; i < n_columns; i++)
        table_cell(&t, "%s", heading[i]);
    for (int kind = 0; kind < config->n_layer_kinds; kind++) {
        const struct layer_config *layer = &config->layer_kinds[kind];
        const struct sublayer_config *mlp = find_mix(layer, MIX_MLP);
        char which[48];
        list_layers(config, kind, which, sizeof which);
        table_cell(&t, "%d", kind);
        table_cell(&t, "%d", count_layers(config, kind));
        add_attention(&t, config, find_mix(layer, MIX_ATTENTION));
        const struct sublayer_config *experts = find_mix(layer, MIX_EXPERTS);
        if (experts)
            table_cell(&t, mlp ? "%d x %d, 1 x %d" : "%d x %d", experts->experts.num_experts,
                       experts->experts.intermediate_size, mlp ? mlp->mlp.intermediate_size : 0);
        else if (mlp)
            table_cell(&t, mlp->mlp.sparse ? "%d, sparse" : "%d", mlp->mlp.intermediate_size);
        else
            table_cell(&t, "-");
        table_cell(&t, " %s", which); // the space keeps numbers from being set right
    }
    enum status status = table_print(&t, output());
    table_fini(&t);
    return status;
}

static void describe_attention(json_t *out, const struct model_config *config,
                               const struct attention_config *a)
{
    const struct rope_config *rope = a->rope < 0 ? NULL : &config->ropes[a->rope];
    json_object_set_new(out, "num_attention_heads", json_integer(a->num_attention_heads));
    json_object_set_new(out, "num_key_value_heads", json_integer(a->num_key_value_heads));
    json_object_set_new(out, "head_dim", json_integer(a->head_dim));
    json_object_set_new(out, "value_dim", json_integer(attention_value_dim(a)));
    json_object_set_new(out, "sliding_window",
                        a->sliding_window ? json_integer(a->sliding_window) : json_null());
    json_object_set_new(out, "rope",
                        rope ? json_pack("{s:s, s:f, s:i}", "type", rope_type_name(rope->type),
                                         "theta", rope->theta, "dimensions", rope->n_dimensions)
                             : json_null());
    json_object_set_new(out, "chunked", json_boolean(a->chunked));
    json_object_set_new(out, "keys_of_earlier", json_boolean(a->keys_of_earlier));
    json_object_set_new(out, "value_is_key", json_boolean(a->value_is_key));
    if (!a->latent.index.topk)
        return;
    json_object_set_new(out, "index_topk", json_integer(a->latent.index.topk));
    json_object_set_new(out, "index_shared", json_boolean(a->latent.index.shared));
}

json_t *layer_kinds_json(const struct model_config *config)
{
    json_t *kinds = json_array();
    for (int kind = 0; kind < config->n_layer_kinds; kind++) {
        const struct sublayer_config *attention =
                                         find_mix(&config->layer_kinds[kind], MIX_ATTENTION),
                                     *mlp = find_mix(&config->layer_kinds[kind], MIX_MLP),
                                     *experts = find_mix(&config->layer_kinds[kind], MIX_EXPERTS);
        json_t *one = json_object(), *layers = json_array();
        for (int layer = 0; layer < config->num_hidden_layers; layer++)
            if (config->layer_kind[layer] == kind)
                json_array_append_new(layers, json_integer(layer));
        json_object_set_new(one, "layers", layers);
        if (attention)
            describe_attention(one, config, &attention->attention);
        if (mlp) {
            json_object_set_new(one, "intermediate_size", json_integer(mlp->mlp.intermediate_size));
            json_object_set_new(one, "sparse", json_boolean(mlp->mlp.sparse));
        }
        if (experts) {
            const struct experts_config *e = &experts->experts;
            json_object_set_new(one, "num_experts", json_integer(e->num_experts));
            json_object_set_new(one, "num_experts_per_tok", json_integer(e->num_experts_per_tok));
            json_object_set_new(one, "moe_intermediate_size", json_integer(e->intermediate_size));
        }
        json_array_append_new(kinds, one);
    }
    return kinds;
}
