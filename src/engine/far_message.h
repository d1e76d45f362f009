// What the engine and the nodes that work for it say to each other, over one connection for each
// node (far_nodes.h, far_worker.h): frames of a head and a payload. Both sides are the same build
// of the same byte order, which the rendezvous has seen to (comm/rendezvous.h), so numbers travel
// as they lie in memory; they are checked all the same.
//
//   engine -> node: START, STEP …, PAGES, END or QUIT
//   node -> engine: STATE …, READY, DONE …, BROKEN, GONE
#ifndef COLROW_ENGINE_FAR_MESSAGE_H
#define COLROW_ENGINE_FAR_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "comm/flight_record.h"
#include "comm/segment.h"
#include "engine/board.h"
#include "model/step.h"

enum far_type {
    FAR_START = 1, // struct far_start: ranks of a generation
    FAR_STEP,      // struct far_step and the step's arrays
    FAR_PAGES,     // int64_t: KV pages that are to have memory
    FAR_END,       // text: end your ranks, the group is broken
    FAR_QUIT,   // int32_t: let them leave; 1: another engine follows, which the node may look for
    FAR_STATE,  // struct far_rank of each rank
    FAR_READY,  // uint64_t: the generation that is loaded
    FAR_DONE,   // struct far_done, struct far_rank of each rank, best, columns of logits, rows
                // captured
    FAR_BROKEN, // struct far_broken
    FAR_GONE,   // uint64_t: nothing is left of that generation
    FAR_TYPES_END,
};

struct far_head {
    uint32_t bytes, type; // of the payload; enum far_type
};

// How the node's ranks are to be started; paths are the node's own.
struct far_start {
    struct board_shape shape;
    struct board_options options;
    // What its ranks of the last stage find: rows of `best`, columns of logits of full rows.
    int32_t best_begin, best_end, column_begin, column_end;
    // Of captured hidden states (step_results.capture), those that its stages find.
    int32_t capture_begin, capture_end;
    int32_t crowded, unused;
    double deadline_seconds;
};

struct far_step {
    uint64_t generation;
    int64_t number;
    int32_t is_canary; // then nothing follows
    int32_t n_rows, n_sequences, n_logits, n_copies, capture;
};
// Followed by its page numbers, of each group in turn.
struct far_sequence {
    int64_t position;
    int32_t first_row, n_tokens, n_pages, is_long, n_states, unused;
};

// A rank, as the board and its flight record show it.
struct far_rank {
    uint64_t bytes_read, weight_bytes, kv_bytes, host_kv_bytes, scratch_bytes, resident_peak_bytes;
    uint64_t load_ns, weights_ns, kv_pages_touched;
    uint64_t step_ns, all_reduce_ns, wait_ns, stage_ns, bytes_sent;
    uint64_t last_step_ns; // of FAR_DONE: that this step took
    int32_t pid, unused;
    uint64_t expert_pairs[EXPERT_LEAVES], busiest_pairs;
    struct flight_report flight;
};

struct far_done {
    uint64_t generation;
    int64_t number;
    int32_t is_canary, unused;
};

struct far_broken {
    uint64_t generation;
    int32_t exit_status, unused;
    char sentence[STATUS_MESSAGE_MAX];
};

// ---- writing: each appends one frame
enum status far_write(struct bytes *out, enum far_type type, const void *payload,
                      size_t bytes) STATUS_MUST_USE;
// `step` NULL: a canary.
enum status far_write_step(struct bytes *out, uint64_t generation, int64_t number,
                           const struct step *step,
                           const struct step_limits *limits) STATUS_MUST_USE;
// For who writes a payload piece by piece: far_end() after the last one.
enum status far_begin(struct bytes *out, enum far_type type, size_t *begin) STATUS_MUST_USE;
enum status far_end(struct bytes *out, size_t begin) STATUS_MUST_USE;

// ---- reading
struct far_frame {
    enum far_type type;
    const unsigned char *payload; // in the buffer that was read
    size_t bytes;
};
// The first frame of `data`. `payload_max`: a longer one is a fault. FAR_MORE_BYTES: not all there.
enum far_found { FAR_FRAME, FAR_MORE_BYTES, FAR_GARBAGE };
enum far_found far_read(const void *data, size_t bytes, size_t payload_max, struct far_frame *out);
// A payload of exactly so many bytes. False: it is not.
bool far_take(const struct far_frame *frame, void *out, size_t bytes);

// Where a step is put together again: its arrays, of the size of the limits.
struct far_step_room {
    struct step_sequence *sequences;
    int32_t *pages, *tokens, *logit_rows;
    uint8_t *logit_full;
    struct step_copy *copies;
};
enum status far_step_room_new(const struct step_limits *limits,
                              struct far_step_room *out) STATUS_MUST_USE;
void far_step_room_free(struct far_step_room *room);
// The step of a frame; false: it has none that keeps the limits. A canary leaves `out` empty.
bool far_read_step(const struct far_frame *frame, const struct step_limits *limits,
                   const struct far_step_room *room, struct far_step *head, struct step *out);

// Rows of hidden states that a step hands out; `step` NULL: a canary.
int32_t far_captured_rows(const struct board_shape *shape, const struct step *step);

// The largest payload that either side may say to the other.
size_t far_payload_max(const struct board_shape *shape);

#endif
