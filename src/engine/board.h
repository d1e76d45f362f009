// The memory that the front-end shares with its ranks: what the group is to do, step plans on their
// way there, results and numbers on their way back. Everything lies at places that follow from the
// shape.
//
// Hand-over: the front-end writes a plan and raises `plan` to the step's number; each rank arrives
// when it is done, and the last to arrive raises `done`, and rings the bell where somebody listens.
// Several steps may be under way, one for each pipeline stage: there are as many slots for plans,
// results and arrivals, which steps take in turn. All ranks do all steps in order, and a rank
// arrives after what the one before it says of `done`, which therefore never goes back. Results are
// read until the next plan is raised in their slot.
//
// Steps are numbered over the life of an engine, which may see several generations of ranks: the
// board states which one it is for and the number of its first step.
#ifndef COLROW_ENGINE_BOARD_H
#define COLROW_ENGINE_BOARD_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/status.h"
#include "comm/signal_word.h"
#include "device/number.h"
#include "engine/step_plan.h"
#include "model/model_config.h"
#include "model/shared_rows.h"
#include "model/step.h"

enum {
    BOARD_VERSION = 11,
    BOARD_LINE = 128,            // bytes that two writers must not share
    LAYER_PARTITION_BYTES = 320, // of COMM_RANKS_MAX stages
};

// What sizes the board.
struct board_shape {
    int32_t n_ranks;    // of all stages
    int32_t n_arriving; // calls of board_arrive() in a round: the ranks, or those of this node
    struct step_limits limits;
    int64_t kv_pages, host_pages;
    int32_t vocab_size, hidden_size, num_hidden_layers;
    int32_t capture_rows_max; // 0: no room for hidden states
    int32_t n_slots;          // steps under way at most; 0: one
    int32_t n_sharing;        // memories for shared_rows.h, of a stage each; 0: none
};

// What a rank needs to know to do its part.
struct board_options {
    uint64_t generation; // 1: the first ranks of the engine
    uint64_t first_step; // number of the first step, at least 1
    int32_t bell_fd;     // of the rank: an eventfd; 0: none
    char model[FILE_PATH_MAX];
    char tp_plan[FILE_PATH_MAX]; // "": colrow's own for the family
    int32_t n_stages; // of the pipeline; each has n_ranks / n_stages of the ranks; 0: one
    char layer_partition[LAYER_PARTITION_BYTES]; // "16,16": layers of each; "": evenly
    int32_t tp_plan_replaces; // 1: what it does not name is replicated; 0: keeps its rule
    int32_t compute;          // enum compute_type
    int32_t kv_cache;         // enum kv_cache
    // struct quantization
    int32_t quantization_bits, quantization_lm_head_bits, quantization_group;
    int32_t head_is_embed; // what plan_head_is_embed() found
    int32_t product_order; // enum product_order
    int32_t reduction_leaves;
    int32_t expert_parallel; // 1: ranks have whole experts
    int32_t expert_parallel_size;
    int32_t context_parallel_size;
    int32_t threads_per_rank;
    int32_t log_level;
    int32_t confinement;    // 1: once loaded, ranks and keepers are confined (base/confinement.h)
    int32_t core_dumps;     // 1: ranks may leave core files
    int32_t share_rows;     // 1: all ranks load now, and share rows of weights that they fetch
    int64_t kv_pages_first; // touched before a rank is loaded
};

// Written by one rank. Times in ns, since it started.
struct board_rank {
    alignas(BOARD_LINE) _Atomic uint64_t bytes_read; // while loading
    _Atomic uint64_t weight_bytes, kv_bytes, host_kv_bytes, scratch_bytes, resident_peak_bytes;
    _Atomic uint64_t load_ns, weights_ns;
    // so many pages, the first ones, have memory: nothing that uses them can run out of it
    _Atomic uint64_t kv_pages_touched;
    alignas(BOARD_LINE) _Atomic uint64_t step_ns, all_reduce_ns, wait_ns, bytes_sent;
    _Atomic uint64_t stage_ns; // with other stages
    // struct expert_counts
    _Atomic uint64_t expert_pairs[EXPERT_LEAVES], busiest_pairs;
    struct board_times {
        _Atomic uint64_t step_ns;
        _Atomic int64_t end_ns;   // clock_ns() when it finished it
    } steps[STEPS_UNDER_WAY_MAX]; // of the last step in each slot
};

struct board_arrivals {
    alignas(BOARD_LINE) _Atomic uint64_t n;
};

struct board_header {
    struct signal_word posted; // 1: the rest of the header is complete
    char magic[8];
    uint32_t version;
    uint64_t bytes;
    struct board_shape shape;
    struct board_options options;
    _Atomic uint32_t quit;      // set before `plan` is raised: leave
    _Atomic uint32_t canary;    // likewise: nothing to compute, all ranks only meet once
    _Atomic uint32_t listening; // ring the bell when `done` is raised
    alignas(BOARD_LINE) struct signal_word plan;
    alignas(BOARD_LINE) struct signal_word done;
    struct board_arrivals loaded, arrivals[STEPS_UNDER_WAY_MAX];
    alignas(BOARD_LINE) struct signal_word kv_wanted; // pages that ranks are to touch
};

struct board {
    struct board_header *header;
    struct board_rank *ranks; // [n_ranks]
    int bell_fd;              // of this process; 0: none
    char *plans;              // [n_slots], plan_bytes each
    size_t plan_bytes;
    char *sharing; // [n_sharing], shared_rows_bytes() each
    // of each slot, the last stage's; the ranks' rows of `best` do not share cache lines
    struct step_results results[STEPS_UNDER_WAY_MAX];
};

enum status board_bytes(const struct board_shape *shape, size_t *out) STATUS_MUST_USE;
// The front-end's: fills zeroed memory of board_bytes(), then lets the ranks see it.
enum status board_post(void *memory, const struct board_shape *shape,
                       const struct board_options *options, struct board *out) STATUS_MUST_USE;
// A rank's: waits for it to be posted, checks it.
enum status board_attach(void *memory, size_t bytes, int n_ranks, signal_check check, void *context,
                         struct board *out) STATUS_MUST_USE;

static inline int32_t board_stages(const struct board_options *options)
{
    return options->n_stages > 0 ? options->n_stages : 1;
}

// What `done` says when every rank is loaded, and when step `number` is over.
static inline uint64_t board_loaded(const struct board *board)
{
    return board->header->options.first_step;
}
static inline uint64_t board_done(uint64_t number)
{
    return number + 1;
}
// The slot of step `number`.
static inline int board_slots(const struct board_shape *shape)
{
    return shape->n_slots > 0 ? shape->n_slots : 1;
}
static inline int board_slot(const struct board *board, uint64_t number)
{
    const struct board_header *header = board->header;
    return (int)((number - header->options.first_step) % (uint64_t)board_slots(&header->shape));
}
static inline void *board_plan(const struct board *board, uint64_t number)
{
    return board->plans + (size_t)board_slot(board, number) * board->plan_bytes;
}
static inline const struct step_results *board_results(const struct board *board, uint64_t number)
{
    return &board->results[board_slot(board, number)];
}
// Every rank calls it once for each of these, in order.
void board_arrive(struct board *board, uint64_t done);
// Whoever polls the bell looks again.
void board_ring(const struct board *board);
// The front-end's: from now on the bell is rung. False when `done` has been said before anybody
// could ring: look again.
bool board_listen(struct board *board, uint64_t done);

#endif
