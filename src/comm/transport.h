// Inside comm/: a communicator's fields and the table that a transport fills. Callers of comm.h do
// not see this.
#ifndef COLROW_COMM_TRANSPORT_H
#define COLROW_COMM_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "comm/comm.h"
#include "comm/flight_record.h"
#include "comm/process_handle.h"
#include "comm/reduce_sink.h"
#include "comm/reduction_tree.h"
#include "comm/segment.h"
#include "comm/ticks.h"
#include "device/kernels.h"

// Arguments have been checked and ranks are the communicator's own. At least one rank, possibly
// itself.
struct transport {
    const char *name;
    // Fills comm->own for all ranks of the world, whose membership is complete. After a failure
    // close() is called, too.
    enum status (*open)(struct comm *comm);
    // The same for `part` of the ranks of `comm`; chooses its transport.
    enum status (*split)(struct comm *comm, struct comm *part);
    enum status (*tune)(struct comm *comm);
    // Of a rank that waits for something else than a collective: OK, or what broke the group.
    enum status (*check)(struct comm *comm);
    void (*close)(struct comm *comm);
    // Whether this machine has what open() takes, or what is missing; NULL: it does.
    enum status (*probe)(void);
    enum status (*all_reduce)(struct comm *comm, const struct reduction_tree *tree, const float *in,
                              size_t n, const struct reduce_sink *sink);
    enum status (*reduce_scatter)(struct comm *comm, const struct reduction_tree *tree,
                                  const float *in, const size_t *counts, float *out);
    enum status (*all_gather)(struct comm *comm, const void *in, const size_t *bytes, void *out);
    enum status (*broadcast)(struct comm *comm, void *data, size_t bytes, int root);
    enum status (*send)(struct comm *comm, const void *data, size_t bytes, int to);
    enum status (*recv)(struct comm *comm, void *data, size_t bytes, int from);
    enum status (*barrier)(struct comm *comm);
};

extern const struct transport transport_self;
extern const struct transport transport_shm;
extern const struct transport transport_ucx;    // every rank on the wire
extern const struct transport transport_nested; // one rank of each node is

// What belongs to the process and not to one communicator: made by comm_open(), shared by its
// splits.
struct membership {
    struct segment segment;                      // of all zeros: none
    struct process_handle peers[COMM_RANKS_MAX]; // opened when first looked at; of own rank: none
    struct rank_watcher *watcher;
    int n_channels; // taken
    int n_cpus;     // that this process could use when it joined
    // What a rank does for those on other nodes while it waits for something else; NULL: nothing.
    void (*serve_others)(void *context);
    void *others;
    bool broken; // one of its communicators is, and so all
};

struct comm {
    const struct transport *transport;
    void *own; // the transport's
    const struct kernels *kernels;
    struct membership *membership; // owned by the world, borrowed by its splits
    bool is_split;
    int rank, size;
    int first_rank; // in the world, of rank 0; ranks are adjacent
    int channel;    // 0: the world; those that were split off it together have the same
    struct comm_points points;
    _Atomic int64_t *fail_after;         // fault injection: collectives until then; 0: off
    _Atomic int64_t own_fail_after;      // where that is counted, unless in a test's file
    struct flight_record *flight;        // own; never NULL
    struct flight_record private_flight; // without a segment
    // Of the public statistics the counts are kept here; times are ticks, and comm_statistics()
    // finds out how long a tick is from when the communicator was opened.
    struct comm_statistics statistics;
    uint64_t ticks, wait_ticks, opened_ticks;
    int64_t opened_ns;
};

// Ends the communicator: the first verdict stands, and its sentence is the error.
enum status comm_break(struct comm *comm, int culprit, const char *sentence);
#ifdef __clang_analyzer__ // as for fail()
#define comm_break(comm, culprit, sentence) (comm_break(comm, culprit, sentence), ERR_GROUP)
#endif

// Of a receive of `wanted` bytes from one who sends another number.
enum status comm_break_for_size(struct comm *comm, int from, size_t wanted, uint64_t found);

// Until `word`, which rank `peer` of comm raises, reaches `value`. Ends early when the group
// breaks, the peer is gone or late.
enum status await_peer(struct comm *comm, struct signal_word *word, uint32_t value, int peer);

// Whether another rank of `comm` on this node has gone without a word.
enum status check_peers(struct comm *comm);

// The record of one of comm's ranks; NULL without a segment, or when it is on another node.
struct rank_record *comm_rank_record(const struct comm *comm, int rank);

#endif
