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

struct model_options {
    const struct plan *plan;             // borrowed for the model's life
    const struct checkpoint *checkpoint; // borrowed for model_open()
    struct comm *comm;                   // borrowed; comm_rank() says which share
    const struct kernels *kernels;
    enum product_order order; // of the products' sums; ORDER_TILES only with COMPUTE_BF16
    struct team *team;        // borrowed
    int rows_max;             // most rows of a step
    int logit_rows_max;
    int64_t kv_pages;   // pages in the pool
    int64_t host_pages; // pages to which those can be copied, and back (struct step_copy)
    // called now and then while loading with the bytes read so far; may be NULL
    void (*progress)(void *context, uint64_t bytes_read);
    void *progress_context;
};

struct model_memory {
    uint64_t weight_bytes, kv_bytes, host_kv_bytes, scratch_bytes, file_bytes_read;
    uint64_t weights_ns; // from the first byte read to the last one packed
};

// Reads this rank's byte ranges and packs them; reserves KV pages and scratch. Nothing is allocated
// afterwards.
enum status model_open(const struct model_options *options, struct model **out) STATUS_MUST_USE;
void model_close(struct model *model); // accepts NULL
// Gives the KV pages [begin, end) their memory, which the kernel hands out at the first write. They
// must be in nobody's use. Any thread, also beside model_forward().
void model_touch_pages(struct model *model, int64_t begin, int64_t end);
void model_memory(const struct model *model, struct model_memory *out);

// Nothing but a meeting of all threads of all ranks, which the flight record calls step `number`.
enum status model_canary(struct model *model, int64_t number) STATUS_MUST_USE;
// One step. Every rank of the group calls it with the same step. An error is a group error.
enum status model_forward(struct model *model, const struct step *step,
                          const struct step_results *results) STATUS_MUST_USE;

#endif
