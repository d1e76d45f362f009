// Micro-batches on their way over the stages of a pipeline, as the cost model sees them.
#ifndef COLROW_MODEL_STEP_SCHEDULE_H
#define COLROW_MODEL_STEP_SCHEDULE_H

#include "model/cost_model.h"

// A stage at work on a micro-batch. Before it the stage is idle, or done with the one before.
struct stage_pass {
    double begin, end, handed_over; // seconds since the first began
};

// Micro-batches enter in turn, each `turnaround` after the one that many places before it has left
// the last stage (its next tokens are drawn then); a stage takes them in order. `out`: pass
// [batch * n_stages + stage].
void schedule_passes(const struct stage_cost *stages, int n_stages, double turnaround,
                     int n_under_way, int n_batches, struct stage_pass *out);

#endif
