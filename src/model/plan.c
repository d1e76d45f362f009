#include "model/plan.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/plan_build.h"

static enum status expect_pairs(const char *key, int32_t value)
{
    if (value >= 2 && value % 2 == 0)
        return OK;
    return fail(ERR_UNSUPPORTED,
                "config.json: \"%s\" is %d; expected an even number: products go in pairs", key,
                value);
}

static enum status check_attention(const struct attention_config *a)
{
    TRY(expect_pairs("head_dim", a->head_dim));
    if (a->num_key_value_heads < 1 || a->num_attention_heads % a->num_key_value_heads)
        return fail(ERR_INPUT,
                    "config.json: \"num_attention_heads\" is %d; expected a multiple of "
                    "\"num_key_value_heads\" %d",
                    a->num_attention_heads, a->num_key_value_heads);
    return OK;
}

static enum status check_sublayer(const struct sublayer_config *sublayer)
{
    switch (sublayer->kind) {
    case MIX_ATTENTION:
        return check_attention(&sublayer->attention);
    case MIX_MLP:
        if (sublayer->mlp.intermediate_size < 1)
            return fail(ERR_INPUT, "config.json: \"intermediate_size\" is %d; expected 1 or more",
                        sublayer->mlp.intermediate_size);
    }
    return OK;
}

static enum status check_config(const struct model_config *c)
{
    TRY(expect_pairs("hidden_size", c->hidden_size));
    for (int kind = 0; kind < c->n_layer_kinds; kind++)
        for (int i = 0; i < c->layer_kinds[kind].n_sublayers; i++)
            TRY(check_sublayer(&c->layer_kinds[kind].sublayers[i]));
    return OK;
}

static enum status check_options(const struct plan_options *options)
{
    int leaves = options->reduction_leaves;
    if (leaves < 0 || leaves > LEAVES_MAX || (leaves & (leaves - 1)))
        return fail(ERR_USAGE, "--reduction-leaves is %d; expected a power of two from 1 to %d",
                    leaves, LEAVES_MAX);
    if (options->n_ranks < 1)
        return fail(ERR_USAGE, "--tensor-parallel-size is %d; expected 1 or more",
                    options->n_ranks);
    return OK;
}

static bool cut_alike(const struct sublayer_config *a, const struct sublayer_config *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case MIX_ATTENTION:
        return a->attention.num_attention_heads == b->attention.num_attention_heads &&
               a->attention.num_key_value_heads == b->attention.num_key_value_heads &&
               a->attention.head_dim == b->attention.head_dim &&
               a->attention.qk_norm_width == b->attention.qk_norm_width &&
               a->attention.value_is_key == b->attention.value_is_key;
    case MIX_MLP:
        return a->mlp.intermediate_size == b->mlp.intermediate_size;
    }
    return false;
}

static int32_t product_width(const struct sublayer_config *sublayer)
{
    switch (sublayer->kind) {
    case MIX_ATTENTION:
        return sublayer->attention.num_attention_heads * sublayer->attention.head_dim;
    case MIX_MLP:
        return (sublayer->mlp.intermediate_size + 1) / 2 * 2;
    }
    return 0;
}

// One for each size of sublayers.
static enum status find_cuts(struct plan *plan)
{
    struct model_config *c = &plan->config;
    plan->n_cuts = 0;
    TRY(arena_take(&plan->arena, CUTS_MAX, sizeof *plan->cuts, &plan->cuts));
    memset(plan->cuts, 0, CUTS_MAX * sizeof *plan->cuts);
    for (int kind = 0; kind < c->n_layer_kinds; kind++)
        for (int i = 0; i < c->layer_kinds[kind].n_sublayers; i++) {
            const struct sublayer_config *sublayer = &c->layer_kinds[kind].sublayers[i];
            int at = 0;
            while (at < plan->n_cuts &&
                   !(plan->cuts[at].place == i && cut_alike(plan->cuts[at].sublayer, sublayer)))
                at++;
            if (at == plan->n_cuts)
                plan->cuts[plan->n_cuts++] = (struct cut){
                    .sublayer = sublayer, .place = i, .width = product_width(sublayer)};
            plan->cut_of[kind][i] = (uint8_t)at;
        }
    return OK;
}

// All up to the shares, for `n_ranks` instead of what the options say.
static enum status compile_parts(struct plan *plan, const struct model_config *config,
                                 const struct plan_options *options, int n_ranks,
                                 struct resolved_styles *styles)
{
    plan->config = *config;
    plan->config.tie_word_embeddings =
        plan_ties(config, options->checkpoint, options->head_is_embed);
    plan->head_is_repeated = options->head_is_embed && plan->config.tie_word_embeddings;
    plan->is_untied = config->tie_word_embeddings && !plan->config.tie_word_embeddings;
    plan->compute = options->compute;
    plan->cache = options->f32_cache ? COMPUTE_F32 : options->compute;
    plan->n_ranks = n_ranks;
    plan->reduction_leaves =
        options->reduction_leaves ? options->reduction_leaves : REDUCTION_LEAVES_DEFAULT;
    kv_layout_init(&plan->kv, &plan->config);
    TRY(find_cuts(plan));
    TRY(plan_resolve_styles(plan, options, styles));
    plan->residual_sharded = plan->norms == TP_SEQUENCE_PARALLEL;
    plan->lm_head_sharded = style_is_colwise(plan->lm_head);
    plan->embed_sharded = plan->embed != TP_REPLICATE;
    plan->lm_head_is_embed = plan->config.tie_word_embeddings &&
                             plan->embed != TP_EMBEDDING_COLWISE &&
                             plan->lm_head_sharded == plan->embed_sharded;
    if (n_ranks > COMM_RANKS_MAX)
        return fail(ERR_INPUT, "a group has at most %d ranks", COMM_RANKS_MAX);
    return plan_cut(plan);
}

static enum status plan_new(struct plan **out)
{
    TRY(memory_new(1, sizeof **out, "a plan", out));
    arena_init(&(*out)->arena);
    return OK;
}

static bool is_valid_size(const struct model_config *config, const struct plan_options *options,
                          int n_ranks)
{
    struct plan *plan;
    struct resolved_styles styles;
    if (plan_new(&plan) != OK)
        return false;
    bool valid = compile_parts(plan, config, options, n_ranks, &styles) == OK;
    plan_free(plan);
    return valid;
}

int plan_valid_sizes(const struct model_config *config, const struct plan_options *options,
                     int *sizes, int max)
{
    int n = 0;
    if (check_config(config) != OK)
        return 0;
    for (int n_ranks = 1; n_ranks <= COMM_RANKS_MAX && n < max; n_ranks++)
        if (is_valid_size(config, options, n_ranks))
            sizes[n++] = n_ranks;
    return n;
}

// The least number of leaves that would make room for the ranks; 0 when none does.
static int leaves_that_fit(const struct model_config *config, const struct plan_options *options)
{
    struct plan_options more = *options;
    more.reduction_leaves =
        options->reduction_leaves ? options->reduction_leaves : REDUCTION_LEAVES_DEFAULT;
    for (more.reduction_leaves *= 2; more.reduction_leaves <= LEAVES_MAX;
         more.reduction_leaves *= 2)
        if (is_valid_size(config, &more, options->n_ranks))
            return more.reduction_leaves;
    return 0;
}

int plan_leaves_needed(const struct model_config *config, const struct plan_options *options)
{
    if (check_config(config) != OK || check_options(options) != OK ||
        options->n_ranks > COMM_RANKS_MAX || is_valid_size(config, options, options->n_ranks))
        return 0;
    return leaves_that_fit(config, options);
}

// `reason` is what plan_cut() said; adds which sizes would do.
static enum status refuse_size(const struct model_config *config,
                               const struct plan_options *options, const char *reason)
{
    char list[512] = "none", hint[160] = "";
    int sizes[COMM_RANKS_MAX], n = plan_valid_sizes(config, options, sizes, COMM_RANKS_MAX);
    for (int i = 0, used = 0; i < n; i++)
        used += snprintf(list + used, sizeof list - (size_t)used, "%s%d", i ? ", " : "", sizes[i]);
    int leaves = options->n_ranks <= COMM_RANKS_MAX ? leaves_that_fit(config, options) : 0;
    if (leaves)
        snprintf(hint, sizeof hint,
                 " (with --reduction-leaves %d, which changes the last bits of sums, %d as well)",
                 leaves, options->n_ranks);
    return fail(ERR_USAGE, "%s does not split over %d ranks: %s; valid sizes: %s%s",
                config->architecture, options->n_ranks, reason, list, hint);
}

enum status plan_compile(const struct model_config *config, const struct plan_options *options,
                         struct plan **out)
{
    assert(config && options && out);
    *out = NULL;
    TRY(check_config(config));
    TRY(check_options(options));
    struct plan *plan;
    struct resolved_styles styles;
    TRY(plan_new(&plan));
    enum status status = compile_parts(plan, config, options, options->n_ranks, &styles);
    if (status == ERR_INPUT && plan->embed != TP_NONE) { // the styles are fine: it is the number
        char reason[STATUS_MESSAGE_MAX / 2];
        snprintf(reason, sizeof reason, "%s", status_message());
        status = refuse_size(config, options, reason);
    }
    if (status == OK)
        status = plan_list_parameters(plan, &styles);
    if (status == OK)
        status = plan_list_edges(plan);
    if (status != OK) {
        plan_free(plan);
        return status;
    }
    *out = plan;
    return OK;
}

void plan_free(struct plan *plan)
{
    if (!plan)
        return;
    arena_fini(&plan->arena);
    free(plan);
}
