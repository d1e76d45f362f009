// A rank's part of a model: weights, KV pages, and the forward pass.
#ifndef COLROW_MODEL_MODEL_H
#define COLROW_MODEL_MODEL_H

#include <stdint.h>

#include "base/status.h"
#include "comm/comm.h"
#include "device/device.h"
#include "device/team.h"
#include "model/plan.h"
#include "model/step.h"

struct model;
struct shared_rows;

// A rank's weights: read, packed, and from then on never written. A process that is forked shares
// their memory.
struct model_weights;
struct model_weights_options {
    const struct plan *plan;             // borrowed for model_weights_open()
    const struct checkpoint *checkpoint; // likewise
    int rank;                            // of the whole group
    const struct kernels *kernels;
    struct team *team; // reads and packs
    // Of weights that stay at the hub: the ranks that load at the same time (shared_rows.h); NULL:
    // this one reads by itself
    struct shared_rows *shared;
    // called now and then while loading with the bytes read so far; may be NULL
    void (*progress)(void *context, uint64_t bytes_read);
    void *progress_context;
};
// Reads this rank's byte ranges and packs them.
enum status model_weights_open(const struct model_weights_options *options,
                               struct model_weights **out) STATUS_MUST_USE;
void model_weights_close(struct model_weights *weights); // accepts NULL
size_t model_weights_bytes(const struct model_weights *weights);
// A number that follows from the `bytes` from `begin` on, as far as there are any: to see whether
// they have changed.
uint64_t model_weights_sum(const struct model_weights *weights, size_t begin, size_t bytes);
// For tests: changes a byte, of this process's copy.
void model_weights_spoil(struct model_weights *weights, size_t at);

// What a rank's experts had to do since the model was opened, over all of its layers and steps. A
// pair is a token and an expert that it has chosen.
struct expert_counts {
    uint64_t pairs[EXPERT_LEAVES]; // of the rank's experts, by leaf of their tree (numerics.md 11)
    uint64_t busiest;              // of the rank that had the most, layer by layer and step by step
};

struct model_options {
    const struct plan *plan;             // borrowed for the model's life
    const struct model_weights *weights; // borrowed for the model's life
    struct comm *comm; // borrowed; of the ranks of a stage: comm_rank() says which share
    // of the adjacent ranks of `comm` that divide the cache by position; NULL: the plan has none
    struct comm *context;
    struct comm *world; // borrowed; of all stages, whose rank says which one; NULL: there is one
    const struct kernels *kernels;
    enum product_order order; // of the products' sums; ORDER_TILES only with COMPUTE_BF16
    struct team *team;        // borrowed
    int rows_max;             // most rows of a step
    int logit_rows_max;
    int64_t kv_pages;   // pages in the pool
    int64_t host_pages; // pages to which those can be copied, and back (struct step_copy)
};

struct model_memory {
    uint64_t weight_bytes, kv_bytes, host_kv_bytes, scratch_bytes, file_bytes_read;
    uint64_t weights_ns; // from the first byte read to the last one packed
};

// Reserves KV pages and scratch. Nothing is allocated afterwards.
enum status model_open(const struct model_options *options, struct model **out) STATUS_MUST_USE;
void model_close(struct model *model); // accepts NULL
// Gives the KV pages [begin, end) their memory, which the kernel hands out at the first write. They
// must be in nobody's use. Any thread, also beside model_forward().
void model_touch_pages(struct model *model, int64_t begin, int64_t end);
void model_memory(const struct model *model, struct model_memory *out);
// Between steps.
const struct expert_counts *model_expert_counts(const struct model *model);

// Nothing but a meeting of all threads of all ranks, which the flight record calls step `number`.
enum status model_canary(struct model *model, int64_t number) STATUS_MUST_USE;
// One step. Every rank of the group calls it with the same step. An error is a group error.
enum status model_forward(struct model *model, const struct step *step,
                          const struct step_results *results) STATUS_MUST_USE;

#endif
