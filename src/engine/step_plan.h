// A step as it lies in shared memory: written by the front-end, checked and executed by every rank.
//
// The arrays have fixed places that depend on the limits alone; only their first entries are used.
#ifndef COLROW_ENGINE_STEP_PLAN_H
#define COLROW_ENGINE_STEP_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/step.h"

// Steps that can be under way at a time: one for each pipeline stage, up to here.
enum { STEPS_UNDER_WAY_MAX = 16 };

struct step_limits {
    int32_t rows_max, sequences_max, logit_rows_max;
    int32_t kv_groups;        // tables of pages of a sequence; 0: one
    int64_t page_entries_max; // page ids of all sequences and groups of a step together
    int32_t copies_max;       // pages that move before a step
    int32_t state_pages;      // of each state; they are among these entries
};

// Tables of pages of a sequence.
static inline int64_t step_groups(const struct step_limits *limits)
{
    return limits->kv_groups > 0 ? limits->kv_groups : 1;
}

// Bytes of the area for a step, a multiple of 64.
enum status step_plan_bytes(const struct step_limits *limits, size_t *out) STATUS_MUST_USE;

// `step` must keep the limits (ours is the scheduler). `area`: 64-byte aligned. `generation`: of
// the ranks that it is for (board.h).
void step_plan_write(void *area, const struct step_limits *limits, uint64_t generation,
                     const struct step *step);
// The step in `area`; its arrays point into it, its sequences into `sequences` [sequences_max].
// Checked here is that it is the one awaited, step `number` of `generation`, and what reading
// needs, that every array lies inside the area; model_forward() checks what the numbers mean.
enum status step_plan_read(const void *area, const struct step_limits *limits, uint64_t generation,
                           uint64_t number, struct step_sequence *sequences,
                           struct step *out) STATUS_MUST_USE;

#endif
