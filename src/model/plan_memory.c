#include <assert.h>

#include "base/checked.h"
#include "model/kv_bytes.h"
#include "model/plan.h"
#include "model/scratch.h"
#include "model/state_layout.h"
#include "model/weights.h"

enum status plan_memory(const struct plan *plan, const struct checkpoint *checkpoint,
                        int world_rank, int rows_max, int logits_rows_max, int n_threads,
                        struct plan_memory *out)
{
    assert(world_rank >= 0 && world_rank < plan_world_size(plan));
    const struct range layers = plan_stage_layers(plan, world_rank / plan->n_ranks);
    struct weights_layout weights;
    struct scratch scratch;
    struct scratch_size size = {rows_max, logits_rows_max, n_threads};
    size_t scratch_bytes;
    TRY(weights_measure(plan, checkpoint, world_rank, &weights));
    TRY(scratch_place(plan, world_rank, size, NULL, &scratch, &scratch_bytes));
    uint64_t kv = 0;
    for (int layer = layers.begin; layer < layers.end; layer++)
        kv += kv_layer_bytes(plan, world_rank % plan->n_ranks, layer) / KV_PAGE_TOKENS;
    *out = (struct plan_memory){
        .weight_bytes = weights.bytes,
        .file_bytes = weights.file_bytes,
        .kv_bytes_per_token = divide_up(kv, (uint64_t)plan->context_ranks),
        .kv_page_bytes = divide_up(kv_page_bytes(plan, world_rank), (uint64_t)plan->context_ranks),
        .state_bytes = state_bytes(plan, world_rank),
        .scratch_bytes = scratch_bytes,
    };
    return OK;
}
