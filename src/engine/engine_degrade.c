// Nodes are lost and do not come back (--degrade): the engine goes on with those that are left,
// with fewer stages or a smaller tensor-parallel size. Any split gives the same bits, so that
// requests that were under way go on as if nothing had been.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "engine/cluster.h"
#include "engine/engine_nodes.h"
#include "engine/engine_opening.h"
#include "model/plan.h"

// To open the engine once more.
void engine_keep_opening(struct opening *opening)
{
    opening->engine->opening = opening;
    opening->n_ranks_all = opening->own.tensor_parallel_size;
    opening->n_stages_all = opening->own.pipeline_parallel_size;
    opening->steps_max_all = opening->engine->steps_max;
    opening->layer_partition_all = opening->layer_partition;
}

bool engine_may_degrade(const struct colrow_engine *engine)
{
    return engine->opening && engine_nodes_are_short(engine);
}

// Ranks that each node is to have, of `n_ranks`: dealt as at the beginning, to those that are here.
static void deal_ranks(int n_ranks, int n_nodes, const bool *here, int *layout)
{
    int n_here = 0, nth = 0;
    for (int i = 0; i < n_nodes; i++)
        n_here += here[i];
    for (int i = 0; i < n_nodes; i++)
        layout[i] = here[i] ? cluster_share(n_ranks, n_here, nth++) : 0;
}

static void place_ranks(struct opening *opening, const int *layout)
{
    const struct colrow_cluster *cluster = opening->cluster;
    int first = 0, n = 0;
    for (int i = 0; i < cluster->options.n_nodes; i++) {
        const struct node_memory *has = &cluster->memory[i];
        if (layout[i] == 0)
            continue;
        struct budget_node *node = &opening->budget_nodes[n++];
        *node = (struct budget_node){.first_rank = first,
                                     .n_ranks = layout[i],
                                     .device = has->device,
                                     .utilization = has->utilization,
                                     .kv_cache_memory = has->kv_cache_memory,
                                     .front_end_bytes = has->front_end_bytes};
        snprintf(node->name, sizeof node->name, "node %d (%.64s)", i, cluster->addresses[i]);
        first += layout[i];
    }
    opening->n_budget_nodes = n;
}

// engine->plan is that of the layout, or as it was.
static enum status try_layout(struct opening *opening, int tp, int pp, const int *layout)
{
    struct colrow_engine *engine = opening->engine;
    struct plan *old = engine->plan;
    const char *partition = opening->layer_partition_all;
    opening->own.tensor_parallel_size = tp;
    opening->own.pipeline_parallel_size = pp;
    opening->layer_partition = pp == opening->n_stages_all ? partition : NULL;
    assert(old);
    engine->plan = NULL;
    place_ranks(opening, layout);
    enum status status = engine_compile_plan(opening);
    assert(status != OK || engine->plan);
    if (status == OK)
        status = plan_check_checkpoint(engine->plan, opening->checkpoint);
    if (status == OK && (engine->plan->kv.n_groups != old->kv.n_groups ||
                         engine->plan->kv.state_pages != old->kv.state_pages))
        status = fail(ERR_UNSUPPORTED, "another number of groups of layers");
    if (status == OK)
        status = engine_plan_memory(opening);
    if (status != OK) {
        plan_free(engine->plan);
        engine->plan = old;
        return fail_in(status, "tensor-parallel size %d, %d stage%s", tp, pp, pp == 1 ? "" : "s");
    }
    plan_free(old);
    return OK;
}

// Of so many ranks: fewer stages first, whose ranks keep their shares; then as many stages of fewer
// ranks; then whatever divides.
static enum status try_ranks(struct opening *opening, int n_ranks, const int *layout)
{
    const int tp = opening->n_ranks_all, pp = opening->n_stages_all;
    if (n_ranks % tp == 0 && n_ranks / tp <= pp &&
        try_layout(opening, tp, n_ranks / tp, layout) == OK)
        return OK;
    if (n_ranks % pp == 0 && try_layout(opening, n_ranks / pp, pp, layout) == OK)
        return OK;
    enum status status = ERR_USAGE;
    for (int stages = 1; stages <= n_ranks && status != OK; stages++)
        if (n_ranks % stages == 0)
            status = try_layout(opening, n_ranks / stages, stages, layout);
    return status;
}

static void name_missing(const struct colrow_cluster *cluster, const int *layout, char *text,
                         size_t room)
{
    size_t length = 0;
    *text = '\0';
    for (int i = 0; i < cluster->options.n_nodes; i++)
        if (layout[i] == 0 && length < room - 1)
            length += (size_t)snprintf(text + length, room - length, "%s%d", *text ? ", " : "", i);
}

// As many ranks as those nodes had before, or fewer.
enum status engine_find_layout(struct colrow_engine *engine)
{
    struct opening *opening = engine->opening;
    struct colrow_cluster *cluster = engine_nodes_cluster(engine);
    bool here[CLUSTER_NODES_MAX];
    int n_nodes = cluster->options.n_nodes, n_left = 0, n_here = 0;
    cluster_here(cluster, here);
    for (int i = 0; i < n_nodes; i++) {
        n_here += here[i];
        n_left += here[i] ? cluster_share(cluster->terms.n_ranks, n_nodes, i) : 0;
    }
    enum status status = ERR_GROUP;
    for (int n = n_left; n >= n_here && status != OK; n--) {
        deal_ranks(n, n_nodes, here, opening->layout);
        status = try_ranks(opening, n, opening->layout);
    }
    if (status != OK)
        return fail_in(ERR_GROUP, "no layout fits the %d node%s left (--degrade)", n_here,
                       n_here == 1 ? "" : "s");
    char missing[128];
    name_missing(cluster, opening->layout, missing, sizeof missing);
    if (*missing)
        log_warning("going on without node%s %s: tensor-parallel size %d, %d stage%s, on %d of %d "
                    "nodes",
                    strchr(missing, ',') ? "s" : "", missing, engine->plan->n_ranks,
                    engine->plan->n_stages, engine->plan->n_stages == 1 ? "" : "s", n_here,
                    n_nodes);
    else
        log_warning("all %d nodes are here again: tensor-parallel size %d, %d stage%s", n_nodes,
                    engine->plan->n_ranks, engine->plan->n_stages,
                    engine->plan->n_stages == 1 ? "" : "s");
    return OK;
}

enum status engine_take_layout(struct colrow_engine *engine)
{
    struct opening *opening = engine->opening;
    assert(opening && !engine_in_flight(engine));
    TRY(engine_reserve_pool(opening));
    int steps_max = engine_choose_steps_max(engine);
    if (steps_max > opening->steps_max_all)
        steps_max = opening->steps_max_all;
    engine->steps_max = steps_max;
    scheduler_move(&engine->scheduler, &engine->plan->kv, engine->pool, engine->cache, steps_max);
    TRY(engine_fill_crew(opening));
    engine_nodes_settle(engine, opening->layout, &opening->crew);
    return crew_reshape(engine->crew, &opening->crew);
}
