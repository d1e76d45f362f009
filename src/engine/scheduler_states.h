// Inside of the scheduler: the pages of a sequence's states (model/kv_layout.h). Without states in
// the model every function finds nothing to do.
#ifndef COLROW_ENGINE_SCHEDULER_STATES_H
#define COLROW_ENGINE_SCHEDULER_STATES_H

#include "engine/scheduler.h"

// The pages of one of its states: [kv.state_pages].
int32_t *sequence_state(const struct scheduler *s, const struct sequence *sequence, int32_t number);
// Pages that are missing for tokens up to `n_tokens`; and taken, which the pool has room for.
int64_t states_missing(const struct scheduler *s, const struct sequence *sequence,
                       int32_t n_tokens);
void states_take(struct scheduler *s, struct sequence *sequence, int32_t n_tokens);
void states_give_all(struct scheduler *s, struct sequence *sequence);
// Gives back what no later token looks at.
void states_release_behind(struct scheduler *s, struct sequence *sequence);
// Pages that it may ask for with its next page of keys.
int64_t states_reserve(const struct scheduler *s, const struct sequence *sequence);
// Of the first `n_pages` of a sequence's keys, which are known, how many are of use: those before
// the last state that is known, too. Its pages then stand in the sequence's table, unheld.
int32_t states_find(const struct scheduler *s, struct sequence *sequence, int32_t n_pages);
// Of whole pages, those that are of use to another sequence.
int32_t states_round(const struct scheduler *s, int32_t n_pages);
// Where its states end when it starts behind `n_known` tokens: with its last token, or with as many
// as it ever holds.
int32_t states_first_end(const struct scheduler *s, const struct sequence *sequence,
                         int32_t n_known);
// Tells the prefix cache of the state behind `page` pages, if there is one. After
// prefix_cache_put() of the last of these.
void states_share(struct scheduler *s, struct sequence *sequence, int32_t n_pages);

#endif
