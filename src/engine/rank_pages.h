// A rank gives its KV pages their memory, ahead of those who will use them: a page that has none
// yet would be given it in the middle of a step, or the rank be killed where there is none.
#ifndef COLROW_ENGINE_RANK_PAGES_H
#define COLROW_ENGINE_RANK_PAGES_H

#include "base/status.h"
#include "engine/board.h"
#include "model/model.h"

struct rank_pages;

// Touches the first pages (those that are wanted already), then starts a thread of low priority
// that touches more when the front-end wants them. All is borrowed until rank_pages_stop(), which
// must come before the model is closed.
enum status rank_pages_start(struct board *board, struct board_rank *own, struct model *model,
                             struct rank_pages **out) STATUS_MUST_USE;
// Orders what the thread wrote before what a step writes. That step was planned after the front-end
// had seen the pages touched, so it is ordered already, but across two processes: said again where
// ThreadSanitizer, which sees one, can follow.
void rank_pages_follow(const struct rank_pages *pages);
void rank_pages_stop(struct rank_pages *pages); // accepts NULL

#endif
