// A mixture of experts in /metrics: which rank's experts have how much to do.
#include <stdio.h>

#include "server/serve_state.h"

// "5", of a group of several "10-12".
static void show_experts(const struct colrow_expert_statistics *of, int group, char out[32])
{
    const int first = of->first_expert[group], last = of->last_expert[group];
    snprintf(out, 32, first == last ? "%d" : "%d-%d", first, last);
}

// Layers are summed up, and experts are in at most COLROW_EXPERT_GROUPS groups: a rank has so many
// series, whatever the model.
static enum status write_expert_tokens(const struct serve_server *server, int n_ranks,
                                       struct bytes *out)
{
    static const char name[] = "colrow_expert_tokens_total";
    struct colrow_expert_statistics experts;
    TRY(metrics_write_head(out, name, "counter",
                           "Tokens that a rank has computed with an expert, or a group of "
                           "consecutive ones, over its layers."));
    for (int r = 0; r < n_ranks; r++) {
        if (colrow_get_expert_statistics(server->engine, r, &experts) != 0)
            continue;
        for (int group = 0; group < experts.n_groups; group++) {
            char labels[64], which[32];
            show_experts(&experts, group, which);
            snprintf(labels, sizeof labels, "expert=\"%s\",rank=\"%d\"", which, r);
            TRY(metrics_write_sample(out, name, labels, (double)experts.pairs[group]));
        }
    }
    return OK;
}

static enum status write_busiest_rank(const struct serve_server *server, int n_ranks,
                                      struct bytes *out)
{
    static const char name[] = "colrow_expert_busiest_rank_tokens_total";
    struct colrow_expert_statistics experts;
    char labels[32];
    TRY(metrics_write_head(out, name, "counter",
                           "Tokens of the rank that had the most for its experts, layer by layer "
                           "and step by step: above the mean of the ranks' tokens, ranks wait."));
    for (int r = 0; r < n_ranks; r++) {
        if (colrow_get_expert_statistics(server->engine, r, &experts) != 0)
            continue;
        snprintf(labels, sizeof labels, "rank=\"%d\"", r);
        TRY(metrics_write_sample(out, name, labels, (double)experts.busiest_pairs));
    }
    return OK;
}

enum status serve_write_expert_metrics(const struct serve_server *server, int n_ranks,
                                       struct bytes *out)
{
    struct colrow_expert_statistics experts;
    if (colrow_get_expert_statistics(server->engine, 0, &experts) != 0 || experts.n_groups == 0)
        return OK; // a model without experts has no such families
    TRY(write_expert_tokens(server, n_ranks, out));
    return write_busiest_rank(server, n_ranks, out);
}
