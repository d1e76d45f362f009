// The nodes of a group find each other, and stay connected. Node 0, the host, listens; every other
// node, a guest, connects to it, again and again until it is there. Both prove that they have the
// same key, and say what must be the same everywhere. The connection then carries where ranks can
// be reached, beats that show that a node lives, and what broke the group. Ranks have no part in
// it: it is the process that owns a node's ranks, its agent (node_agent.h), that speaks.
//
// Nothing here waits: rendezvous_turn() does what can be done now. No thread, no callback; one
// thread at a time.
#ifndef COLROW_COMM_RENDEZVOUS_H
#define COLROW_COMM_RENDEZVOUS_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "comm/cluster_key.h"
#include "comm/cluster_message.h"

enum {
    STRANGERS_MAX = 32, // connections that have not said who they are
    RENDEZVOUS_FDS_MAX = CLUSTER_NODES_MAX + STRANGERS_MAX + 2,
};

struct rendezvous_options {
    const char *host; // of node 0: a name or an address; borrowed, as all that is pointed to
    int port;
    bool hosts; // this is node 0
    int node;   // of a guest; ANY_NODE: the host says
    int n_nodes, n_local;
    const struct cluster_key *key; // NULL: none
    const char *build;             // "0.1.0 (commit 1234)": of which program
    const char *run;               // torchrun's --rdzv-id; "" for none
    const char *agreement;         // lines "what: value\n" that all nodes must have
    double deadline_seconds;       // a node from which nothing is heard for so long is lost
    // Of a group that may go on without some of its nodes. The host gathers until
    // rendezvous_settle(); guests take as many ranks as they are told.
    bool settles;
};

enum rendezvous_state {
    RENDEZVOUS_GATHERING,
    RENDEZVOUS_REFUSED,  // there will be no group: rendezvous_refusal()
    RENDEZVOUS_COMPLETE, // all are there
    RENDEZVOUS_BROKEN,   // rendezvous_fault()
    RENDEZVOUS_DONE,     // all ranks of all nodes have left in peace
};

struct rendezvous;
enum status rendezvous_open(const struct rendezvous_options *options,
                            struct rendezvous **out) STATUS_MUST_USE;
void rendezvous_close(struct rendezvous *rendezvous); // accepts NULL

// What to wait for before the next turn, and for how long at most.
int rendezvous_fds(struct rendezvous *rendezvous, struct pollfd fds[RENDEZVOUS_FDS_MAX],
                   int *timeout_ms);
void rendezvous_turn(struct rendezvous *rendezvous);
enum rendezvous_state rendezvous_state(const struct rendezvous *rendezvous);
// All that was to be said has been handed to the kernel.
bool rendezvous_flushed(const struct rendezvous *rendezvous);

// Of a host that settles: the nodes that are here, by number, itself too.
void rendezvous_here(const struct rendezvous *rendezvous, bool here[CLUSTER_NODES_MAX]);
// The group is complete with the ranks of `n_local`, of nodes that are here; 0: those go on without
// this one, and it is refused from now on. False: one of them is not here any more.
bool rendezvous_settle(struct rendezvous *rendezvous, const int n_local[CLUSTER_NODES_MAX]);

// While it gathers: who is missing, as a clause.
void rendezvous_waiting(const struct rendezvous *rendezvous, char *text, size_t room);
const char *rendezvous_refusal(const struct rendezvous *rendezvous);
const struct cluster_world *rendezvous_world(const struct rendezvous *rendezvous);
// This node's address on the way to the others, "" before it is known.
const char *rendezvous_own_address(const struct rendezvous *rendezvous);

// Where the ranks of this node can be reached, in a round of its own for each start of the ranks;
// once those of all nodes are there, rendezvous_book() is not NULL.
void rendezvous_put_addresses(struct rendezvous *rendezvous, const struct address_message *own);
const struct address_message *rendezvous_book(const struct rendezvous *rendezvous, uint32_t round);

// The last collective of this node's ranks, for the sentence in which it is lost.
void rendezvous_note_place(struct rendezvous *rendezvous, const char *place);
// This node's group is broken. The host decides which of several such words counts: one about a
// rank of another node is hearsay, and gives that node a second to speak for itself.
void rendezvous_report(struct rendezvous *rendezvous, int culprit, int exit_status,
                       const char *sentence);
// When it is broken: what counts, and as this node has to say it.
const struct cluster_fault *rendezvous_fault(const struct rendezvous *rendezvous);
void rendezvous_say_fault(const struct rendezvous *rendezvous, char *text, size_t room);
// All ranks of this node have left in peace.
void rendezvous_leave(struct rendezvous *rendezvous);

#endif
