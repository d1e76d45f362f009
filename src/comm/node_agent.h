// A node's agent: the process that owns its ranks, where these are a part of a group on several
// nodes. A thread keeps up the connection to the other nodes whatever the process does otherwise,
// so that a beat says: this process lives. It carries the ranks' addresses from node to node, and
// says a verdict to the ranks when another node tells of a death, or is lost itself.
//
//   node_agent_start() … node_agent_await() … group_spawn() … node_agent_attach()
//   … node_agent_check() again and again … node_agent_leave() or node_agent_judge()
//   … node_agent_detach(), node_agent_stop()
#ifndef COLROW_COMM_NODE_AGENT_H
#define COLROW_COMM_NODE_AGENT_H

#include "comm/group.h"
#include "comm/rendezvous.h"
#include "comm/signal_word.h"

struct node_agent;
// `options` and all that it points to is borrowed until node_agent_stop().
enum status node_agent_start(const struct rendezvous_options *options,
                             struct node_agent **out) STATUS_MUST_USE;
// Says what is still to be said, for a second at most. Accepts NULL.
void node_agent_stop(struct node_agent *agent);

// Until all nodes are there; who is missing stands on stderr meanwhile. `wait_seconds` 0: for ever;
// `flag` says so. `check` ends it early. ERR_INPUT: this node was refused.
enum status node_agent_await(struct node_agent *agent, double wait_seconds, const char *flag,
                             signal_check check, void *context,
                             struct cluster_world *out) STATUS_MUST_USE;
// Who is missing, as a clause; "": all are here.
void node_agent_waiting(struct node_agent *agent, char *text, size_t room);
// On node 0 of a group that settles: rendezvous_here(), rendezvous_settle().
void node_agent_here(struct node_agent *agent, bool here[CLUSTER_NODES_MAX]);
bool node_agent_settle(struct node_agent *agent, const int n_local[CLUSTER_NODES_MAX]);
// This node's address on the way to the others.
void node_agent_address(struct node_agent *agent, char out[CLUSTER_NAME_MAX]);

// Before any ranks are attached: gives every node what each has to say, at most ADDRESS_BYTES_MAX
// bytes, which are not empty. `out`: of each node, by its number; 0 bytes of one without ranks. All
// nodes make the call.
struct node_word {
    size_t bytes;
    uint8_t data[RANK_ADDRESS_BYTES_MAX];
};
enum status node_agent_exchange(struct node_agent *agent, const void *word, size_t bytes,
                                signal_check check, void *context,
                                struct node_word *out) STATUS_MUST_USE;

// The ranks of this node, from now on until they are detached, which is before group_close().
// `generation`, at least 1, is the same on all nodes for ranks that are to find each other: a node
// may have started some that others never did.
void node_agent_attach(struct node_agent *agent, struct group *group, uint64_t generation);
void node_agent_detach(struct node_agent *agent);

// True: a node is lost, or says that the group is over, and nothing more will happen here; how this
// node has to say it, and which one it is.
bool node_agent_fault(struct node_agent *agent, int *node, char *text, size_t room);

// Between two group_poll(): tells the group what another node says, and the other nodes what a rank
// says of one of theirs.
void node_agent_check(struct node_agent *agent, struct group *group);
// After the group was ended, here, with the recorded sentence: until it is known what counts on all
// nodes, for some seconds at most. Records that sentence instead; the exit status is the same
// everywhere.
enum status node_agent_judge(struct node_agent *agent, int exit_status,
                             int *judged) STATUS_MUST_USE;
// All ranks here have left in peace: until all have. Likewise.
enum status node_agent_leave(struct node_agent *agent, signal_check check, void *context,
                             int *exit_status) STATUS_MUST_USE;

#endif
