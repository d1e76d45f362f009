// What a step of decoding reads, for `colrow plan`.
#include "base/output.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "cmd/plan_command.h"

static const int batches[] = {1, 8, 64};
enum { N_BATCHES = sizeof batches / sizeof *batches };

// Of all ranks together, and of the one that reads most.
static double sum_reading(const struct plan *plan, int batch, double *most)
{
    double all = 0;
    *most = 0;
    for (int rank = 0; rank < plan_world_size(plan); rank++) {
        const double bytes = plan_bytes_read(plan, rank, batch);
        *most = bytes > *most ? bytes : *most;
        all += bytes;
    }
    return all;
}

static const struct experts_config *experts_of(const struct plan *plan)
{
    const struct sublayer_config *sublayer = model_config_first(&plan->config, MIX_EXPERTS);
    return sublayer ? &sublayer->experts : NULL;
}

enum status reading_print(const struct plan *plan)
{
    const struct experts_config *experts = experts_of(plan);
    struct table t;
    table_init(&t, experts ? 5 : 4);
    table_cell(&t, "sequences that decode");
    if (experts)
        table_cell(&t, "experts of %d", experts->num_experts);
    table_cell(&t, "weights read a step");
    table_cell(&t, "by a rank at most");
    table_cell(&t, "read/token");
    for (int i = 0; i < N_BATCHES; i++) {
        double most, all = sum_reading(plan, batches[i], &most);
        table_cell(&t, "%d", batches[i]);
        if (experts)
            table_cell(&t, "%.1f",
                       plan_experts_touched(experts->num_experts, experts->num_experts_per_tok,
                                            batches[i]));
        table_cell(&t, "%s", show_bytes(all));
        table_cell(&t, "%s", show_bytes(most));
        table_cell(&t, "%s", show_bytes(all / batches[i]));
    }
    enum status status = table_print(&t, output());
    table_fini(&t);
    return status;
}

json_t *reading_json(const struct plan *plan)
{
    const struct experts_config *experts = experts_of(plan);
    json_t *list = json_array();
    for (int i = 0; i < N_BATCHES; i++) {
        double most, all = sum_reading(plan, batches[i], &most);
        json_t *one = json_pack("{s:i, s:f, s:f, s:f}", "batch", batches[i], "bytes_per_step", all,
                                "bytes_per_token", all / batches[i], "rank_bytes_per_step", most);
        if (experts)
            json_object_set_new(
                one, "experts_touched",
                json_real(plan_experts_touched(experts->num_experts, experts->num_experts_per_tok,
                                               batches[i])));
        json_array_append_new(list, one);
    }
    return list;
}
