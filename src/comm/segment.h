// The memory that the ranks of one node share: one memfd of sealed size, made by their owner and
// mapped by each of them. It has no name, so nothing of it can be left behind.
//
//   header | rank records | channels: a line per rank | pair lines | channels: slots | channels:
//   exchanges | send buffers | address mail | address book | board
//
// Ranks are counted here as the node counts them, from 0; in sentences, verdicts and flight records
// by their number in the world, which may have more nodes (struct world_part).
//
// A channel is what one communicator needs for its rounds (shm_round.c): the world has channel 0,
// each comm_split() takes the next, disjoint parts of one split share theirs. Pages that nobody
// touches take no memory.
#ifndef COLROW_COMM_SEGMENT_H
#define COLROW_COMM_SEGMENT_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "comm/signal_word.h"

enum {
    SEGMENT_VERSION = 4,
    SEGMENT_CHANNELS = 3,
    SEGMENT_ALIGN = 128, // two cache lines: the prefetcher fetches pairs
    SLOT_BYTES = 512 << 10,
    EXCHANGE_BYTES = 128 << 10,
    SEND_PIECE_BYTES = 64 << 10,
    SEND_PIECES = 4,
    VERDICT_BYTES = 768,
    ADDRESS_BYTES_MAX = 4096,
};

#define SEGMENT_FD_VARIABLE "COLROW_SEGMENT_FD"
#define LIFE_FD_VARIABLE "COLROW_LIFE_FD"
#define JOINED_VARIABLE "COLROW_JOINED" // set in ranks, for their children

// A node's part of a world: `n_ranks` ranks, of which the first is `first_rank` of the world. One
// node: {n, n, 0, 1, 0}.
struct world_part {
    int n_ranks, world_size, first_rank, n_nodes, node;
};

// What broke the group: the first who notices says it, for all. `culprit`: a rank of the world, or
// -1; when it is also the author, the sentence is its own reason to give up.
enum verdict_state { VERDICT_NONE, VERDICT_WRITING, VERDICT_GIVEN };
struct verdict {
    _Atomic uint32_t state;
    int32_t culprit, author;
    char sentence[VERDICT_BYTES];
};

// A place in a step.
enum { FLIGHT_WHAT_BYTES = 32 };
struct flight_spot {
    _Atomic int64_t step;  // -1: none
    _Atomic int32_t layer; // -1: none
    _Atomic uint64_t what[FLIGHT_WHAT_BYTES / 8];
};

// What a rank is doing, written by that rank alone and read by whoever explains a failure.
struct flight_record {
    struct flight_spot now;        // of the last mark
    _Atomic int32_t operation;     // enum comm_operation; NONE: in no collective
    _Atomic int64_t busy_since_ns; // of the last mark; 0: idle
    _Atomic int64_t wait_since_ns;
    _Atomic int32_t waits_for; // world rank + 1; 0: nobody
    // ... until this word of the segment is raised: its offset + 1; 0: something else
    _Atomic uint64_t waits_word;
    _Atomic uint32_t waits_value;
    _Atomic uint32_t n_operations;  // begun so far
    _Atomic uint32_t n_before_step; // of these, before `now.step` began
    _Atomic int32_t last_operation; // the collective begun last, also when it is over
    _Atomic uint32_t last_in_step;  // ... the how manieth of its step
    struct flight_spot last;        // ... and where that was
    _Atomic int64_t steps_done;     // number of the last step that this rank has finished
};

struct rank_record {
    alignas(SEGMENT_ALIGN) _Atomic int32_t pid; // of its process, by the owner; 0 before
    _Atomic int32_t
        member_pid; // of the process that called comm_open(): the same, or a child of it
    _Atomic int32_t keeper_pid; // its parent, where that is not the owner; 0: it is
    _Atomic uint32_t closed;    // it called comm_close(): leaves on purpose
    struct flight_record flight;
};

// One rank's side of a channel.
struct rank_line {
    alignas(SEGMENT_ALIGN) struct signal_word published; // rounds
    // Of the even and the odd round: what is being called, and where in the step. To find ranks
    // that disagree.
    _Atomic uint64_t call[2], place[2];
};

// What rank `from` has sent to rank `to`: pieces written and pieces read, on lines of their own.
// Piece i of this pair lies in the sender's buffer where[i % SEND_PIECES]; the sender has no more
// than that many under way.
struct pair_line {
    alignas(SEGMENT_ALIGN) struct signal_word sent;
    _Atomic uint32_t where[SEND_PIECES];
    alignas(SEGMENT_ALIGN) struct signal_word taken;
};

// How a rank is reached from other nodes: what its transport says, in the transport's own words.
// The signal is raised to 1 when it is there; it does not change any more then.
struct address_entry {
    alignas(SEGMENT_ALIGN) struct signal_word there;
    uint32_t bytes;
    unsigned char address[ADDRESS_BYTES_MAX];
};

struct segment_header {
    char magic[8];
    uint32_t version, n_ranks;
    int32_t world_size, first_rank, n_nodes, node;
    uint64_t bytes, board_offset, board_bytes;
    int64_t deadline_ns;
    int32_t owner_pid;
    _Atomic uint32_t closing; // the owner is ending the group: nobody need say that it has gone
    _Atomic uint32_t owner_missed;    // a rank has said that the owner is gone
    struct signal_word book_complete; // 1: all addresses of the world are in the book
    struct verdict verdict;
};

// One process's view of it.
struct segment {
    struct segment_header *header;
    struct rank_record *ranks; // [n_ranks]
    int n_ranks;               // of this node
    int first_rank;            // in the world, of the node's first
    int world_size;
    size_t bytes;
    size_t lines_offset, pairs_offset, slots_offset, exchanges_offset, sends_offset, mail_offset,
        book_offset;
};

// Bytes of one with one communicator in use; those of others are never touched.
size_t segment_used_bytes(int n_ranks, size_t board_bytes);
// Makes one for the ranks of a node; `*fd` (close-on-exec) is what they inherit.
enum status segment_new(const struct world_part *part, size_t board_bytes, double deadline_seconds,
                        struct segment *out, int *fd) STATUS_MUST_USE;
// Maps the one behind `fd`, which may be closed afterwards; refuses what is not a segment for
// `n_ranks` of `world_size`.
enum status segment_map(int fd, int n_ranks, int world_size, struct segment *out) STATUS_MUST_USE;
void segment_unmap(struct segment *segment);
// The record of a rank of the world; NULL when it is on another node.
struct rank_record *segment_record(const struct segment *segment, int world_rank);

struct rank_line *segment_line(const struct segment *segment, int channel, int rank);
struct pair_line *segment_pair(const struct segment *segment, int from, int to);
char *segment_slot(const struct segment *segment, int channel, int rank, int parity);
// Two for each rank, for what two ranks do with each other's lines (shm_two_ranks.c).
char *segment_exchange(const struct segment *segment, int channel, int rank, int parity);
char *segment_send_piece(const struct segment *segment, int rank, int piece);
// What a rank of this node has put there for others; what is known of a rank of the world. With one
// node these are the same.
struct address_entry *segment_mail(const struct segment *segment, int rank);
struct address_entry *segment_book(const struct segment *segment, int world_rank);
void *segment_board(const struct segment *segment);

#endif
