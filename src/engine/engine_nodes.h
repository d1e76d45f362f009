// Of an engine on several nodes: the other ones, as its crew is to know them, now and when lost
// ones have come back.
#ifndef COLROW_ENGINE_ENGINE_NODES_H
#define COLROW_ENGINE_ENGINE_NODES_H

#include "engine/engine.h"

// Fills what `crew` says of nodes; its shape and times are there. `cluster` is borrowed.
enum status engine_open_nodes(struct colrow_engine *engine, struct colrow_cluster *cluster,
                              struct crew_options *crew) STATUS_MUST_USE;
// What each of them has for its ranks, in their order. Returns how many they are.
int engine_nodes_budget(const struct colrow_cluster *cluster,
                        struct budget_node out[CLUSTER_NODES_MAX]);
void engine_close_nodes(struct colrow_engine *engine); // after the crew

#endif
