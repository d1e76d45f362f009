// Ranks that divide the cache by position (context parallelism): whether a model can, and ranks.
#include "model/plan_build.h"

// What keeps a model's cache on every rank; NULL: nothing does.
static const char *why_whole(const struct model_config *config)
{
    bool has_latents = false, has_others = false;
    for (int kind = 0; kind < config->n_layer_kinds; kind++)
        for (int i = 0; i < config->layer_kinds[kind].n_sublayers; i++) {
            const struct sublayer_config *s = &config->layer_kinds[kind].sublayers[i];
            if (mix_has_state(s->kind))
                return "layers with a state";
            if (s->kind != MIX_ATTENTION)
                continue;
            if (s->attention.latent.index.topk)
                return "sparse attention, whose indexer reads the keys of all positions";
            const bool latent = s->attention.latent.kv_rank && !s->attention.sliding_window;
            has_latents = has_latents || latent;
            has_others = has_others || !latent;
        }
    return !has_latents ? "no latent attention"
           : has_others ? "layers without latent attention"
                        : NULL;
}

enum status plan_split_context(struct plan *plan, const struct plan_options *options)
{
    const int n = options->context_ranks;
    plan->context_ranks = n > 1 ? n : 1;
    const char *why = n > 1 ? why_whole(&plan->config) : NULL;
    if (n < 0 || n > COMM_RANKS_MAX)
        return fail(ERR_USAGE, "--decode-context-parallel-size is %d; expected 1 to %d", n,
                    COMM_RANKS_MAX);
    if (why)
        return fail(ERR_USAGE,
                    "--decode-context-parallel-size is %d, but %s has %s: its cache cannot be "
                    "divided by position; leave the flag out",
                    n, plan->config.architecture, why);
    return OK;
}

enum status plan_check_context(const struct plan *plan, int n_ranks)
{
    if (n_ranks % plan->context_ranks == 0)
        return OK;
    return fail(
        ERR_INPUT,
        "--decode-context-parallel-size %d: %d rank%s %s not a multiple of it; each part of "
        "the cache is on one rank of every group",
        plan->context_ranks, n_ranks, n_ranks == 1 ? "" : "s", n_ranks == 1 ? "is" : "are");
}
