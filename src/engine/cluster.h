// The nodes that an engine runs on, where it runs on several: found by their rendezvous, connected
// to node 0, which has the engine. Every node has consecutive ranks. A node that is lost may come
// back, as the same process or another one: then all meet again.
#ifndef COLROW_ENGINE_CLUSTER_H
#define COLROW_ENGINE_CLUSTER_H

#include <colrow/colrow.h>
#include <pthread.h>
#include <stdatomic.h>

#include "comm/cluster_plan.h"
#include "comm/node_channel.h"
#include "engine/node_memory.h"

struct cluster_terms {
    double join_timeout;       // seconds for the first meeting; 0: any time
    double rejoin_timeout;     // ... for lost nodes to come back
    struct node_memory memory; // of this node
    int n_ranks;               // of all nodes
    bool degrade;              // node 0 may go on without nodes that do not come back
    // NULL, or told several times a second who is missing; "" when all are there. On the thread
    // that meets.
    void (*waiting)(void *context, const char *text);
    void *waiting_context;
};

struct colrow_cluster {
    struct rendezvous_options options; // points into what follows
    struct cluster_key key;
    char host[256], build[CLUSTER_NAME_MAX], run[CLUSTER_NAME_MAX], agreement[AGREEMENT_BYTES_MAX];
    struct cluster_terms terms;

    struct node_agent *agent; // NULL: not met
    struct cluster_world world;
    struct cluster_route route;
    // Another engine follows this one, so that the others may look for it: on node 0 until
    // colrow_close(), where the caller says it; elsewhere after cluster_work(), as it was said.
    bool more;
    int fds[CLUSTER_NODES_MAX]; // node_channel.h
    struct node_memory memory[CLUSTER_NODES_MAX];
    char addresses[CLUSTER_NODES_MAX][CLUSTER_NAME_MAX]; // of nodes that were here once
    int layout[CLUSTER_NODES_MAX];                       // ranks of each node; 0: without it

    // Meeting again, on a thread of its own.
    pthread_t thread;
    bool meets;    // there is that thread
    bool settling; // it is to go on with those of `layout` that are here
    bool short_of; // it has ended because `layout` cannot be had: cluster_settle()
    _Atomic bool met, stop;
    enum status status;
    char sentence[STATUS_MESSAGE_MAX];
};

// Ranks of node `node` where `n_ranks` are dealt to `n_nodes`: as evenly as can be, more on the
// first ones.
int cluster_share(int n_ranks, int n_nodes, int node);
// What must be the same on all nodes, as the rendezvous wants it: lines "what: value\n" about the
// model. `out`: AGREEMENT_BYTES_MAX bytes.
enum status cluster_agreement(const struct colrow_options *options, char *out) STATUS_MUST_USE;

// Finds the nodes and connects to them; `options` and what it points to are copied, as are `terms`.
// Who is missing is said meanwhile. `check` ends it early.
enum status cluster_join(const struct rendezvous_options *options,
                         const struct cluster_terms *terms, signal_check check, void *context,
                         struct colrow_cluster **out) STATUS_MUST_USE;
// Lets go of all; after colrow_close(). Accepts NULL.
void cluster_leave(struct colrow_cluster *cluster);

// Of node 0, whose far nodes are gone: never waits. `*met`: all nodes are there, and connected as
// after cluster_join().
enum status cluster_meet_again(struct colrow_cluster *cluster, bool *met) STATUS_MUST_USE;
// After cluster_meet_again() has failed with `short_of`: who is here now, by number; and that from
// now on each of these has so many ranks, 0: the others go on without it. cluster_meet_again()
// connects them.
void cluster_here(struct colrow_cluster *cluster, bool here[CLUSTER_NODES_MAX]);
void cluster_settle(struct colrow_cluster *cluster, const int layout[CLUSTER_NODES_MAX]);

// On a node other than 0: works for the engine until it lets go, as far_worker_run(), and looks for
// it again when it is lost. Of `options` counts what is about this machine. `state`: enum
// far_worker_state, may be NULL.
enum status cluster_work(struct colrow_cluster *cluster, const struct colrow_options *options,
                         _Atomic int *state, signal_check check, void *context) STATUS_MUST_USE;

#endif
