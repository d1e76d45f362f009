// A sequence as the scheduler sees it: tokens, how many of them the ranks have processed, and its
// KV pages.
#ifndef COLROW_ENGINE_SEQUENCE_H
#define COLROW_ENGINE_SEQUENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/prefix_cache.h"
#include "engine/speculation.h"
#include "model/kv_layout.h"

enum sequence_state {
    SEQUENCE_NEW,
    SEQUENCE_WAITING,
    SEQUENCE_RUNNING,
    SEQUENCE_PARKED, // its user has paused it; with pages or without
    SEQUENCE_OVER
};

// Rows of logits that a sequence gets from a step: of prompt tokens, then the one that the next
// token is drawn from (which is the last prompt token's, where that is among them).
struct step_logits {
    int32_t prompt_begin, prompt_end; // positions of the prompt tokens
    int32_t first, n;                 // their indices in the step
    bool samples;                     // index first + n - 1 gives the next token, ...
    int32_t n_drafts; // ... or so many before it; each next one the token after one more draft
    bool full;        // ... of which all logits are there, not only the largest
};

struct sequence {
    struct request *request; // whose sequence it is
    int index;               // among its request's
    int64_t priority;        // smaller: more urgent; 0 where they do not count
    uint64_t arrival;        // smaller: earlier; no two are equal

    int32_t *tokens; // prompt, then what was generated, then a draft while a step has one
    int32_t n_prompt, n_tokens, tokens_max;
    int32_t n_computed;    // whose keys and values are in the pages
    int32_t replay_end;    // so many had been computed when the ranks were lost; 0: they never were
    int32_t computed_most; // of n_computed, whatever became of the pages

    // of the last steps in which the ranks were lost (engine_suspects.c)
    int32_t n_losses;         // so many in a row were with it, and it got no further in between
    int32_t computed_at_loss; // computed_most then

    // Page ids of each group of layers: [n_groups][pages_max]. Of group g those of spans[g] are
    // held; those before it are behind the group's window, and given back.
    int32_t *pages;
    int32_t pages_max;
    struct page_span {
        int32_t begin, end;
    } spans[KV_GROUPS_MAX];
    // Likewise of its states: [intervals][state_pages], of which those of state_span are held.
    int32_t *states;
    struct page_span state_span;

    bool is_long;            // of more tokens than scheduler.long_length; its scope says so
    uint64_t scope;          // whose pages it may share (prefix_cache.h)
    struct page_chain chain; // of its pages that the prefix cache has been told of
    int32_t n_cached;        // tokens that were known when it first started; -1: it has not
    int64_t started_ns;      // clock_ns() then
    int32_t preemptions;

    enum sequence_state state;
    bool paused;                      // parked, or to be parked when no step has it
    struct sequence *previous, *next; // in its queue

    // logits of prompt tokens (colrow logits): wanted up to n_prompt, handed out up to here
    bool prompt_logits;
    int32_t n_prompt_logits;
    bool full_logits; // the next token's: all, or only the largest

    struct draft_history drafts;
    // in steps under way: behind the n_computed. 0: in none. More than one step has only a prompt
    int32_t step_tokens;
};

struct sequence_queue {
    struct sequence *first, *last;
    int n;
};

void sequence_queue_remove(struct sequence_queue *queue, struct sequence *sequence);
// Keeps the order: by priority, and by arrival among equals.
void sequence_queue_insert(struct sequence_queue *queue, struct sequence *sequence);

// Tokens that are neither computed nor in a step under way.
static inline int32_t sequence_remaining(const struct sequence *sequence)
{
    return sequence->n_tokens - sequence->n_computed - sequence->step_tokens;
}

#endif
