#include "engine/nodes_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

// Enough for a process that is started again, and for a machine that is.
enum { DEGRADE_SECONDS = 60 };

enum status nodes_options_plan(const struct colrow_options *options, struct cluster_plan *out)
{
    const struct cluster_wish wish = {.n_nodes = options->nnodes,
                                      .node = options->node_rank,
                                      .host = options->master_addr,
                                      .port = options->master_port,
                                      .key_file = options->cluster_key_file};
    TRY(cluster_plan_make(&wish, out));
    return nodes_options_check(options, out->n_nodes);
}

enum status nodes_options_check(const struct colrow_options *options, int n_nodes)
{
    int n_ranks = options->tensor_parallel_size * options->pipeline_parallel_size;
    if (n_nodes > n_ranks)
        return fail(
            ERR_USAGE,
            "%d rank%s (--tensor-parallel-size times --pipeline-parallel-size), but %d nodes; "
            "every node needs a rank at least",
            n_ranks, n_ranks == 1 ? "" : "s", n_nodes);
    return OK;
}

static enum status check_interrupted(void *context)
{
    const struct colrow_options *options = context;
    return options->interrupted && options->interrupted(options->interrupted_context)
               ? fail(ERR_CANCELLED, "interrupted")
               : OK;
}

enum status nodes_options_join(const struct colrow_options *options,
                               const struct cluster_plan *plan, const struct nodes_terms *more,
                               struct colrow_cluster **out)
{
    struct rendezvous_options find;
    char agreement[AGREEMENT_BYTES_MAX];
    int n_ranks = options->tensor_parallel_size * options->pipeline_parallel_size;
    TRY(cluster_agreement(options, agreement));
    size_t length = strlen(agreement);
    if (more && more->agreement)
        snprintf(agreement + length, sizeof agreement - length, "%s", more->agreement);
    cluster_plan_options(plan, cluster_share(n_ranks, plan->n_nodes, plan->node), agreement, &find);
    if (options->rdzv_id)
        find.run = options->rdzv_id;
    find.deadline_seconds = options->node_timeout;
    struct cluster_terms terms = {.join_timeout = options->join_timeout,
                                  .rejoin_timeout = options->rejoin_timeout >= 0
                                                        ? options->rejoin_timeout
                                                    : options->degrade ? DEGRADE_SECONDS
                                                                       : options->join_timeout,
                                  .n_ranks = n_ranks,
                                  .degrade = options->degrade != 0};
    if (more) {
        terms.waiting = more->waiting;
        terms.waiting_context = more->context;
    }
    TRY(node_memory_read(options, &terms.memory));
    struct colrow_options own = *options; // the check's context is not const
    return cluster_join(&find, &terms, check_interrupted, &own, out);
}

static enum status join_and_work(const struct colrow_options *options,
                                 const struct cluster_plan *plan, struct colrow_cluster **out,
                                 bool *worked)
{
    TRY(nodes_options_join(options, plan, NULL, out));
    if (plan->node == 0)
        return OK;
    struct colrow_options own = *options;
    enum status status = cluster_work(*out, &own, NULL, check_interrupted, &own);
    cluster_leave(*out);
    *out = NULL;
    *worked = true;
    return status;
}

enum status nodes_options_begin(const struct colrow_options *options, struct colrow_cluster **out,
                                bool *worked)
{
    struct cluster_plan *plan; // holds a key
    *out = NULL;
    *worked = false;
    if (options->nnodes == 1)
        return OK;
    TRY(memory_new(1, sizeof *plan, "the other nodes", &plan));
    enum status status = nodes_options_plan(options, plan);
    if (status == OK && plan->n_nodes > 1)
        status = join_and_work(options, plan, out, worked);
    free(plan);
    return status;
}
