#include "comm/cluster_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/program_build.h"

static const char *read_environment(void *context, const char *name)
{
    (void)context;
    return getenv(name);
}

// Nodes that a cluster's launcher has started, unless the user says it.
static enum status take_environment(const struct cluster_wish *wish, struct cluster_plan *plan)
{
    struct cluster_place place;
    TRY(cluster_environment_read(read_environment, NULL, &place));
    if (wish->n_nodes ? plan->n_nodes == 1 : place.n_nodes <= 1)
        return OK;
    if (!wish->n_nodes && place.local_size > 1)
        return fail(ERR_USAGE,
                    "%s has started this program %d times on this node; it starts a node's ranks "
                    "itself, so start it once a node",
                    place.by, place.local_size);
    if (!wish->n_nodes) {
        plan->n_nodes = place.n_nodes;
        log_debug("%s says: node %d of %d", place.by, place.node, place.n_nodes);
    }
    if (wish->node < 0 && place.n_nodes == plan->n_nodes && place.local_size <= 1)
        plan->node = place.node;
    if (!plan->host[0])
        snprintf(plan->host, sizeof plan->host, "%s", place.master_host);
    if (!plan->port)
        plan->port = place.master_port;
    return OK;
}

static enum status check_plan(const struct cluster_wish *wish, const struct cluster_plan *plan)
{
    if (plan->n_nodes > CLUSTER_NODES_MAX)
        return fail(ERR_UNSUPPORTED, "a group has at most %d nodes, not %d", CLUSTER_NODES_MAX,
                    plan->n_nodes);
    if (!plan->host[0])
        return fail(ERR_USAGE,
                    "%d nodes, but nothing says where node 0 is: give all of them --master-addr "
                    "HOST",
                    plan->n_nodes);
    if (plan->node < 0 && !wish->any_node)
        return fail(ERR_USAGE,
                    "%d nodes, but nothing says which one this is: give each a --node-rank of its "
                    "own, 0 to %d",
                    plan->n_nodes, plan->n_nodes - 1);
    if (plan->node >= plan->n_nodes)
        return fail(ERR_USAGE, "flag --node-rank is %d; of %d nodes the last is %d", plan->node,
                    plan->n_nodes, plan->n_nodes - 1);
    return OK;
}

enum status cluster_plan_make(const struct cluster_wish *wish, struct cluster_plan *plan)
{
    *plan = (struct cluster_plan){
        .n_nodes = wish->n_nodes ? wish->n_nodes : 1, .node = wish->node, .port = wish->port};
    if (wish->host) {
        size_t length = strlen(wish->host);
        if (length == 0 || length >= sizeof plan->host)
            return fail(ERR_USAGE, "\"%.40s\" is no name or address of node 0", wish->host);
        memcpy(plan->host, wish->host, length + 1);
    }
    if (!wish->alone)
        TRY(take_environment(wish, plan));
    if (!plan->port)
        plan->port = MASTER_PORT_DEFAULT;
    if (plan->n_nodes == 1) {
        plan->node = 0;
        return OK;
    }
    TRY(check_plan(wish, plan));
    if (wish->key_file) {
        TRY(cluster_key_read(wish->key_file, &plan->key));
        plan->has_key = true;
    }
    return OK;
}

void cluster_plan_options(const struct cluster_plan *plan, int n_local, const char *agreement,
                          struct rendezvous_options *out)
{
    *out = (struct rendezvous_options){.host = plan->host,
                                       .port = plan->port,
                                       .hosts = plan->node == 0,
                                       .node = plan->node,
                                       .n_nodes = plan->n_nodes,
                                       .n_local = n_local,
                                       .key = plan->has_key ? &plan->key : NULL,
                                       .build = program_build(),
                                       .run = "",
                                       .agreement = agreement};
    if (!plan->has_key)
        log_info("no --cluster-key-file: nodes with loopback and private addresses may join");
}

// ---- the way to the others

// What a user has set stays.
static void add_variable(struct cluster_route *route, int *n, const char *name, const char *value)
{
    if (getenv(name))
        return;
    snprintf(route->text[*n], sizeof route->text[*n], "%s=%s", name, value);
    route->entries[*n] = route->text[*n];
    route->entries[++*n] = NULL;
}

static void say_place(const struct cluster_world *world, const char *address, const char *over)
{
    const struct cluster_node *own = &world->nodes[world->node];
    char ranks[48];
    int last = own->first_rank + own->n_local - 1;
    snprintf(ranks, sizeof ranks, own->n_local == 1 ? "rank %d" : "ranks %d to %d", own->first_rank,
             last);
    log_info("node %d of %d: %s of %d, at %s over %s", world->node, world->n_nodes, ranks,
             world->size, address, over);
}

void cluster_route_find(const struct cluster_world *world, struct node_agent *agent,
                        struct cluster_route *out)
{
    char address[CLUSTER_NAME_MAX], name[INTERFACE_NAME_MAX], devices[INTERFACE_DEVICES_MAX];
    const char *given = getenv("UCX_NET_DEVICES");
    int n = 0;
    *out = (struct cluster_route){0};
    node_agent_address(agent, address);
    bool found = interface_with_address(address, name);
    if (found)
        interface_devices("/sys", name, devices, sizeof devices);
    say_place(world, address, given ? given : found ? devices : "any interface");
    if (found)
        add_variable(out, &n, "UCX_NET_DEVICES", devices);
    if (strchr(address, ':'))
        add_variable(out, &n, "UCX_TCP_AF_PRIO", "inet6");
}
