// Which tokens go into the next step: continuous batching with a budget of tokens.
//
// Sequences that decode go first, one token each, and what is drafted behind it. Prompts get a part
// of what is left of the budget, so that a step does not hold up who decodes, and all of it where
// nobody does: in chunks, by priority, and first come first served among equals. A sequence takes
// the pages of all its known tokens when it starts, so only decoding takes further ones (of layers
// with a window as many as it ever holds, and gives back what the window has left behind); when
// none is left, the last one in that order gives its pages back and starts over later from its
// tokens (preemption by recompute). Whole pages that the prefix cache knows are shared instead of
// computed, also by a sequence that starts over. A sequence that outgrows long_length starts over,
// too: it has other keys from then on. Results do not depend on any of this (docs/numerics.md).
//
// Several steps may be under way, one for each stage of a pipeline. A sequence that decodes is in
// one of them at most, as its next token has to be drawn first, so those that decode are dealt
// evenly over steps; chunks of a prompt follow each other. All ranks do steps in order, so that a
// page may be given back, and taken again by a later step, while earlier ones are under way; but a
// sequence in a step is not pushed out.
#ifndef COLROW_ENGINE_SCHEDULER_H
#define COLROW_ENGINE_SCHEDULER_H

#include <stdint.h>

#include "base/status.h"
#include "engine/kv_pool.h"
#include "engine/sequence.h"
#include "engine/step_plan.h"
#include "model/step.h"

struct scheduler_limits {
    int32_t sequences_max;  // max_num_seqs
    int32_t rows_max;       // max_num_batched_tokens
    int32_t logit_rows_max; // at least the smaller of the two
    int32_t steps_max;      // under way at a time; 0: one
};

struct step_member {
    struct sequence *sequence;
    int32_t n_tokens;
    struct step_logits logits;
};
// What is to be known of a step until its results are taken.
struct step_under_way {
    struct step_member *members; // [n_members], parallel to step.sequences
    int32_t n_members, n_rows;
    int32_t n_prefill_rows; // rows of prompts or of sequences that start over
    int32_t n_draft_rows;   // of drafted tokens
    // the engine's: when it was posted, and whether right after the results of the one before
    int64_t launch_ns;
    bool continuous;
};

struct scheduler {
    struct scheduler_limits limits;
    struct kv_layout kv;
    struct kv_pool *pool;            // borrowed
    struct prefix_cache *cache;      // borrowed; NULL: no page is shared
    struct speculation *speculation; // borrowed; NULL: nothing is drafted
    struct sequence_queue waiting, running, parked;
    int64_t long_length;         // the model's model_config_long_length()
    const struct request *alone; // nobody else's sequences run; NULL: everybody's may
    uint64_t preemptions;
    // tokens of first starts: looked up, found, and of these found in host pages
    uint64_t prefix_queries, prefix_hits, prefix_host_hits;
    uint64_t host_stores, host_loads; // pages copied to host pages, and back
    uint64_t replayed_tokens;         // computed once more because the ranks were lost

    // Steps planned and not over yet, the oldest first: a ring.
    struct step_under_way ring[STEPS_UNDER_WAY_MAX];
    int oldest, n_under_way;
    // The step as planned last. Arrays have the sizes of `limits`.
    struct step step;
    struct step_member *members; // [step.n_sequences], of the ring
    struct step_sequence *sequences;
    int32_t *tokens, *logit_rows;
    uint8_t *logit_full;
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

// From now on only sequences of `request` run, the others wait; NULL: all may run again. Those in
// steps under way are waited for, and then one step is under way at a time.
void scheduler_isolate(struct scheduler *scheduler, const struct request *request);

// Plans the next step into scheduler->step and the ring; returns the number of its rows, 0 when
// there is nothing to do now. Steps with rows are numbered from 1 on. Every page table points into
// the sequences. Not with steps_max under way.
int32_t scheduler_plan(struct scheduler *scheduler);
int scheduler_steps_max(const struct scheduler *scheduler);
bool scheduler_has_room(const struct scheduler *scheduler); // for one more step
static inline struct step_under_way *scheduler_oldest(struct scheduler *scheduler)
{
    return &scheduler->ring[scheduler->oldest];
}
// Of those under way, the one planned last.
static inline struct step_under_way *scheduler_newest(struct scheduler *scheduler)
{
    int newest = scheduler->oldest + scheduler->n_under_way - 1;
    return &scheduler->ring[newest % scheduler_steps_max(scheduler)];
}
// The oldest step was executed: the member's tokens count as computed, its pages that are whole now
// may be shared, and if it is in no further step it may be removed.
void scheduler_member_done(struct scheduler *scheduler, const struct step_member *member);
// After that, of a sequence that goes on: so many of its drafted tokens were drawn, and are its
// own now.
void scheduler_accept(struct scheduler *scheduler, struct sequence *sequence, int32_t n_accepted);
// The step was not executed, and never will be.
void scheduler_member_lost(const struct step_member *member);
// One or the other is said of all members of the oldest step.
void scheduler_step_over(struct scheduler *scheduler);
// No page holds anything any more, and no step is under way: every sequence gives its pages back
// and starts over from its tokens. Who waits keeps its place, who is paused stays so.
void scheduler_start_over(struct scheduler *scheduler);
// After that: other pages, of as many groups. `steps_max`: not more than in the beginning.
void scheduler_move(struct scheduler *scheduler, const struct kv_layout *kv, struct kv_pool *pool,
                    struct prefix_cache *cache, int32_t steps_max);

#endif
