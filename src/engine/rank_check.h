// The weights outlive the ranks that work with them, so they are checked: a thread of the first
// rank sums them up block by block once they are loaded; one of each later rank does it again and
// compares. It runs beside the steps, and yields to them.
#ifndef COLROW_ENGINE_RANK_CHECK_H
#define COLROW_ENGINE_RANK_CHECK_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/status.h"
#include "comm/comm.h"
#include "model/model.h"

struct rank_check;

// In the keeper, before it forks: memory for the sums, which those who come share.
enum status rank_check_new(const struct model_weights *weights,
                           struct rank_check **out) STATUS_MUST_USE;
// Set by a rank that has found the weights changed.
const _Atomic bool *rank_check_spoilt(const struct rank_check *check);
void rank_check_free(struct rank_check *check); // accepts NULL

// In a rank. Weights that have changed end the group; the next keeper loads again.
enum status rank_check_start(struct rank_check *check, struct comm *comm) STATUS_MUST_USE;
void rank_check_stop(struct rank_check *check); // accepts NULL, and one that was not started

#endif
