// The nodes that work for an engine, beside the one that it runs on: their ranks, as the engine's
// board shows them. What is written for ranks goes to these nodes, too, and what theirs have found
// is put on the board, on which they arrive as if they were here. So whoever looks at the board
// sees one crew. A thread listens to the nodes; nothing here waits for them.
#ifndef COLROW_ENGINE_FAR_NODES_H
#define COLROW_ENGINE_FAR_NODES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "comm/cluster_frame.h"
#include "comm/flight_record.h"
#include "engine/board.h"

struct far_nodes;
struct far_node {
    int fd; // a connection to it (far_worker.h); taken over, also when far_nodes_new() fails
    int node, first_rank, n_local;
    char address[CLUSTER_NAME_MAX]; // for sentences
    // What its ranks of the last stage find: rows of step_results.best, columns of full logits.
    int32_t best_begin, best_end, column_begin, column_end;
    // Of captured hidden states, those after which layers its stages find.
    int32_t capture_begin, capture_end;
};

enum status far_nodes_new(const struct far_node *nodes, int n_nodes,
                          const struct board_shape *shape, double deadline_seconds, bool crowded,
                          struct far_nodes **out) STATUS_MUST_USE;
// After far_nodes_quit(): waits until the nodes have let go, for some seconds at most. Accepts
// NULL.
void far_nodes_free(struct far_nodes *far);

// A generation begins, on `board`, which stays until far_nodes_detach().
void far_nodes_start(struct far_nodes *far, const struct board_options *options,
                     struct board *board);
void far_nodes_detach(struct far_nodes *far);
// `step` NULL: a canary.
void far_nodes_post(struct far_nodes *far, int64_t number, const struct step *step);
void far_nodes_want_pages(struct far_nodes *far, int64_t n);
// The generation is broken. Once: those that broke it know.
void far_nodes_end(struct far_nodes *far, const char *sentence);
// The ranks may leave. `more`: another engine follows.
void far_nodes_quit(struct far_nodes *far, bool more);

// Somebody else has found that node `node` is lost, and says how.
void far_nodes_lose(struct far_nodes *far, int node, const char *sentence);
// Says what broke the generation, or which node is lost. ERR_GROUP.
enum status far_nodes_check(struct far_nodes *far) STATUS_MUST_USE;
int far_nodes_exit_status(struct far_nodes *far); // of the rank that broke it; 0: none did
bool far_nodes_gone(struct far_nodes *far);       // nothing is left of its ranks
bool far_nodes_lost(struct far_nodes *far);       // a node is

// Of a rank of the world that is on one of these nodes; false: it is not.
bool far_nodes_report(struct far_nodes *far, int rank, pid_t *pid, struct flight_report *out);

#endif
