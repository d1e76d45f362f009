// What a step drafts for the sequences that decode in it (speculation.h).
#ifndef COLROW_ENGINE_SCHEDULER_DRAFTS_H
#define COLROW_ENGINE_SCHEDULER_DRAFTS_H

#include "engine/scheduler.h"

// How many drafted tokens the step may hold, where `n_decoding` sequences decode and so many rows
// are left for both: drafts take nothing from those that decode.
int32_t drafts_room(const struct scheduler *scheduler, int32_t n_decoding, int32_t rows,
                    int32_t logit_rows);
// Writes a draft of at most `most` tokens behind the sequence's own, and takes the pages that it
// needs; returns its length.
int32_t draft_for(struct scheduler *scheduler, struct sequence *sequence, int32_t most);

#endif
