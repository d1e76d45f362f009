// Which tokens go into the next step: continuous batching with a budget of tokens.
//
// Sequences that decode go first, one token each. Prompts get a part of what is left of the budget,
// so that a step does not hold up who decodes, and all of it where nobody does: in chunks, by
// priority, and first come first served among equals. A sequence takes the pages of all its known
// tokens when it starts, so only decoding takes further ones (of layers with a window as many as it
// ever holds, and gives back what the window has left behind); when none is left, the last one in
// that order gives its pages back and starts over later from its tokens (preemption by recompute).
// Whole pages that the prefix cache knows are shared instead of computed, also by a sequence that
// starts over. A sequence that outgrows long_length starts over, too: it has other keys from then
// on. Results do not depend on any of this (docs/numerics.md).
#ifndef COLROW_ENGINE_SCHEDULER_H
#define COLROW_ENGINE_SCHEDULER_H

#include <stdint.h>

#include "base/status.h"
#include "engine/kv_pool.h"
#include "engine/sequence.h"
#include "model/step.h"

struct scheduler_limits {
    int32_t sequences_max;  // max_num_seqs
    int32_t rows_max;       // max_num_batched_tokens
    int32_t logit_rows_max; // at least the smaller of the two
};

struct scheduler {
    struct scheduler_limits limits;
    struct kv_layout kv;
    struct kv_pool *pool;       // borrowed
    struct prefix_cache *cache; // borrowed; NULL: no page is shared
    struct sequence_queue waiting, running, parked;
    int64_t long_length;         // the model's model_config_long_length()
    const struct request *alone; // nobody else's sequences run; NULL: everybody's may
    uint64_t preemptions;
    // tokens of first starts: looked up, found, and of these found in host pages
    uint64_t prefix_queries, prefix_hits, prefix_host_hits;
    uint64_t host_stores, host_loads; // pages copied to host pages, and back
    uint64_t replayed_tokens;         // computed once more because the ranks were lost

    // The step as planned last. Arrays have the sizes of `limits`.
    struct step step;
    struct sequence **members; // [step.n_sequences], parallel to step.sequences
    struct step_sequence *sequences;
    int32_t *tokens, *logit_rows;
    uint8_t *logit_full;
    int32_t n_prefill_rows; // of the step: rows of prompts or of sequences that start over
};

// `kv` NULL: all layers are one group that keeps everything.
enum status scheduler_init(struct scheduler *scheduler, const struct scheduler_limits *limits,
                           const struct kv_layout *kv, struct kv_pool *pool,
                           struct prefix_cache *cache) STATUS_MUST_USE;
void scheduler_fini(struct scheduler *scheduler); // sequences are the caller's

void scheduler_add(struct scheduler *scheduler, struct sequence *sequence);
// The sequence is over: it leaves its queue and gives its pages back. Not while a step with it is
// under way.
void scheduler_remove(struct scheduler *scheduler, struct sequence *sequence);

// A paused sequence takes part in no further step. It keeps its pages while nobody else wants them,
// and no place in the batch. Both may come at any time, and twice.
void scheduler_pause(struct scheduler *scheduler, struct sequence *sequence);
void scheduler_resume(struct scheduler *scheduler, struct sequence *sequence);

// From now on only sequences of `request` run, the others wait; NULL: all may run again.
void scheduler_isolate(struct scheduler *scheduler, const struct request *request);

// Plans the next step into scheduler->step and each member's fields; returns the number of its
// rows, 0 when there is nothing to do. Steps with rows are numbered from 1 on. Every page table
// points into the sequences.
int32_t scheduler_plan(struct scheduler *scheduler);
// The step was executed: the member's tokens count as computed, its pages that are whole now may be
// shared, and it may be removed.
void scheduler_member_done(struct scheduler *scheduler, struct sequence *member);
// The step was not executed, and never will be: the member may be removed.
void scheduler_member_lost(struct sequence *member);
// No page holds anything any more, and no step is under way: every sequence gives its pages back
// and starts over from its tokens. Who waits keeps its place, who is paused stays so.
void scheduler_start_over(struct scheduler *scheduler);

#endif
