// A group as its owner sees it: starting rank processes, watching them, ending them. Used by the
// engine and by `colrow launch`.
//
// No orphans: a rank dies with its owner (PR_SET_PDEATHSIG and a pipe whose other end only the
// owner holds). Nothing has a name: the shared memory is one sealed-size memfd that the ranks
// inherit. When one rank is gone, the rest is killed.
#ifndef COLROW_COMM_GROUP_H
#define COLROW_COMM_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"
#include "comm/flight_record.h"

struct group;
struct keepers;  // group_keepers.h
struct launcher; // launcher.h

// What a group of `n_ranks` takes of shared memory, beside the `board_bytes` of its owner: what one
// communicator touches.
size_t group_shared_bytes(int n_ranks, size_t board_bytes);

struct group_options {
    const char *program;            // path; searched in PATH when without a slash
    const char *const *arguments;   // argv, NULL-terminated
    const char *const *environment; // "NAME=value" in addition to our own environment,
                                    // NULL-terminated; may be NULL
    int n_ranks;                    // of this node
    // The world that it is a part of (struct world_part); all zeros: it is all there is.
    int world_size, first_rank, n_nodes, node;
    bool keep_stdin;    // ranks read the owner's standard input; else /dev/null
    size_t board_bytes; // shared memory for the owner's own use, zeroed
    // a collective that makes no progress for so long ends the group; 0: 60 s
    double deadline_seconds;
    int bell_fd;             // an eventfd that ranks find as RANK_BELL_FD (group_spawn.h); 0: none
    bool joins;              // every rank begins with comm_open(): one that has not is starting
    struct keepers *keepers; // that fork the ranks; borrowed; NULL: ranks are started directly
    struct launcher *launcher; // that starts processes for us; borrowed; NULL: we do
    bool as_siblings;          // processes that we start are our parent's children
    bool hasty; // group_check() does not wait until the ranks that it killed are gone
};

// What these options make of the world.
enum status group_part(const struct group_options *options, struct world_part *out) STATUS_MUST_USE;
enum status group_spawn(const struct group_options *options, struct group **out) STATUS_MUST_USE;
// Ends what still runs (asks, then SIGKILL after `grace_seconds`), reaps it, frees. Accepts NULL.
void group_close(struct group *group, double grace_seconds);

// Ranks are counted as this node counts them, from 0; in sentences by their number in the world.
void *group_board(const struct group *group);
int group_size(const struct group *group);
// The memory of this node's ranks, for what goes from node to node (address_book.h).
struct segment *group_segment(struct group *group);
pid_t group_pid(const struct group *group, int rank);
// Becomes readable when the rank exits, or its keeper has news of it; -1 on kernels without pidfds,
// or when its exit was collected.
int group_process_fd(const struct group *group, int rank);

// OK while every rank lives and runs. Otherwise kills the rest and returns ERR_GROUP with one
// sentence: rank, pid, what happened (signal, exit status, stopped, late), and from the flight
// record step, layer, operation. Cheap (one poll of pidfds and a few loads); after the first
// failure it repeats the same answer. A rank that left with status 0 counts as alive until
// group_wait().
enum status group_check(void *group); // void *: it is a signal_check

// Another node says what broke the world: group_check() ends this part of it with that sentence, if
// nobody here has said another before. `culprit`: a rank of the world, or -1.
void group_give_verdict(struct group *group, int culprit, const char *sentence);
// What a rank here has said, for the other nodes; NULL: nothing. When it accuses a rank of another
// node, group_check() gives that node a second to say more.
const char *group_verdict(const struct group *group, int *culprit);

// Ends the group because `step` takes too long: the sentence says which rank it waits for and where
// that is, and ends with `why`. Always fails.
enum status group_end_late(struct group *group, int64_t step, const char *why) STATUS_MUST_USE;
// Ends it because it does not become ready: likewise.
enum status group_end_still(struct group *group, const char *why) STATUS_MUST_USE;
// Of a group that was ended, but is not gone: also the keepers that do not say that their ranks
// are.
void group_end_keepers(struct group *group);
// What a rank has done, from its flight record; zeros while there is none.
void group_report(const struct group *group, int rank, struct flight_report *out);

// Waits until something changes, a signal arrives or `timeout_ms` have passed, then as
// group_check(). `*n_running`: ranks that have not left.
enum status group_poll(struct group *group, int timeout_ms, int *n_running) STATUS_MUST_USE;
// Asks all to leave with `signal`, kills after `grace_seconds` who has not, collects them. The
// group stays, for its board.
void group_end(struct group *group, int signal, double grace_seconds);
// Of a group that is over: of the rank that failed first, as group_wait() says it; else 0.
int group_exit_status(const struct group *group);
// Never waits: collects who has exited, and says whether that was the last one.
bool group_gone(struct group *group);

// Until all ranks have left. The first that fails ends the others; its exit status (128 + signal)
// goes to `*exit_status`.
enum status group_wait(struct group *group, int *exit_status) STATUS_MUST_USE;

#endif
