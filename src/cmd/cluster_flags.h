// The flags with which a node finds the others, torchrun's and vLLM's, and what follows from them
// and from a cluster's launcher (comm/cluster_environment.h) where they are absent.
#ifndef COLROW_CMD_CLUSTER_FLAGS_H
#define COLROW_CMD_CLUSTER_FLAGS_H

#include <stdbool.h>

#include "cmd/engine_flags.h"
#include "cmd/flags.h"
#include "comm/cluster_plan.h"

struct cluster_flags {
    const char *nodes_text; // NULL: the environment says it, or there is one
    int node_rank;          // -1: likewise
    const char *master_addr;
    int master_port; // 0: likewise, or 29500
    const char *rdzv_endpoint, *rdzv_id, *rdzv_backend;
    const char *key_file;
    double join_timeout, node_timeout;
    bool standalone;
};

enum { CLUSTER_FLAGS = 11 };
extern const struct flag cluster_flag_rows[CLUSTER_FLAGS]; // of struct cluster_flags
void cluster_flags_init(struct cluster_flags *flags);

// What they mean.
enum status cluster_flags_resolve(const struct cluster_flags *flags,
                                  struct cluster_plan *out) STATUS_MUST_USE;
// The same for an engine: into its options, which borrow `flags` and `plan`. Node 0 has it, the
// other nodes (plan->node > 0) only work for it.
enum status cluster_flags_settle(const struct cluster_flags *flags, struct engine_flags *engine,
                                 struct cluster_plan *plan) STATUS_MUST_USE;
// What of it does not depend on who this node is.
void cluster_flags_give(const struct cluster_flags *flags, struct colrow_options *out);
// Looks for the other nodes and waits until they are there; `check` ends it early. `n_local`: ranks
// of this node. `plan` and `flags` are borrowed until the agent stops.
enum status cluster_flags_join(const struct cluster_flags *flags, const struct cluster_plan *plan,
                               int n_local, const char *agreement, signal_check check,
                               void *context, struct node_agent **out,
                               struct cluster_world *world) STATUS_MUST_USE;

// What ranks find in their environment of it, NULL-terminated; valid until the next call. `agent`
// NULL: of one node. Says which network interface was chosen.
const char *const *cluster_flags_environment(const struct cluster_plan *plan,
                                             const struct cluster_world *world,
                                             struct node_agent *agent);

#endif
