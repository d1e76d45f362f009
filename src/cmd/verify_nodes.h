// `colrow verify` on several machines: every node goes through the same layouts, and meets the
// others anew for each that more than one of them share.
#ifndef COLROW_CMD_VERIFY_NODES_H
#define COLROW_CMD_VERIFY_NODES_H

#include "cmd/verify_run.h"
#include "engine/cluster.h"

// Which node of how many this is.
enum status verify_nodes_find(const struct cluster_flags *flags,
                              struct cluster_plan *out) STATUS_MUST_USE;
// Meets the nodes that share `layout` with this one. `engine`: this layout's flags, settled.
enum status verify_nodes_meet(struct engine_flags *engine, const struct cluster_plan *plan,
                              const struct verify_layout *layout,
                              struct colrow_cluster **out) STATUS_MUST_USE;
// On a node other than 0: works for it in `layout`. `*over`: node 0 has ended before its last one.
enum status verify_nodes_work(const struct verify_subject *subject,
                              const struct verify_layout *layout, bool *over) STATUS_MUST_USE;

#endif
