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
// Lost ones have not come back in time, and those that are here may go on without.
bool engine_nodes_are_short(const struct colrow_engine *engine);
// How many there are, and how many of them have ranks, this one too.
void engine_nodes_count(const struct colrow_engine *engine, int *all, int *serving);
struct colrow_cluster *engine_nodes_cluster(const struct colrow_engine *engine);
// So many ranks of the engine's plan on each of them, 0: without it. Fills what `crew` says of
// nodes.
void engine_nodes_settle(struct colrow_engine *engine, const int layout[CLUSTER_NODES_MAX],
                         struct crew_options *crew);
void engine_close_nodes(struct colrow_engine *engine); // after the crew

#endif
