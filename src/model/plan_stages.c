// Which layers are whose in a pipeline: consecutive ones, about as many on each stage.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/plan_build.h"

#define VLLM_VARIABLE "VLLM_PP_LAYER_PARTITION"

const char *plan_partition_of_environment(const char **name)
{
    const char *ours = getenv("COLROW_PP_LAYER_PARTITION"), *theirs = getenv(VLLM_VARIABLE);
    *name = ours && *ours ? "COLROW_PP_LAYER_PARTITION" : VLLM_VARIABLE;
    return ours && *ours ? ours : theirs && *theirs ? theirs : NULL;
}

// Whether a layer attends the positions that the layer before it has chosen.
static bool takes_choice(const struct model_config *c, int layer)
{
    const struct layer_config *l = model_config_layer(c, layer);
    for (int i = 0; i < l->n_sublayers; i++)
        if (l->sublayers[i].kind == MIX_ATTENTION && l->sublayers[i].attention.latent.index.shared)
            return true;
    return false;
}

// Whether a stage may begin with `layer`: no layer from there on reads keys, or a choice of
// positions, of one before.
static bool may_begin(const struct model_config *c, int layer)
{
    if (takes_choice(c, layer))
        return false;
    for (int later = layer; later < c->num_hidden_layers; later++)
        if (c->kv_layer[later] < layer)
            return false;
    return true;
}

// As vLLM does it: what is left over goes to the stages before the last one, from behind, so that
// the last stage, which also has lm_head, gets none of it.
static void split_evenly(const struct model_config *c, int n_stages, int32_t *first)
{
    int each = c->num_hidden_layers / n_stages, rest = c->num_hidden_layers % n_stages;
    first[0] = 0;
    for (int stage = 0; stage < n_stages; stage++) {
        bool gets_more = stage < n_stages - 1 && stage >= n_stages - 1 - rest;
        first[stage + 1] = first[stage] + each + gets_more;
    }
}

// The stages' bounds where layers share keys: of those that are allowed the most even.
struct even_split {
    int64_t squares[LAYERS_MAX + 1]; // of the stages so far, up to that layer; -1: impossible
    int16_t from[COMM_RANKS_MAX + 1][LAYERS_MAX + 1]; // where the last of them begins
};

static bool split_where_allowed(const struct model_config *c, int n_stages,
                                struct even_split *split, int32_t *first)
{
    int n = c->num_hidden_layers;
    for (int end = 0; end <= n; end++)
        split->squares[end] = end ? -1 : 0;
    for (int stage = 1; stage <= n_stages; stage++)
        for (int end = n; end >= 0; end--) { // downwards: those before it are of one stage less
            int64_t best = -1;
            bool allowed = end == n || may_begin(c, end);
            for (int begin = 0; begin < end && allowed; begin++) {
                int64_t size = end - begin, sum = split->squares[begin] + size * size;
                if (split->squares[begin] < 0 || (best >= 0 && sum >= best))
                    continue;
                best = sum;
                split->from[stage][end] = (int16_t)begin;
            }
            split->squares[end] = best;
        }
    if (split->squares[n] < 0)
        return false;
    first[n_stages] = n;
    for (int stage = n_stages; stage > 0; stage--)
        first[stage - 1] = split->from[stage][first[stage]];
    return true;
}

int plan_stages_max(const struct model_config *c)
{
    int n = 1;
    for (int layer = 1; layer < c->num_hidden_layers; layer++)
        n += may_begin(c, layer);
    return n;
}

static enum status refuse_stages(const struct model_config *c, int n_stages)
{
    int most = plan_stages_max(c);
    return fail(ERR_USAGE, "--pipeline-parallel-size is %d; expected 1 to %d: %s has %d layers%s",
                n_stages, most, c->architecture, c->num_hidden_layers,
                most < c->num_hidden_layers
                    ? ", of which those that read keys or choices of earlier layers lie on one "
                      "stage with them"
                    : "");
}

static enum status split_by_itself(struct plan *plan)
{
    const struct model_config *c = &plan->config;
    if (plan->n_stages > plan_stages_max(c))
        return refuse_stages(c, plan->n_stages);
    split_evenly(c, plan->n_stages, plan->first_layer);
    bool allowed = true;
    for (int stage = 1; stage < plan->n_stages; stage++)
        allowed = allowed && may_begin(c, plan->first_layer[stage]);
    if (allowed)
        return OK;
    struct even_split *split;
    TRY(arena_take(&plan->arena, 1, sizeof *split, &split));
    if (!split_where_allowed(c, plan->n_stages, split, plan->first_layer))
        return refuse_stages(c, plan->n_stages);
    return OK;
}

static enum status wrong_partition(const char *name, const char *text, const char *expected)
{
    return fail(ERR_USAGE, "%s is \"%.200s\"; expected %s", name, text, expected);
}

// "16,16": layers of each stage.
static enum status split_as_said(struct plan *plan, const char *name, const char *text)
{
    const struct model_config *c = &plan->config;
    const char *at = text;
    char expected[160];
    snprintf(expected, sizeof expected,
             "%d numbers of at least 1, the layers of each of --pipeline-parallel-size stages, "
             "with commas between them, which add up to %d",
             plan->n_stages, c->num_hidden_layers);
    plan->first_layer[0] = 0;
    for (int stage = 0; stage < plan->n_stages; stage++) {
        char *end = NULL;
        long n = *at >= '0' && *at <= '9' ? strtol(at, &end, 10) : 0;
        if (n < 1 || n > c->num_hidden_layers - plan->first_layer[stage] ||
            *end != (stage + 1 < plan->n_stages ? ',' : '\0'))
            return wrong_partition(name, text, expected);
        at = end + 1;
        plan->first_layer[stage + 1] = plan->first_layer[stage] + (int32_t)n;
    }
    if (plan->first_layer[plan->n_stages] != c->num_hidden_layers)
        return wrong_partition(name, text, expected);
    for (int stage = 1; stage < plan->n_stages; stage++) {
        int layer = plan->first_layer[stage], later = layer;
        if (takes_choice(c, layer))
            return fail(ERR_USAGE,
                        "%s is \"%.200s\", which has stage %d begin with layer %d, but that "
                        "attends the positions that layer %d has chosen; expected both on one "
                        "stage",
                        name, text, stage, layer, layer - 1);
        while (later < c->num_hidden_layers && c->kv_layer[later] >= layer)
            later++;
        if (later < c->num_hidden_layers)
            return fail(ERR_USAGE,
                        "%s is \"%.200s\", which has stage %d begin with layer %d, but layer %d "
                        "reads the keys of layer %d; expected both on one stage",
                        name, text, stage, layer, later, c->kv_layer[later]);
    }
    return OK;
}

enum status plan_split_layers(struct plan *plan, const struct plan_options *options)
{
    plan->n_stages = options->n_stages ? options->n_stages : 1;
    if (plan->n_stages < 1 || plan->n_stages > COMM_RANKS_MAX)
        return fail(ERR_USAGE, "--pipeline-parallel-size is %d; expected 1 to %d", plan->n_stages,
                    COMM_RANKS_MAX);
    if (options->layer_partition)
        return split_as_said(plan, options->layer_partition_name, options->layer_partition);
    return split_by_itself(plan);
}
