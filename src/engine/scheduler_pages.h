// Inside of the scheduler: a sequence's tables of pages, and what it need not compute because the
// prefix cache knows it.
#ifndef COLROW_ENGINE_SCHEDULER_PAGES_H
#define COLROW_ENGINE_SCHEDULER_PAGES_H

#include "engine/scheduler.h"

// Gives all pages back; nothing is computed any more.
void sequence_give_pages(struct scheduler *s, struct sequence *sequence);
bool sequence_has_pages(const struct scheduler *s, const struct sequence *sequence);
// Gives back what no later token looks at.
void sequence_release_behind(struct scheduler *s, struct sequence *sequence);
// Takes the pages that are missing for tokens up to `n_tokens`: all or none.
bool sequence_take_missing(struct scheduler *s, struct sequence *sequence, int32_t n_tokens);
// Pages of the pool that it may still ask for at once, so that one that starts does not push itself
// out again.
int64_t sequence_reserve(const struct scheduler *s, const struct sequence *sequence);

// What a waiting sequence need not compute. The pages stand in its tables already, unheld.
struct known_prefix {
    int32_t n_pages; // of tokens
    int32_t n_held;  // of places in the tables
    int32_t n_host;  // of these: to be copied into pages that are taken
    int32_t n_free;  // ... free pages, which are taken by holding them
    struct page_chain chain;
};
struct known_prefix sequence_known_prefix(const struct scheduler *s, struct sequence *sequence);
// Tokens that a sequence could do without computing: not the last one, whose logits it needs, and
// none of a prompt whose logits are still to be handed out.
int32_t sequence_dispensable(const struct sequence *sequence);
// Pages of the pool that a start takes, those included that are free now and known.
int64_t sequence_start_takes(const struct scheduler *s, const struct sequence *sequence,
                             const struct known_prefix *prefix);
// Holds the known pages and takes the others.
void sequence_take_first(struct scheduler *s, struct sequence *sequence,
                         const struct known_prefix *prefix);
// Tells the prefix cache of pages that are whole now.
void sequence_share_whole(struct scheduler *s, struct sequence *sequence);

// A sequence waits while another one computes most of what it needs: so the n sequences of one
// request, and requests that come at once with one long prefix, have it computed once. Less than a
// page is computed by each, which is simpler than to copy it, and the same bits.
bool sequence_is_in_the_making(const struct scheduler *scheduler, const struct sequence *waiting,
                               const struct known_prefix *prefix);

#endif
