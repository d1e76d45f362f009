#include "cmd/verify_nodes.h"

#include <stdio.h>

#include "cmd/interrupt.h"
#include "engine/nodes_options.h"

enum status verify_nodes_find(const struct cluster_flags *flags, struct cluster_plan *out)
{
    TRY(cluster_flags_resolve(flags, out));
    if (out->n_nodes == 1 || out->node >= 0)
        return OK;
    return fail(ERR_USAGE,
                "%d nodes, but nothing says which one this is: give each a --node-rank of its "
                "own, 0 to %d",
                out->n_nodes, out->n_nodes - 1);
}

static enum status look_for_interrupt(void *context)
{
    (void)context;
    return interrupt_check();
}

enum status verify_nodes_meet(struct engine_flags *engine, const struct cluster_plan *plan,
                              const struct verify_layout *layout, struct colrow_cluster **out)
{
    char agreement[256];
    // other lists of layouts on this node: that is to be found here, not in the bits
    snprintf(agreement, sizeof agreement,
             "layout: number %d\nmax-num-batched-tokens: %d\nbatch: %d\nisa: %s\n", layout->number,
             layout->chunk, layout->batch, layout->isa);
    const struct nodes_terms terms = {.agreement = agreement};
    return nodes_options_join(&engine->options, plan, &terms, out);
}

enum status verify_nodes_work(const struct verify_subject *subject,
                              const struct verify_layout *layout, bool *over)
{
    struct colrow_cluster *cluster = NULL;
    struct engine_flags flags;
    TRY(verify_flags_of(subject, layout, &flags));
    TRY(engine_flags_settle(&flags, subject->model));
    TRY(verify_nodes_meet(&flags, subject->plan, layout, &cluster));
    enum status status = cluster_work(cluster, &flags.options, NULL, look_for_interrupt, NULL);
    *over = !cluster->more;
    cluster_leave(cluster);
    return status;
}
