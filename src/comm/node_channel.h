// A connection of its own from node 0 to each other node, for what an engine says to the nodes that
// work for it: beside the rendezvous' connection, whose beats nothing may hold up.
#ifndef COLROW_COMM_NODE_CHANNEL_H
#define COLROW_COMM_NODE_CHANNEL_H

#include "comm/node_agent.h"

// All nodes make the call, before they attach ranks. Node 0 gets a descriptor of each node, at its
// number; the others get node 0's, at 0. The rest are -1. Close-on-exec, without delay, and ended
// by the kernel when the other side takes nothing for `deadline_seconds`.
enum status node_channels_open(struct node_agent *agent, const struct cluster_world *world,
                               double deadline_seconds, signal_check check, void *context,
                               int fds[CLUSTER_NODES_MAX]) STATUS_MUST_USE;
void node_channels_close(int fds[CLUSTER_NODES_MAX]);

#endif
