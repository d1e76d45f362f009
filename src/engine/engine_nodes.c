#include "engine/engine_nodes.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "engine/cluster.h"
#include "engine/far_nodes.h"

struct engine_nodes {
    int n_serving;                  // nodes
    struct colrow_cluster *cluster; // borrowed
    const struct plan *plan;        // the engine's
    struct board_shape shape;
    double deadline_seconds;
    bool crowded;
    struct far_nodes *far; // NULL: they are looked for
};

// Which of the results a node's ranks of the last stage find; the others find none.
static void find_results_of(const struct plan *plan, struct far_node *node)
{
    int last_stage = plan_world_size(plan) - plan->n_ranks;
    int begin = node->first_rank - last_stage, end = begin + node->n_local;
    begin = begin < 0 ? 0 : begin;
    if (end <= begin)
        return;
    node->best_begin = begin;
    node->best_end = end;
    node->column_begin = plan->shares[begin].dims[DIM_VOCAB].begin;
    node->column_end = plan->shares[end - 1].dims[DIM_VOCAB].end;
}

// Stages' first ranks hand out hidden states; the embedding's are node 0's.
static void find_captured_of(const struct plan *plan, struct far_node *node)
{
    for (int stage = 0; stage < plan->n_stages; stage++) {
        int rank = stage * plan->n_ranks - node->first_rank;
        if (rank < 0 || rank >= node->n_local)
            continue;
        if (node->capture_end == 0)
            node->capture_begin = plan->first_layer[stage] + 1;
        node->capture_end = plan->first_layer[stage + 1] + 1;
    }
}

static enum status connect_far_nodes(struct engine_nodes *nodes)
{
    struct colrow_cluster *cluster = nodes->cluster;
    const struct cluster_world *world = &cluster->world;
    struct far_node *list;
    int n = 0;
    if (world->size != nodes->shape.n_ranks)
        return fail(ERR_INTERNAL, "%d nodes have %d ranks; expected %d", world->n_nodes,
                    world->size, nodes->shape.n_ranks);
    TRY(memory_new((size_t)world->n_nodes - 1, sizeof *list, "the other nodes", &list));
    for (int i = 1; i < world->n_nodes; i++) {
        const struct cluster_node *is = &world->nodes[i];
        if (is->n_local == 0)
            continue;
        struct far_node *node = &list[n++];
        *node = (struct far_node){
            .fd = cluster->fds[i], .node = i, .first_rank = is->first_rank, .n_local = is->n_local};
        snprintf(node->address, sizeof node->address, "%s", is->address);
        find_results_of(nodes->plan, node);
        find_captured_of(nodes->plan, node);
        cluster->fds[i] = -1; // it is theirs now
    }
    enum status status = OK; // nobody else is left
    if (n > 0)
        status = far_nodes_new(list, n, &nodes->shape, nodes->deadline_seconds, nodes->crowded,
                               &nodes->far);
    free(list);
    return status;
}

// As crew_options.find_nodes.
static enum status find_lost_nodes(void *context, struct node_agent **agent, struct far_nodes **far,
                                   bool *found)
{
    struct engine_nodes *nodes = context;
    far_nodes_free(nodes->far);
    nodes->far = NULL;
    TRY(cluster_meet_again(nodes->cluster, found));
    if (!*found)
        return OK;
    TRY(connect_far_nodes(nodes));
    *agent = nodes->far ? nodes->cluster->agent : NULL;
    *far = nodes->far;
    return OK;
}

enum status engine_open_nodes(struct colrow_engine *engine, struct colrow_cluster *cluster,
                              struct crew_options *crew)
{
    struct engine_nodes *nodes;
    TRY(memory_new(1, sizeof *nodes, "the other nodes", &nodes));
    engine->nodes = nodes;
    nodes->cluster = cluster;
    nodes->n_serving = cluster->options.n_nodes;
    nodes->plan = engine->plan;
    nodes->shape = crew->shape;
    nodes->deadline_seconds = crew->deadline_seconds;
    nodes->crowded = crew->crowded;
    TRY(connect_far_nodes(nodes));
    crew->part = (struct world_part){cluster->world.nodes[0].n_local, cluster->world.size, 0,
                                     cluster->world.n_nodes, 0};
    crew->agent = cluster->agent;
    crew->environment = cluster->route.entries;
    crew->far = nodes->far;
    crew->find_nodes = find_lost_nodes;
    crew->nodes_context = nodes;
    crew->more = &cluster->more;
    return OK;
}

int engine_nodes_budget(const struct colrow_cluster *cluster,
                        struct budget_node out[CLUSTER_NODES_MAX])
{
    const struct cluster_world *world = &cluster->world;
    for (int i = 0; i < world->n_nodes; i++) {
        const struct node_memory *has = &cluster->memory[i];
        out[i] = (struct budget_node){.first_rank = world->nodes[i].first_rank,
                                      .n_ranks = world->nodes[i].n_local,
                                      .device = has->device,
                                      .utilization = has->utilization,
                                      .kv_cache_memory = has->kv_cache_memory,
                                      .front_end_bytes = has->front_end_bytes};
        snprintf(out[i].name, sizeof out[i].name, "node %d (%s)", i, world->nodes[i].address);
    }
    return world->n_nodes;
}

bool engine_nodes_are_short(const struct colrow_engine *engine)
{
    return engine->nodes && engine->nodes->cluster->short_of;
}

void engine_nodes_count(const struct colrow_engine *engine, int *all, int *serving)
{
    *all = engine->nodes->cluster->options.n_nodes;
    *serving = engine->nodes->n_serving;
}

struct colrow_cluster *engine_nodes_cluster(const struct colrow_engine *engine)
{
    return engine->nodes->cluster;
}

void engine_nodes_settle(struct colrow_engine *engine, const int layout[CLUSTER_NODES_MAX],
                         struct crew_options *crew)
{
    struct engine_nodes *nodes = engine->nodes;
    nodes->plan = engine->plan;
    nodes->shape = crew->shape;
    nodes->crowded = crew->crowded;
    nodes->n_serving = 0;
    for (int i = 0; i < nodes->cluster->options.n_nodes; i++)
        nodes->n_serving += layout[i] > 0;
    crew->part =
        (struct world_part){layout[0], crew->shape.n_ranks, 0, nodes->cluster->options.n_nodes, 0};
    cluster_settle(nodes->cluster, layout);
}

void engine_close_nodes(struct colrow_engine *engine)
{
    if (engine->nodes)
        far_nodes_free(engine->nodes->far);
    free(engine->nodes);
    engine->nodes = NULL;
}
