// Inside of the scheduler: the members of a step written down as rows of a batch.
#ifndef COLROW_ENGINE_SCHEDULER_LAYOUT_H
#define COLROW_ENGINE_SCHEDULER_LAYOUT_H

#include "engine/scheduler.h"

// From s->members, of which there are s->step.n_sequences, into s->step and `step`.
void scheduler_lay_out(struct scheduler *s, struct step_under_way *step);

#endif
