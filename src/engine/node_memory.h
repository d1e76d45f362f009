// What a node has for its ranks, and what its own flags let them take of it: said to all when nodes
// meet, so that node 0 plans memory for each of them as it is.
#ifndef COLROW_ENGINE_NODE_MEMORY_H
#define COLROW_ENGINE_NODE_MEMORY_H

#include <colrow/colrow.h>

#include "comm/node_agent.h"
#include "device/device.h"

struct node_memory {
    struct device_memory device; // before ranks hold any of it
    uint64_t front_end_bytes;    // that the node's own process holds
    double utilization;          // --gpu-memory-utilization
    int64_t kv_cache_memory;     // --kv-cache-memory, 0: what the rest leaves
};

// Of this machine, now.
enum status node_memory_read(const struct colrow_options *options,
                             struct node_memory *out) STATUS_MUST_USE;
// All nodes make the call, before they attach ranks. `out`: of each node, by its number.
enum status node_memory_exchange(struct node_agent *agent, const struct cluster_world *world,
                                 const struct node_memory *own, signal_check check, void *context,
                                 struct node_memory out[CLUSTER_NODES_MAX]) STATUS_MUST_USE;

#endif
