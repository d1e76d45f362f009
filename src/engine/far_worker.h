// The other side of far_nodes.h: a node that works for an engine elsewhere. It starts the ranks
// that it is told to, as a crew of its own (crew.h), gives them the steps, and says what they
// found.
#ifndef COLROW_ENGINE_FAR_WORKER_H
#define COLROW_ENGINE_FAR_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/status.h"
#include "comm/node_agent.h"
#include "comm/signal_word.h"
#include "engine/crew.h"

// What it does, for who is asked from outside.
enum far_worker_state { WORKER_WAITS, WORKER_LOADS, WORKER_READY, WORKER_RESTARTS };

struct far_worker_options {
    int fd;                   // the connection to the engine; borrowed
    struct node_agent *agent; // borrowed; NULL: somebody else carries addresses (tests)
    struct world_part part;   // of the world, this node's
    // Of this node: program, launcher; board.model, tp_plan. The rest is what the engine says.
    struct crew_options crew;
    _Atomic int *state; // enum far_worker_state, kept up to date; may be NULL
    bool *more;         // set when the engine lets go: another one follows; may be NULL
    signal_check check; // called now and then; ends the worker when it fails; may be NULL
    void *context;
};

struct far_worker;
// `options` is borrowed until far_worker_free(); between two runs fd, agent and part may change.
enum status far_worker_new(const struct far_worker_options *options,
                           struct far_worker **out) STATUS_MUST_USE;
// Until the engine lets go of it: OK. `*lost`: the engine is lost, and may be met again; weights
// stay in memory until then. Else what `check` said.
enum status far_worker_run(struct far_worker *worker, bool *lost) STATUS_MUST_USE;
void far_worker_free(struct far_worker *worker); // accepts NULL

#endif
