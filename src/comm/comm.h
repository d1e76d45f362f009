// A communicator: the ranks of a group as one of them sees it, and the collectives. One ops table
// (transport.h) for each transport: `self` (one rank), `shm` (processes of one machine), `ucx`
// (every rank on a wire), `nested` (memory within a node, the first rank of each on the wire).
//
// Every wait has three ends: progress, the death of a peer, the deadline. After an error the
// communicator is broken: each further call returns ERR_GROUP at once. Calls come from one thread;
// all ranks make the same calls in the same order.
#ifndef COLROW_COMM_COMM_H
#define COLROW_COMM_COMM_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "comm/reduction_tree.h"

struct comm;

// The rank that this process is, from what group_spawn() put into its environment (RANK, WORLD_SIZE
// and the node's shared segment); with ranks on several nodes it waits for all of them. Or that
// which a cluster's launcher has started itself on this machine (mpiexec, srun, torchrun):
// local_meeting.h. Without any of these, or with WORLD_SIZE=1, a `self` communicator.
enum status comm_open(struct comm **out) STATUS_MUST_USE;
enum status comm_open_self(struct comm **out) STATUS_MUST_USE;
void comm_close(struct comm *comm); // accepts NULL
// Whether ranks could be on other machines: OK, or what is missing for it.
enum status comm_reaches_machines(void) STATUS_MUST_USE;

int comm_rank(const struct comm *comm);
int comm_size(const struct comm *comm);
int comm_local_rank(const struct comm *comm); // among the ranks of this machine, of the world
// Memory shared with the process that spawned the group (and among ranks); NULL, 0 when there is
// none.
void *comm_board(const struct comm *comm, size_t *bytes);

// Adjacent ranks [first, first + count) of `comm`, this one among them, as a communicator of their
// own. All ranks of `comm` make the call, with disjoint parts or the same; at most twice in a
// group's life. Close it before `comm`.
enum status comm_split(struct comm *comm, int first, int count, struct comm **out) STATUS_MUST_USE;

// The flight record: what this rank is about to do, shown when it or a peer is late. `what` is
// copied (31 bytes). From here on the rank is busy, and late after the deadline, until the next
// mark or until it waits with comm_check(); `what` NULL: idle. step, layer: -1 for none.
void comm_mark(struct comm *comm, int64_t step, int layer, const char *what);
// This rank has made its last collective of `step` (1, 2, …): a peer that still waits for it there
// does not do the same work.
void comm_finish_step(struct comm *comm, int64_t step);

// out[i] = the sum over ranks along `tree` for i < n, on every rank. `in`: this rank's nodes,
// [node_count][n]. `tree` NULL: reduction_tree_plain. `out` may be `in`'s first node.
enum status comm_all_reduce(struct comm *comm, const struct reduction_tree *tree, const float *in,
                            float *out, size_t n) STATUS_MUST_USE;
// Same, but instead of storing hands over the sum piece by piece as it is read, in any order:
// consume(context, offset, sum, count). The residual addition and what else can be done in that
// pass goes there.
typedef void (*comm_consumer)(void *context, size_t offset, const float *sum, size_t count);
enum status comm_all_reduce_into(struct comm *comm, const struct reduction_tree *tree,
                                 const float *in, size_t n, comm_consumer consume,
                                 void *context) STATUS_MUST_USE;
// Part r of the sum, counts[r] floats, goes to rank r.
enum status comm_reduce_scatter(struct comm *comm, const struct reduction_tree *tree,
                                const float *in, const size_t *counts, float *out) STATUS_MUST_USE;
// Rank r's bytes[r] bytes, one after the other, on every rank. bytes NULL: each has `own_bytes`.
enum status comm_all_gather(struct comm *comm, const void *in, size_t own_bytes,
                            const size_t *bytes, void *out) STATUS_MUST_USE;
enum status comm_broadcast(struct comm *comm, void *data, size_t bytes, int root) STATUS_MUST_USE;
enum status comm_send(struct comm *comm, const void *data, size_t bytes, int to) STATUS_MUST_USE;
enum status comm_recv(struct comm *comm, void *data, size_t bytes, int from) STATUS_MUST_USE;
enum status comm_barrier(struct comm *comm) STATUS_MUST_USE;

// The check of signal_await() for waits of this rank on something else than a collective: a dead
// peer or owner, a broken group. context: the communicator.
enum status comm_check(void *comm);

// Ends the group for a reason of this rank's own, which becomes the error of all: out of memory, a
// broken file.
void comm_abort(struct comm *comm, const char *sentence);
// The same from another thread than the one that uses `comm`.
void comm_accuse_itself(const struct comm *comm, const char *sentence);

// Tests make this rank's n-th collective from now fail (n >= 1); 0 turns it off. For whole
// programs: COLROW_FAIL_COLLECTIVE=RANK:N in the environment, or @FILE with N of each rank.
void comm_fail_after(struct comm *comm, long n);

// Where an all-reduce changes its ways. All ranks of a communicator have the same; no bit of a sum
// depends on them.
struct comm_points {
    size_t demote_bytes;   // two ranks: up to here a slot's end is demoted (cache_line.h)
    size_t spread_bytes;   // two ranks: from there up to here slots are spread over pages
    size_t one_shot_bytes; // of the nodes of the rank that has most; above: two-shot
    size_t chunk_bytes;    // of two-shot; two ranks
    size_t stream_bytes;   // from here on slots are written past the caches; SIZE_MAX: never
    double tuning_seconds; // 0: not measured
};
void comm_points(const struct comm *comm, struct comm_points *out);
// Measures them, in some milliseconds; all ranks make the call. Where ranks share CPUs, nothing is
// measured. COLROW_ALL_REDUCE=one-shot or two-shot overrides the choice between these two.
enum status comm_tune(struct comm *comm) STATUS_MUST_USE;

// What this rank spent, since it was opened.
struct comm_statistics {
    uint64_t collectives, all_reduces, bytes_sent; // all_reduces: of the collectives
    double seconds, wait_seconds; // inside collectives; of these, waiting for peers
};
void comm_statistics(const struct comm *comm, struct comm_statistics *out);

#endif
