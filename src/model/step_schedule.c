#include "model/step_schedule.h"

#include <assert.h>
#include <math.h>

void schedule_passes(const struct stage_cost *stages, int n_stages, double turnaround,
                     int n_under_way, int n_batches, struct stage_pass *out)
{
    assert(n_stages > 0 && n_under_way > 0);
    for (int batch = 0; batch < n_batches; batch++) {
        int before = batch - n_under_way; // whose tokens it goes on with
        double arrived =
            before < 0 ? 0 : out[before * n_stages + n_stages - 1].handed_over + turnaround;
        for (int stage = 0; stage < n_stages; stage++) {
            struct stage_pass *pass = &out[batch * n_stages + stage];
            double free = batch ? out[(batch - 1) * n_stages + stage].handed_over : 0;
            pass->begin = fmax(arrived, free);
            pass->end = pass->begin + stages[stage].seconds;
            pass->handed_over = pass->end + stages[stage].hand_over;
            arrived = pass->handed_over;
        }
    }
}
