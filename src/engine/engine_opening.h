// What is open while colrow_open() runs, and longer where the engine may have to be opened once
// more on fewer nodes (engine_degrade.c).
#ifndef COLROW_ENGINE_ENGINE_OPENING_H
#define COLROW_ENGINE_ENGINE_OPENING_H

#include "engine/engine.h"
#include "hf/checkpoint.h"

struct opening {
    struct colrow_options own;
    const struct colrow_options *options; // `own`
    struct colrow_cluster *cluster;       // NULL: there is one node
    struct colrow_engine *engine;
    struct checkpoint *checkpoint;
    enum compute_type compute;
    enum kv_cache kv_cache;
    struct quantization quantization;
    bool head_is_embed; // what plan_head_is_embed() found
    const char *layer_partition, *layer_partition_name;
    char tp_plan[FILE_PATH_MAX]; // a file that can be read again; "": the family's plan
    struct budget_node budget_nodes[CLUSTER_NODES_MAX];
    int n_budget_nodes;
    struct budget budget;
    struct crew_options crew;
    // For fewer nodes: what was asked for, and the ranks of each node.
    int n_ranks_all, n_stages_all, steps_max_all; // ranks of a stage
    const char *layer_partition_all;
    int layout[CLUSTER_NODES_MAX];
};

// engine_open.c
// engine->plan, as the options have it.
enum status engine_compile_plan(struct opening *opening) STATUS_MUST_USE;
// opening->crew, but for nodes.
enum status engine_fill_crew(struct opening *opening) STATUS_MUST_USE;
// engine_pages.c
// The pool and its cache, as opening->budget has them, in the place of those of before, which
// nobody uses any more; after an error these stay.
enum status engine_reserve_pool(struct opening *opening) STATUS_MUST_USE;
// engine_degrade.c
void engine_keep_opening(struct opening *opening);

// engine_sizes.c
int engine_choose_steps_max(const struct colrow_engine *engine);
// Weights that stay at the hub are fetched together by the ranks of a stage, where they are all
// here: how many groups of ranks do; 0: none.
int32_t engine_count_sharing(const struct opening *opening);
// Lengths, threads and the limits of steps.
enum status engine_choose_sizes(struct opening *opening) STATUS_MUST_USE;
// opening->budget_nodes: the memory of the nodes, before ranks hold any of it.
enum status engine_find_memory(struct opening *opening) STATUS_MUST_USE;
// opening->budget, of the plan on opening->budget_nodes; shows it.
enum status engine_plan_memory(struct opening *opening) STATUS_MUST_USE;

#endif
