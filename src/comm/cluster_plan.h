// Which node of how many this is, and where node 0 is: from what a user has said, and from the
// environment of a cluster's launcher (cluster_environment.h) where he has not. And what a node
// that has found the others says and sets of the network interface between them.
#ifndef COLROW_COMM_CLUSTER_PLAN_H
#define COLROW_COMM_CLUSTER_PLAN_H

#include <stdbool.h>

#include "comm/cluster_environment.h"
#include "comm/cluster_interface.h"
#include "comm/cluster_key.h"
#include "comm/node_agent.h"

enum { MASTER_PORT_DEFAULT = 29500 };

// What a user has said; strings are borrowed for the call.
struct cluster_wish {
    int n_nodes;          // 0: the environment says it, or there is one
    int node;             // ANY_NODE: likewise
    const char *host;     // of node 0; NULL: likewise
    int port;             // 0: likewise, or MASTER_PORT_DEFAULT
    const char *key_file; // NULL: none
    bool alone;           // there is one node, whatever the environment says
    bool any_node;        // it may stay unknown which one this is
};

// What that means. With one node (n_nodes 1) there is nobody to find.
struct cluster_plan {
    int n_nodes, node; // ANY_NODE: who comes first takes the lowest
    char host[CLUSTER_HOST_MAX];
    int port;
    bool has_key;
    struct cluster_key key;
};
enum status cluster_plan_make(const struct cluster_wish *wish,
                              struct cluster_plan *out) STATUS_MUST_USE;
// For who looks for the others; points into `plan` and to `agreement`. The run's name and the
// deadline are the caller's to fill.
void cluster_plan_options(const struct cluster_plan *plan, int n_local, const char *agreement,
                          struct rendezvous_options *out);

// The interface that leads to the other nodes: what ranks are to find of it in their environment,
// beside what the user has set there.
struct cluster_route {
    char text[2][INTERFACE_DEVICES_MAX + 32];
    const char *entries[3]; // "NAME=value", NULL-terminated
};
// Says what was chosen, and which ranks of the world this node has.
void cluster_route_find(const struct cluster_world *world, struct node_agent *agent,
                        struct cluster_route *out);

#endif
