// What options say of several machines: which node this is, and how it finds the others.
#ifndef COLROW_ENGINE_NODES_OPTIONS_H
#define COLROW_ENGINE_NODES_OPTIONS_H

#include <colrow/colrow.h>

#include "comm/cluster_plan.h"
#include "engine/cluster.h"

// With the environment, where nnodes is 0. Of one node: n_nodes is 1.
enum status nodes_options_plan(const struct colrow_options *options,
                               struct cluster_plan *out) STATUS_MUST_USE;
// Every node has a rank to hold.
enum status nodes_options_check(const struct colrow_options *options, int n_nodes) STATUS_MUST_USE;
// Finds the other nodes of a plan for several. The ranks are dealt to them by cluster_share(). Ends
// early when options->interrupted() says so. `terms` may be NULL.
struct nodes_terms {
    void (*waiting)(void *context, const char *text); // as struct cluster_terms has it; or NULL
    void *context;
    // what must be the same on all nodes, too: lines "what: value\n"; or NULL
    const char *agreement;
};
enum status nodes_options_join(const struct colrow_options *options,
                               const struct cluster_plan *plan, const struct nodes_terms *terms,
                               struct colrow_cluster **out) STATUS_MUST_USE;
// Both, where there are several nodes. On node 0 `*out` is the caller's; on another one the work is
// done when it returns, and `*worked`.
enum status nodes_options_begin(const struct colrow_options *options, struct colrow_cluster **out,
                                bool *worked) STATUS_MUST_USE;

// As colrow_open_begin(), with nodes that were found: `cluster` (NULL: there is one node) is
// borrowed until colrow_close(). What the options say of nodes does not count. (engine_open.c)
enum status engine_open_on(const struct colrow_options *options, struct colrow_cluster *cluster,
                           struct colrow_engine **out) STATUS_MUST_USE;

#endif
