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
    TRY(expect_pairs("v_head_dim", attention_value_dim(a)));
    assert(!a->latent.kv_rank || a->num_key_value_heads == a->num_attention_heads);
    if (a->num_key_value_heads < 1 || a->num_attention_heads % a->num_key_value_heads)
        return fail(ERR_INPUT,
                    "config.json: \"num_attention_heads\" is %d; expected a multiple of "
                    "\"num_key_value_heads\" %d",
                    a->num_attention_heads, a->num_key_value_heads);
    return OK;
}

static enum status check_router(const struct experts_config *e)
{
    if (e->intermediate_size < 1 || e->num_experts < 1)
        return fail(ERR_INPUT,
                    "config.json: %d experts have an intermediate size of %d; expected 1 or more "
                    "of both",
                    e->num_experts, e->intermediate_size);
    if (e->num_experts_per_tok < 1 || e->num_experts_per_tok > e->num_experts)
        return fail(ERR_INPUT,
                    "config.json: \"num_experts_per_tok\" is %d; expected 1 to %d, the number of "
                    "experts",
                    e->num_experts_per_tok, e->num_experts);
    return OK;
}

static enum status check_mamba(const struct mamba_config *m)
{
    if (m->num_heads < 1 || m->n_groups < 1 || m->num_heads % m->n_groups)
        return fail(ERR_INPUT,
                    "config.json: Mamba has %d heads; expected a multiple of its groups, which are "
                    "%d",
                    m->num_heads, m->n_groups);
    if (m->state_size < 1)
        return fail(ERR_INPUT, "config.json: Mamba's state has the size %d; expected 1 or more",
                    m->state_size);
    return expect_pairs("mamba_d_head", m->head_dim);
}

static enum status check_delta(const struct delta_config *d)
{
    if (d->num_key_heads < 1 || d->num_value_heads < 1 || d->num_value_heads % d->num_key_heads)
        return fail(ERR_INPUT,
                    "config.json: \"linear_num_value_heads\" is %d; expected a multiple of "
                    "\"linear_num_key_heads\" %d",
                    d->num_value_heads, d->num_key_heads);
    if (d->key_head_dim < 1)
        return fail(ERR_INPUT, "config.json: \"linear_key_head_dim\" is %d; expected 1 or more",
                    d->key_head_dim);
    TRY(expect_pairs("linear_value_head_dim", d->value_head_dim));
    return d->low_rank ? expect_pairs("head_dim", d->low_rank) : OK;
}

static enum status check_taps(int32_t taps, int32_t least)
{
    if (taps >= least && taps <= CONVOLUTION_TAPS_MAX)
        return OK;
    return fail(ERR_UNSUPPORTED,
                "config.json: a convolution over time has %d taps; expected %d to %d", taps, least,
                CONVOLUTION_TAPS_MAX);
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
        break;
    case MIX_EXPERTS:
        return check_router(&sublayer->experts);
    case MIX_MAMBA:
        TRY(check_taps(sublayer->mamba.taps, 1));
        return check_mamba(&sublayer->mamba);
    case MIX_CONVOLUTION:
        return check_taps(sublayer->convolution.taps, 2);
    case MIX_DELTA:
        TRY(check_taps(sublayer->delta.taps, 1));
        return check_delta(&sublayer->delta);
    }
    return OK;
}

static enum status check_config(const struct model_config *c)
{
    if (c->hidden_size < 1)
        return fail(ERR_INPUT, "config.json: \"hidden_size\" is %d; expected 1 or more",
                    c->hidden_size);
    for (int kind = 0; kind < c->n_layer_kinds; kind++)
        for (int i = 0; i < c->layer_kinds[kind].n_sublayers; i++)
            TRY(check_sublayer(&c->layer_kinds[kind].sublayers[i]));
    if (model_config_first(c, MIX_CONVOLUTION))
        TRY(expect_pairs("hidden_size", c->hidden_size));
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
    if (a->kind != b->kind || a->laurel.rank != b->laurel.rank)
        return false;
    switch (a->kind) {
    case MIX_ATTENTION:
        return a->attention.num_attention_heads == b->attention.num_attention_heads &&
               a->attention.num_key_value_heads == b->attention.num_key_value_heads &&
               a->attention.head_dim == b->attention.head_dim &&
               a->attention.value_dim == b->attention.value_dim &&
               a->attention.qk_norm_width == b->attention.qk_norm_width &&
               a->attention.value_is_key == b->attention.value_is_key &&
               a->attention.output_gate == b->attention.output_gate &&
               memcmp(&a->attention.latent, &b->attention.latent, sizeof a->attention.latent) == 0;
    case MIX_MLP:
        return a->mlp.intermediate_size == b->mlp.intermediate_size &&
               a->mlp.sparse == b->mlp.sparse;
    case MIX_EXPERTS:
        return a->experts.intermediate_size == b->experts.intermediate_size &&
               a->experts.num_experts == b->experts.num_experts &&
               a->experts.latent_size == b->experts.latent_size &&
               a->experts.num_experts_per_tok == b->experts.num_experts_per_tok;
    case MIX_MAMBA:
        return a->mamba.num_heads == b->mamba.num_heads && a->mamba.head_dim == b->mamba.head_dim &&
               a->mamba.n_groups == b->mamba.n_groups &&
               a->mamba.state_size == b->mamba.state_size && a->mamba.taps == b->mamba.taps &&
               a->mamba.norm.kind == b->mamba.norm.kind;
    case MIX_CONVOLUTION:
        return a->convolution.taps == b->convolution.taps;
    case MIX_DELTA:
        return a->delta.num_key_heads == b->delta.num_key_heads &&
               a->delta.num_value_heads == b->delta.num_value_heads &&
               a->delta.key_head_dim == b->delta.key_head_dim &&
               a->delta.value_head_dim == b->delta.value_head_dim &&
               a->delta.taps == b->delta.taps && a->delta.low_rank == b->delta.low_rank &&
               a->delta.channel_decays == b->delta.channel_decays;
    }
    return false;
}

static int32_t product_width(const struct model_config *config,
                             const struct sublayer_config *sublayer)
{
    switch (sublayer->kind) {
    case MIX_ATTENTION:
        return sublayer->attention.num_attention_heads * attention_value_dim(&sublayer->attention);
    case MIX_MLP:
        return (sublayer->mlp.intermediate_size + 1) / 2 * 2;
    case MIX_EXPERTS:
        return (sublayer->experts.intermediate_size + 1) / 2 * 2;
    case MIX_MAMBA:
        return sublayer->mamba.num_heads * sublayer->mamba.head_dim;
    case MIX_CONVOLUTION:
        return config->hidden_size;
    case MIX_DELTA:
        return sublayer->delta.num_value_heads * sublayer->delta.value_head_dim;
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
                    .sublayer = sublayer, .place = i, .width = product_width(c, sublayer)};
            plan->cut_of[kind][i] = (uint8_t)at;
        }
    return OK;
}

// A latent is one row for all heads, of numbers of two kinds, and the chosen ones are copied as
// they lie: bytes are not for them.
enum status plan_check_cache(const struct model_config *c, const struct plan_options *options)
{
    const enum kv_codes codes = kv_cache_codes(options->kv_cache);
    if (codes == KV_PLAIN)
        return OK;
    for (int kind = 0; kind < c->n_layer_kinds; kind++)
        for (int i = 0; i < c->layer_kinds[kind].n_sublayers; i++) {
            const struct sublayer_config *sublayer = &c->layer_kinds[kind].sublayers[i];
            if (sublayer->kind == MIX_ATTENTION && sublayer->attention.latent.kv_rank)
                return fail(ERR_USAGE,
                            "--kv-cache-dtype %s: %s caches latents, which are not kept in bytes; "
                            "expected auto or float32",
                            kv_cache_name(options->compute, codes), c->architecture);
        }
    return OK;
}

// All that does not depend on the number of ranks.
static enum status prepare_plan(struct plan *plan, const struct model_config *config,
                                const struct plan_options *options, struct resolved_styles *styles)
{
    plan->config = *config;
    plan->config.tie_word_embeddings =
        plan_ties(config, options->checkpoint, options->head_is_embed);
    plan->head_is_repeated = options->head_is_embed && plan->config.tie_word_embeddings;
    plan->is_untied = config->tie_word_embeddings && !plan->config.tie_word_embeddings;
    plan->compute = options->compute;
    plan->cache = kv_cache_type(options->kv_cache, options->compute);
    plan->kv_codes = kv_cache_codes(options->kv_cache);
    plan->quantization = options->quantization;
    if (plan->quantization.bits && config->quant_bits > 0)
        return fail(ERR_USAGE, "--quantization is for weights that are not quantised yet, and the "
                               "config of this model says that they are; leave the flag out");
    plan->expert_parallel = options->expert_parallel;
    plan->expert_parallel_size = options->expert_parallel_size;
    if (plan->expert_parallel_size && !plan->expert_parallel)
        return fail(ERR_USAGE,
                    "--expert-parallel-size %d: expected --enable-expert-parallel with it",
                    plan->expert_parallel_size);
    TRY(plan_check_cache(config, options));
    TRY(plan_split_layers(plan, options));
    TRY(plan_split_context(plan, options));
    kv_layout_init(&plan->kv, &plan->config, kv_number_bytes(plan->cache, plan->kv_codes),
                   plan->first_layer, plan->n_stages);
    TRY(find_cuts(plan));
    TRY(plan_resolve_styles(plan, options, styles));
    plan->residual_sharded = plan->norms == TP_SEQUENCE_PARALLEL;
    plan->lm_head_sharded = style_is_colwise(plan->lm_head);
    plan->embed_sharded = plan->embed != TP_REPLICATE;
    plan->lm_head_is_embed =
        plan->config.tie_word_embeddings && plan->embed != TP_EMBEDDING_COLWISE &&
        plan->quantization.lm_head_bits == 0 && plan->lm_head_sharded == plan->embed_sharded;
    return plan_lay_leaves(plan, options->reduction_leaves ? options->reduction_leaves
                                                           : REDUCTION_LEAVES_DEFAULT);
}

// A prepared plan, to be compiled or only asked; `*out` owns it even where this fails.
static enum status plan_new(const struct model_config *config, const struct plan_options *options,
                            struct resolved_styles *styles, struct plan **out)
{
    TRY(memory_new(1, sizeof **out, "a plan", out));
    arena_init(&(*out)->arena);
    return prepare_plan(*out, config, options, styles);
}

static int find_sizes(const struct plan *plan, int *sizes, int max)
{
    int n = 0;
    for (int n_ranks = 1; n_ranks <= COMM_RANKS_MAX && n < max; n_ranks++)
        if (plan_check_size(plan, n_ranks) == OK)
            sizes[n++] = n_ranks;
    return n;
}

// The least number of leaves that would make room for the ranks; 0 when none does. The plan has
// them then, or all that may be.
static int leaves_that_fit(struct plan *plan, int n_ranks)
{
    for (int leaves = 2 * plan->reduction_leaves; leaves <= LEAVES_MAX; leaves *= 2)
        if (plan_lay_leaves(plan, leaves) == OK && plan_check_size(plan, n_ranks) == OK)
            return leaves;
    return 0;
}

int plan_valid_sizes(const struct model_config *config, const struct plan_options *options,
                     int *sizes, int max)
{
    struct plan *plan = NULL;
    struct resolved_styles styles;
    int n = 0;
    if (check_config(config) == OK && plan_new(config, options, &styles, &plan) == OK)
        n = find_sizes(plan, sizes, max);
    plan_free(plan);
    return n;
}

int plan_leaves_needed(const struct model_config *config, const struct plan_options *options)
{
    struct plan *plan = NULL;
    struct resolved_styles styles;
    int leaves = 0;
    if (check_config(config) == OK && check_options(options) == OK &&
        plan_new(config, options, &styles, &plan) == OK &&
        plan_check_size(plan, options->n_ranks) != OK)
        leaves = leaves_that_fit(plan, options->n_ranks);
    plan_free(plan);
    return leaves;
}

// `reason` is what plan_check_size() said; adds which sizes would do. Leaves the plan with other
// leaves.
static enum status refuse_size(struct plan *plan, int n_ranks, const char *reason)
{
    char list[512] = "none", hint[160] = "";
    int sizes[COMM_RANKS_MAX], n = find_sizes(plan, sizes, COMM_RANKS_MAX);
    for (int i = 0, used = 0; i < n; i++)
        used += snprintf(list + used, sizeof list - (size_t)used, "%s%d", i ? ", " : "", sizes[i]);
    int leaves = leaves_that_fit(plan, n_ranks);
    if (leaves)
        snprintf(hint, sizeof hint,
                 " (with --reduction-leaves %d, which changes the last bits of sums, %d as well)",
                 leaves, n_ranks);
    return fail(ERR_USAGE, "%s does not split over %d ranks: %s; valid sizes: %s%s",
                plan->config.architecture, n_ranks, reason, list, hint);
}

static enum status cut_plan(struct plan *plan, int n_ranks)
{
    if (plan_check_size(plan, n_ranks) != OK) {
        char reason[STATUS_MESSAGE_MAX / 2];
        snprintf(reason, sizeof reason, "%s", status_message());
        return refuse_size(plan, n_ranks, reason);
    }
    return plan_cut(plan, n_ranks);
}

enum status plan_compile(const struct model_config *config, const struct plan_options *options,
                         struct plan **out)
{
    assert(config && options && out);
    *out = NULL;
    TRY(check_config(config));
    TRY(check_options(options));
    struct plan *plan = NULL;
    struct resolved_styles styles;
    enum status status = OK;
    TRY_DONE(plan_new(config, options, &styles, &plan));
    TRY_DONE(cut_plan(plan, options->n_ranks));
    TRY_DONE(plan_list_parameters(plan, &styles));
    TRY_DONE(plan_note_recipes(plan, options->checkpoint));
    TRY_DONE(plan_list_edges(plan));
    *out = plan;
    plan = NULL;
done:
    plan_free(plan);
    return status;
}

void plan_free(struct plan *plan)
{
    if (!plan)
        return;
    arena_fini(&plan->arena);
    free(plan);
}
